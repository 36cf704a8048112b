//! When a reader who holds a version is told that it is still the one.

use rollcall::directory::end_user::Version;
use rollcall::edge::http::conditional::{self, Conditions, entity_tag};

/// A caller may hold a body with relationships or moods that have changed since.
#[test]
fn a_version_that_does_not_fix_the_body_is_never_answered_304() {
    let version = Version::of_sequence(7);
    let status = |is_whole| {
        let if_none_match = Some(conditional::read(&entity_tag(version)));
        let conditions = Conditions { if_match: None, if_none_match };
        conditions.judge(version, is_whole).ok().flatten().map(|response| response.status)
    };
    assert_eq!((status(true), status(false)), (Some(304), None));
}
