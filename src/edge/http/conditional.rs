//! Entity tags and conditional requests (RFC 9110, sections 8.8.3 and 13.1).

use crate::directory::end_user::Revision;
use crate::organization::protocol::Precondition;

/// The most tags of a header that are read.
const TAGS_MAX: usize = 32;

/// The quoted version. A record under an id that was erased begins again at version 1, so its tag also has its
/// incarnation.
pub fn entity_tag(revision: Revision) -> String {
    if revision.incarnation == Revision::FIRST.incarnation {
        format!("\"{}\"", revision.version)
    } else {
        format!("\"{}.{}\"", revision.incarnation, revision.version)
    }
}

/// Reads `If-Match`, which compares strongly, so that a weak tag matches nothing.
pub fn if_match(header: &str) -> Precondition {
    read(header, |tag| tag)
}

/// Whether `If-None-Match` names the revision. It compares weakly.
pub fn none_match_names(header: &str, revision: Revision) -> bool {
    read(header, |tag| tag.strip_prefix("W/").unwrap_or(tag)).holds(revision)
}

fn read(header: &str, strip: impl Fn(&str) -> &str) -> Precondition {
    if header.trim() == "*" {
        return Precondition::Any;
    }
    let tags = header.split(',').take(TAGS_MAX).filter_map(|tag| parse(strip(tag.trim())));
    Precondition::Revisions(tags.collect())
}

/// The revision of a tag that [`entity_tag`] wrote. `None` for any other tag.
fn parse(tag: &str) -> Option<Revision> {
    let opaque = tag.strip_prefix('"')?.strip_suffix('"')?;
    let (incarnation, version) = match opaque.split_once('.') {
        Some((incarnation, version)) => (incarnation.parse().ok()?, version),
        None => (Revision::FIRST.incarnation, opaque),
    };
    let revision = Revision { incarnation, version: version.parse().ok()? };
    (entity_tag(revision) == tag).then_some(revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: Revision = Revision { incarnation: 1, version: 7 };

    #[test]
    fn tags_read_back() {
        for revision in [REVISION, Revision { incarnation: 3, version: 1 }] {
            assert!(if_match(&entity_tag(revision)).holds(revision));
            assert!(none_match_names(&format!("\"x\", W/{}", entity_tag(revision)), revision));
        }
    }

    #[test]
    fn other_tags_match_nothing() {
        for header in ["", "7", "\"8\"", "\"07\"", "\"+7\"", "\"1.7\"", "\"2.7\"", "W/\"7\"", "\"7", "**", "\"7\"x"] {
            assert!(!if_match(header).holds(REVISION), "{header}");
        }
        assert!(if_match(" * ").holds(REVISION));
        assert!(if_match("\"1\", \"7\"").holds(REVISION));
    }
}
