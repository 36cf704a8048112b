//! The copies in KV.
//!
//! Invariants:
//!
//! - A copy carries the version of its record. A reader believes it only if its lease allows that version.
//! - No reader writes: a slow reader would bring an old state back.

use super::stores::Put;
use crate::directory::epoch::Epoch;
use crate::directory::identifiers::Tenant;
use crate::directory::timestamp::Timestamp;
use crate::organization::copies::{CopiedUser, Copy, SPREAD_MS};

/// The key of a copy. The user id is hashed, because it may be twice as long as a KV key
/// (512 bytes, <https://developers.cloudflare.com/kv/platform/limits/>). The tenant is not hashed, so
/// that an audit can list the copies of one tenant by prefix.
pub fn key(tenant: Tenant, epoch: Epoch, digest: &str) -> String {
    format!("{tenant}/copies/{epoch}/{digest}")
}

/// The epoch and the digest of a key; `None` if it is no key of a copy.
pub fn place(tenant: Tenant, text: &str) -> Option<(Epoch, String)> {
    let (epoch, digest) = text.strip_prefix(&format!("{tenant}/copies/"))?.split_once('/')?;
    let place = (Epoch::of_number(epoch.parse().ok()?), digest.to_owned());
    (key(tenant, place.0, digest) == text).then_some(place)
}

/// The prefix of all keys of a tenant, those of earlier builds included.
pub fn prefix(tenant: Tenant) -> String {
    format!("{tenant}/")
}

/// The value in the place of an erased record. It states that there is no record. A missing key does
/// not, because KV may serve a cached miss.
const TOMBSTONE: &str = "{}";

/// Whether a value is a tombstone.
pub fn is_tombstone(value: &str) -> bool {
    value == TOMBSTONE
}

/// Reads a copy; `None` for a tombstone, and for what this build cannot read.
pub fn read(value: &str) -> Option<CopiedUser> {
    serde_json::from_str(value).ok()
}

/// What to store for a copy. A tombstone goes when no late write can bring the copy back.
pub fn put(tenant: Tenant, copy: &Copy, now: Timestamp) -> serde_json::Result<Put> {
    let key = key(tenant, copy.epoch, &copy.digest);
    let (value, expires_at) = match &copy.user {
        Some(stored) => (serde_json::to_string(stored)?, copy.ends_at),
        None => (TOMBSTONE.to_owned(), now.plus_ms(SPREAD_MS)),
    };
    Ok(Put { key, value, expires_at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::end_user::{EndUser, Status, Version};
    use crate::directory::identifiers::{Mode, OrganizationId};
    use crate::directory::metadata::Metadata;
    use crate::directory::names::UserId;
    use crate::directory::principal::PrincipalId;

    #[test]
    fn golden_key_and_value() {
        let organization = OrganizationId::new(Timestamp::from_millis(0), [0; 10]);
        let tenant = Tenant { organization, mode: Mode::Live };
        let user_id = UserId::new("ada").unwrap();
        assert_eq!(
            key(tenant, Epoch::of_number(7), &user_id.digest()),
            "00000000000000000000000000/live/copies/7/_e5DDUC9V97qwYbNl5ADPQ8G-QmogG585ucXq3x9UCk"
        );
        for (text, found) in [("copies/7/x", true), ("copies/07/x", false), ("copies/x", false), ("end-users/x", false)]
        {
            let place = found.then(|| (Epoch::of_number(7), "x".to_owned()));
            assert_eq!(place, super::place(tenant, &format!("{tenant}/{text}")), "{text}");
        }
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
        let stored = CopiedUser { principal_id: PrincipalId::new(Timestamp::EPOCH, [7; 10]), user };
        let value = serde_json::to_string(&stored).unwrap();
        assert_eq!(
            value,
            "{\"principal_id\":\"00000000-0000-7707-8707-070707070707\",\"user\":{\"user_id\":\"ada\",\
             \"display_name\":null,\"metadata\":{\"n\":1e999},\"status\":\"active\",\"version\":3,\
             \"created_at\":\"1970-01-01T00:00:00.000Z\",\"updated_at\":\"1970-01-01T00:00:00.000Z\",\
             \"last_interaction_at\":null}}"
        );
        assert_eq!(read(&value), Some(stored));
        for bad in [TOMBSTONE, "not json", ""] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
