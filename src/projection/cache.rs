//! The copies in KV.
//!
//! Invariants:
//!
//! - A copy carries the version of its record. A reader believes it only if its lease allows that version.
//! - No reader writes: a slow reader would bring an old state back.

use serde::{Deserialize, Serialize};

use super::stores::Put;
use crate::directory::end_user::{EndUser, Version};
use crate::directory::epoch::Epoch;
use crate::directory::identifiers::Tenant;
use crate::directory::principal::PrincipalId;
use crate::directory::timestamp::Timestamp;
use crate::json::RawValue;
use crate::organization::copies::{Copy, SPREAD_MS};

/// The key of a copy. The user id is hashed, because it may be twice as long as a KV key
/// (512 bytes, <https://developers.cloudflare.com/kv/platform/limits/>). The tenant is not hashed, so
/// that an audit can list the copies of one tenant by prefix.
pub fn key(tenant: Tenant, epoch: Epoch, digest: &str) -> String {
    format!("{}{digest}", epoch_prefix(tenant, epoch))
}

/// The prefix of all keys of a tenant, those of earlier builds included.
pub fn prefix(tenant: Tenant) -> String {
    format!("{tenant}/")
}

/// The prefix of the keys of an epoch.
pub fn epoch_prefix(tenant: Tenant, epoch: Epoch) -> String {
    format!("{tenant}/copies/{epoch}/")
}

/// The value in the place of an erased record. It states that there is no record. A missing key does
/// not, because KV may serve a cached miss.
const TOMBSTONE: &str = "{}";

/// Whether a value is a tombstone.
pub fn is_tombstone(value: &str) -> bool {
    value == TOMBSTONE
}

/// A copy as KV holds it.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredCopy<'a> {
    pub version: Version,
    pub principal_id: PrincipalId,
    /// The record, as dialect 1 shows it.
    #[serde(borrow)]
    pub record: &'a RawValue,
}

impl<'a> StoredCopy<'a> {
    /// `None` for a tombstone, and for what no build wrote that this one can read.
    pub fn read(value: &'a str) -> Option<Self> {
        serde_json::from_str(value).ok()
    }
}

/// What to store for a copy. A tombstone goes when no late write can bring the copy back.
pub fn put(tenant: Tenant, copy: &Copy, now: Timestamp) -> serde_json::Result<Put> {
    let key = key(tenant, copy.epoch, &copy.digest);
    let Some((principal_id, user)) = &copy.user else {
        let expires_at = Timestamp::from_millis(now.millis().saturating_add(SPREAD_MS));
        return Ok(Put { key, value: TOMBSTONE.to_owned(), expires_at });
    };
    Ok(Put { key, value: value(*principal_id, user)?, expires_at: copy.ends_at })
}

fn value(principal_id: PrincipalId, user: &EndUser) -> serde_json::Result<String> {
    let record = serde_json::value::to_raw_value(user)?;
    serde_json::to_string(&StoredCopy { version: user.version, principal_id, record: &record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::end_user::Status;
    use crate::directory::identifiers::{Mode, OrganizationId};
    use crate::directory::metadata::Metadata;
    use crate::directory::names::UserId;

    #[test]
    fn golden_key_and_value() {
        let organization = OrganizationId::new(Timestamp::from_millis(0), [0; 10]);
        let user_id = UserId::new("ada").unwrap();
        assert_eq!(
            key(Tenant { organization, mode: Mode::Live }, Epoch::of_number(7), &user_id.digest()),
            "00000000000000000000000000/live/copies/7/_e5DDUC9V97qwYbNl5ADPQ8G-QmogG585ucXq3x9UCk"
        );
        let user = EndUser {
            user_id,
            display_name: None,
            metadata: Metadata::from_stored("{\"n\":1e999}".to_owned()).unwrap(),
            status: Status::Active,
            version: Version::of_sequence(3),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            last_interaction_at: None,
        };
        let value = value(PrincipalId::new(Timestamp::EPOCH, [7; 10]), &user).unwrap();
        assert_eq!(
            value,
            "{\"version\":3,\"principal_id\":\"00000000-0000-7707-8707-070707070707\",\"record\":{\"user_id\":\"ada\",\
             \"display_name\":null,\"metadata\":{\"n\":1e999},\"status\":\"active\",\"version\":3,\
             \"created_at\":\"1970-01-01T00:00:00.000Z\",\"updated_at\":\"1970-01-01T00:00:00.000Z\",\
             \"last_interaction_at\":null}}"
        );
        let read = StoredCopy::read(&value).unwrap();
        assert_eq!((read.version, serde_json::from_str::<EndUser>(read.record.get()).unwrap()), (user.version, user));
        for bad in [TOMBSTONE, "not json", ""] {
            assert!(StoredCopy::read(bad).is_none(), "{bad}");
        }
    }
}
