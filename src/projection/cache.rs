//! The record cache in KV.
//!
//! Invariants:
//!
//! - A value carries the version of its record, so an audit sees a stale, late or lost write.
//! - No reader writes the cache: a slow reader would bring an old state back.

use serde::{Deserialize, Serialize};

use crate::directory::end_user::Version;
use crate::directory::identifiers::Tenant;
use crate::directory::names::UserId;
use crate::guards::{self, Guard};
use crate::json::RawValue;
use crate::organization::batches::Change;

use super::stores::Put;

/// The key of a user's record. The user id is hashed, because it may be twice as long as a KV key
/// (512 bytes, <https://developers.cloudflare.com/kv/platform/limits/>). The tenant is not hashed, so
/// that an audit can list the records of one tenant by prefix.
pub fn key(tenant: Tenant, user_id: &UserId) -> String {
    format!("{}{}", prefix(tenant), user_id.digest())
}

/// The prefix of the keys of a tenant's records.
pub fn prefix(tenant: Tenant) -> String {
    format!("{tenant}/end-users/")
}

/// Whether a value is a tombstone.
pub fn is_tombstone(value: &str) -> bool {
    value == TOMBSTONE
}

#[derive(Serialize, Deserialize)]
struct CachedRecord<'a> {
    version: Version,
    #[serde(borrow)]
    document: &'a RawValue,
}

/// The value in the place of an erased record. It states that there is no record. A missing key does
/// not, because KV may serve a cached miss.
const TOMBSTONE: &str = "{}";
/// Seconds until a tombstone expires. It is longer than KV may serve the record before it (60
/// seconds), and limited because the key is derived from the id of a person.
const TOMBSTONE_TTL_S: u64 = 300;

/// The value to store for a change, under its key.
pub fn put(tenant: Tenant, change: &Change) -> serde_json::Result<Put> {
    let (value, ttl_s) = value(change)?;
    Ok(Put { key: key(tenant, &change.user_id), value, ttl_s })
}

/// Whether a change is stored in the cache. Every change is; an erasure is stored as a tombstone.
pub fn is_put(change: &Change) -> bool {
    change.record.is_some() || guards::is_on(Guard::Tombstone)
}

/// The value to store for a change, and the seconds until it expires.
pub fn value(change: &Change) -> serde_json::Result<(String, Option<u64>)> {
    match &change.record {
        Some(record) => {
            let cached = CachedRecord { version: change.version, document: record.document.raw() };
            Ok((serde_json::to_string(&cached)?, None))
        }
        None => Ok((TOMBSTONE.to_owned(), Some(TOMBSTONE_TTL_S))),
    }
}

/// The record in a stored value, if the value has this version.
pub fn read(value: &str, version: Version) -> Option<&RawValue> {
    let CachedRecord { version: held, document } = serde_json::from_str(value).ok()?;
    (held == version).then_some(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::identifiers::{Mode, OrganizationId};
    use crate::directory::metadata::Metadata;
    use crate::directory::timestamp::Timestamp;
    use crate::json::Text;
    use crate::organization::batches::ProjectedRecord;

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
            version: Version::of_sequence(3),
            is_first: false,
            created_at: Timestamp::EPOCH,
            record: Some(ProjectedRecord {
                display_name: None,
                metadata: Metadata::default(),
                document: Text::parse("{\"n\":1e999}".to_owned()).unwrap(),
            }),
            relationships: None,
        };
        let (value, ttl_s) = value(&change).unwrap();
        assert_eq!(ttl_s, None);
        assert_eq!(value, r#"{"version":3,"document":{"n":1e999}}"#);
        assert_eq!(read(&value, change.version).unwrap().get(), "{\"n\":1e999}");
        assert!(read(&value, Version::of_sequence(2)).is_none());
        assert!(read("not json", change.version).is_none());
        let (tombstone, ttl_s) = super::value(&Change { record: None, ..change.clone() }).unwrap();
        assert!(read(&tombstone, change.version).is_none() && ttl_s >= Some(60));
    }
}
