//! Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13.1).

use super::response::Response;
use crate::directory::end_user::Version;
use crate::fault::Fault;
use crate::organization::protocol::Precondition;
use crate::refusal::Refusal;

/// The most tags of a header that are read.
const TAGS_MAX: usize = 32;

/// The quoted version.
pub fn entity_tag(version: Version) -> String {
    format!("\"{}\"", version.sequence())
}

/// The tag of a body that also shows what changes without the version.
pub fn weak_entity_tag(version: Version) -> String {
    format!("W/{}", entity_tag(version))
}

/// The preconditions of a read.
pub struct Conditions {
    pub if_match: Option<Precondition>,
    pub if_none_match: Option<Precondition>,
}

impl Conditions {
    /// The answer in the place of the record, in the order of RFC 9110, section 13.2.2: 412 to a caller who wants
    /// another version, 304 to one who holds this version already.
    /// `is_whole` says that the version fixes the whole body, so that the same version is the same body.
    pub fn judge(self, version: Version, is_whole: bool) -> Result<Option<Response>, Fault> {
        if !Precondition::permits(self.if_match.as_ref(), version) {
            return Err(Fault::PreconditionFailed);
        }
        let is_held = is_whole && self.if_none_match.is_some_and(|condition| condition.holds(version));
        Ok(is_held.then(|| Response::new(304).with("ETag", entity_tag(version))))
    }
}

/// Refuses a precondition by date. A record can change twice within a second, so a date does not name a version.
pub fn check_supported(if_unmodified_since: Option<&str>) -> Result<(), Fault> {
    let reason = "If-Unmodified-Since is not supported: send If-Match with the ETag that you have read";
    if_unmodified_since.map_or(Ok(()), |_| Err(Fault::Malformed(Refusal::new(reason))))
}

/// Reads `If-Match` or `If-None-Match`: `*`, or tags. The weak form of a tag names the same version: proxies weaken
/// the tag of a response that they compress, and a tag here names nothing but a version (RFC 7644, section 3.14,
/// does the same).
pub fn read(header: &str) -> Precondition {
    if header.trim() == "*" {
        return Precondition::Any;
    }
    let tags = header.split(',').take(TAGS_MAX).filter_map(|tag| parse(tag.trim()));
    Precondition::Versions(tags.collect())
}

/// The version of a tag that [`entity_tag`] or [`weak_entity_tag`] wrote. `None` for any other tag.
fn parse(tag: &str) -> Option<Version> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let version = Version::of_sequence(tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()?);
    (entity_tag(version) == tag).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: Version = Version::of_sequence(7);

    #[test]
    fn tags_read_back() {
        for tag in [entity_tag(VERSION), weak_entity_tag(VERSION)] {
            assert!(read(&tag).holds(VERSION));
            assert!(read(&format!("\"x\", {tag}")).holds(VERSION));
            assert!(!read(&tag).holds(Version::of_sequence(8)));
        }
    }

    #[test]
    fn a_header_names_at_most_32_versions() {
        let header = |others: usize| format!("{}{}", "\"8\", ".repeat(others), entity_tag(VERSION));
        assert!(read(&header(TAGS_MAX - 1)).holds(VERSION));
        assert!(!read(&header(TAGS_MAX)).holds(VERSION));
    }

    #[test]
    fn other_tags_match_nothing() {
        for header in ["", "7", "\"8\"", "\"07\"", "\"+7\"", "\"1.7\"", "w/\"7\"", "W/7", "\"7", "**", "\"7\"x"] {
            assert!(!read(header).holds(VERSION), "{header}");
        }
        assert!(read(" * ").holds(VERSION));
        assert!(read("\"1\", \"7\"").holds(VERSION));
    }
}
