//! The settings of an organization, as the object holds them.

use crate::directory::identifiers::Tenant;
use crate::directory::organization::Limits;
use crate::directory::placement::LocationHint;
use crate::directory::timestamp::Timestamp;
use crate::json;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub tenant: Tenant,
    /// The organization record's version: a higher one wins.
    pub version: i64,
    pub limits: Limits,
    /// When the organization was created. Billing periods start on this day of the month.
    pub anchor: Timestamp,
    /// The organization's record as D1 holds it, so that the object can bring it back. `None` if an earlier build has
    /// stored the settings.
    pub record: Option<json::Text>,
}

impl Settings {
    /// Where the object is to be made, if the record says so.
    pub fn location(&self) -> Option<LocationHint> {
        #[derive(Deserialize)]
        struct Located {
            location: Option<LocationHint>,
        }
        serde_json::from_str::<Located>(self.record.as_ref()?.as_str()).ok()?.location
    }
}
