//! Merge patches of a record. RFC 7396's own examples stand beside `src/json/merge_patch.rs`; this is what a record adds to
//! them.

use rollcall::directory::end_user::EndUser;
use rollcall::directory::metadata::{METADATA_BYTES_MAX, METADATA_DEPTH_MAX};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::json;
use rollcall::organization::protocol::{Answer, Command, EndUserChange, Outcome, Rejection, UpdateEndUser};

use crate::tenant::Object;

fn merge(object: &mut Object, display_name: Option<Option<&str>>, patch: Option<&str>) -> Outcome {
    let metadata = patch.map(|text| json::Text::parse(text.to_owned()).expect("JSON"));
    let display_name = display_name.map(|name| name.map(|name| Name::new(name).expect("a name")));
    let change = EndUserChange::Merge { display_name, metadata };
    let user_id = UserId::new("ada").expect("an id");
    object.operator(Command::UpdateEndUser(UpdateEndUser { user_id, change, if_match: None }))
}

fn merged(object: &mut Object, display_name: Option<Option<&str>>, patch: Option<&str>) -> EndUser {
    match merge(object, display_name, patch) {
        Ok(Answer::UpdateEndUser(user)) => user,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_merge_patch_changes_what_it_names_and_null_removes() {
    let mut object = Object::new(1, Limits::default());
    object.create(&UserId::new("ada").expect("an id"));
    for (name, patch, expected_name, expected) in [
        (Some(Some("Ada")), Some(r#"{"a":1,"b":{"c":[1,2]}}"#), Some("Ada"), r#"{"a":1,"b":{"c":[1,2]}}"#),
        // What it does not name stays, an array is replaced as a whole, and numbers keep their digits.
        (None, Some(r#"{"b":{"c":[3],"d":1e999}}"#), Some("Ada"), r#"{"a":1,"b":{"c":[3],"d":1e999}}"#),
        (None, Some(r#"{"a":null,"x":null,"b":{"c":null}}"#), Some("Ada"), r#"{"b":{"d":1e999}}"#),
        (Some(Some("Eve")), None, Some("Eve"), r#"{"b":{"d":1e999}}"#),
        (Some(None), Some("{}"), None, r#"{"b":{"d":1e999}}"#),
        // A record always has metadata: what removes all of it empties it.
        (None, Some("null"), None, "{}"),
    ] {
        let user = merged(&mut object, name, patch);
        assert_eq!((user.display_name.as_ref().map(Name::as_str), user.metadata.as_str()), (expected_name, expected));
    }
}

#[test]
fn a_merge_patch_without_an_effect_makes_no_version() {
    let mut object = Object::new(1, Limits::default());
    object.create(&UserId::new("ada").expect("an id"));
    let user = merged(&mut object, Some(Some("Ada")), Some(r#"{"a":{"b":1}}"#));
    object.now_ms += 1;
    for (name, patch) in [
        (None, None),
        (None, Some("{}")),
        (Some(Some("Ada")), Some(r#"{"a":{}}"#)),
        (None, Some(r#"{"a":{"b":1},"x":null}"#)),
    ] {
        assert_eq!(merged(&mut object, name, patch), user, "{patch:?}");
    }
}

/// The bounds hold for what a patch makes, and not only for the patch. A refused patch changes nothing.
#[test]
fn a_merge_patch_makes_no_metadata_that_a_record_may_not_have() {
    let mut object = Object::new(1, Limits::default());
    object.create(&UserId::new("ada").expect("an id"));
    let member = |name: &str, bytes: usize| format!("{{\"{name}\":\"{}\"}}", "x".repeat(bytes));
    // Both members need 15 bytes more than their texts.
    let (first, second) = (METADATA_BYTES_MAX / 2, METADATA_BYTES_MAX / 2 - 15);
    let user = merged(&mut object, None, Some(&member("a", first)));
    let deep = |levels: usize| format!("{}1{}", "{\"d\":".repeat(levels), "}".repeat(levels));
    for patch in [member("b", second + 1), deep(METADATA_DEPTH_MAX + 1), "[1]".to_owned(), "7".to_owned()] {
        let outcome = merge(&mut object, Some(Some("Eve")), Some(&patch));
        assert!(matches!(&outcome, Err(Rejection::Invalid { field, .. }) if field == "metadata"), "{outcome:?}");
        assert_eq!(merged(&mut object, None, None), user);
    }
    assert!(merge(&mut object, None, Some(&member("b", second))).is_ok(), "exactly the most");
    let mut object = Object::new(1, Limits::default());
    object.create(&UserId::new("ada").expect("an id"));
    assert!(merge(&mut object, None, Some(&deep(METADATA_DEPTH_MAX))).is_ok());
}
