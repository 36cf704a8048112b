//! The record cache in KV.
//!
//! Invariants:
//!
//! - A value carries its revision. A reader uses it only when the object names
//!   that very revision, so a stale, late or lost write is never seen.
//! - Nothing writes the cache from a read path: a reader that was overtaken
//!   would bring an old state back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::directory::end_user::Revision;
use crate::directory::identifiers::Tenant;
use crate::directory::names::UserId;
use crate::organization::outbox::Change;

/// The key of a user's record. User ids are hashed, as they may be twice as long
/// as a KV key (512 bytes); the tenant is not, so that one tenant's records can
/// be enumerated by prefix.
pub fn key(tenant: Tenant, user_id: &UserId) -> String {
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(user_id.as_str().as_bytes()));
    format!("{tenant}/end-users/{digest}")
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(flatten)]
    revision: Revision,
    document: &'a RawValue,
}

#[derive(Deserialize)]
struct StoredEntry<'a> {
    incarnation: i64,
    version: i64,
    #[serde(borrow)]
    document: &'a RawValue,
}

/// The value to store for a change.
pub fn value(change: &Change) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Entry { revision: change.revision, document: &change.document })
}

/// The record in a stored value, if it is of this revision.
pub fn read(value: &str, revision: Revision) -> Option<&RawValue> {
    let entry: StoredEntry<'_> = serde_json::from_str(value).ok()?;
    let held = Revision { incarnation: entry.incarnation, version: entry.version };
    (held == revision).then_some(entry.document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::identifiers::{Mode, OrganizationId};
    use crate::directory::timestamp::Timestamp;

    #[test]
    fn golden_key_and_value() {
        let organization = OrganizationId::new(Timestamp::from_millis(0), [0; 10]);
        let user_id = UserId::new("ada").unwrap();
        assert_eq!(
            key(Tenant { organization, mode: Mode::Live }, &user_id),
            "00000000000000000000000000/live/end-users/_e5DDUC9V97qwYbNl5ADPQ8G-QmogG585ucXq3x9UCk"
        );
        let change = Change {
            user_id,
            revision: Revision { incarnation: 2, version: 3 },
            created_at: Timestamp::EPOCH,
            document: RawValue::from_string("{\"n\":1e999}".to_owned()).unwrap(),
        };
        let value = value(&change).unwrap();
        assert_eq!(value, r#"{"incarnation":2,"version":3,"document":{"n":1e999}}"#);
        assert_eq!(read(&value, change.revision).unwrap().get(), "{\"n\":1e999}");
        for other in [Revision { incarnation: 2, version: 2 }, Revision { incarnation: 1, version: 3 }] {
            assert!(read(&value, other).is_none());
        }
        assert!(read("not json", change.revision).is_none());
    }
}
