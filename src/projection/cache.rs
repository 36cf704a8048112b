//! The record cache in KV.
//!
//! Invariants:
//!
//! - A value carries its revision. A reader uses it only when the object names
//!   that very revision, so a stale, late or lost write is never seen.
//! - Nothing writes the cache from a read path: a reader that was overtaken
//!   would bring an old state back.

use serde::Serialize;

use crate::directory::end_user::Revision;
use crate::directory::identifiers::Tenant;
use crate::directory::names::UserId;
use crate::guards::{self, Guard};
use crate::json::{self, Raw, Unwritable};
use crate::organization::outbox::Change;

use super::stores::Put;

/// The key of a user's record. User ids are hashed, as they may be twice as long
/// as a KV key (512 bytes); the tenant is not, so that one tenant's records can
/// be enumerated by prefix.
pub fn key(tenant: Tenant, user_id: &UserId) -> String {
    format!("{}{}", prefix(tenant), user_id.digest())
}

/// What the keys of a tenant's records begin with.
pub fn prefix(tenant: Tenant) -> String {
    format!("{tenant}/end-users/")
}

/// Whether a value stands in the place of an erased record.
pub fn is_tombstone(value: &str) -> bool {
    value == TOMBSTONE
}

#[derive(Serialize)]
struct CachedRecord<'a> {
    incarnation: i64,
    version: i64,
    document: &'a json::Text,
}

/// What to put in the place of an erased record: it says that there is none, which
/// a missing value, that may be a cached miss, does not.
const TOMBSTONE: &str = "{}";
/// How long a tombstone is kept, in seconds: longer than any reader may see what
/// was there before it (a minute), and not for ever, as its key is made from an id.
const TOMBSTONE_TTL_S: u64 = 300;

/// What to store for a change.
pub fn put(tenant: Tenant, change: &Change) -> Result<Put, Unwritable> {
    let (value, ttl_s) = value(change)?;
    Ok(Put { key: key(tenant, &change.user_id), value, ttl_s })
}

/// Whether a change is put into the cache at all: every one is, an erasure as a tombstone.
pub fn is_put(change: &Change) -> bool {
    change.document.is_some() || guards::is_on(Guard::Tombstone)
}

/// The value to store for a change, and for how many seconds if not for good.
pub fn value(change: &Change) -> Result<(String, Option<u64>), Unwritable> {
    match &change.document {
        Some(document) => {
            let Revision { incarnation, version } = change.revision;
            Ok((json::write(&CachedRecord { incarnation, version, document })?, None))
        }
        None => Ok((TOMBSTONE.to_owned(), Some(TOMBSTONE_TTL_S))),
    }
}

/// The record in a stored value, if it is of this revision.
pub fn read(value: &str, revision: Revision) -> Option<Raw<'_>> {
    let entry = Raw::parse(value).ok()?.members()?;
    let number = |name: &str| entry.get(name)?.value()?.as_i64();
    let held = Revision { incarnation: number("incarnation")?, version: number("version")? };
    let document = entry.get("document")?;
    (held == revision || !guards::is_on(Guard::CachedRevision)).then_some(document)
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
            document: Some(json::Text::from_stored("{\"n\":1e999}".to_owned())),
            relationships: None,
        };
        let (value, ttl_s) = value(&change).unwrap();
        assert_eq!(ttl_s, None);
        assert_eq!(value, r#"{"incarnation":2,"version":3,"document":{"n":1e999}}"#);
        assert_eq!(read(&value, change.revision).unwrap().get(), "{\"n\":1e999}");
        for other in [Revision { incarnation: 2, version: 2 }, Revision { incarnation: 1, version: 3 }] {
            assert!(read(&value, other).is_none());
        }
        assert!(read("not json", change.revision).is_none());
        let (tombstone, ttl_s) = super::value(&Change { document: None, ..change.clone() }).unwrap();
        assert!(read(&tombstone, change.revision).is_none() && ttl_s >= Some(60));
    }
}
