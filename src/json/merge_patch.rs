//! JSON Merge Patch (RFC 7396) over JSON that stays text: members that a patch does not name keep their
//! order and every digit of their numbers.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::members::{Members, members};
use super::text::Text;
use super::tokens::depth;
use crate::refusal::Refusal;

/// The deepest patch that is applied. Each level is one step of recursion.
pub const PATCH_DEPTH_MAX: usize = 16;

/// `MergePatch(Target, Patch)` of RFC 7396, section 2. `None` is an absent target. [`super::check`] must have
/// read both.
pub fn apply(target: Option<&RawValue>, patch: &RawValue) -> Result<Text, Refusal> {
    if depth(patch) > PATCH_DEPTH_MAX {
        return Err(Refusal::new(format!("must not be nested deeper than {PATCH_DEPTH_MAX} levels")));
    }
    merge(target, patch).map_err(|error| Refusal::new(error.to_string()))
}

fn merge(target: Option<&RawValue>, patch: &RawValue) -> serde_json::Result<Text> {
    let Some(patch) = members(patch) else { return Ok(Text::from(patch)) };
    // `merged` has the target's order, and `index` finds a member in it by name. A patch names no member
    // twice, so the members that it adds are not looked up. The caller chooses the names: the index is
    // ordered, as colliding names would make a hash map slow.
    let mut merged: Vec<Option<(String, Text)>> = Vec::new();
    let mut index: BTreeMap<String, usize> = BTreeMap::new();
    for (name, value) in target.and_then(members).unwrap_or_default().0 {
        index.insert(name.clone(), merged.len());
        merged.push(Some((name, Text::from(value))));
    }
    for (name, value) in patch.0 {
        let held = index.get(&name).and_then(|place| merged.get_mut(*place));
        if value.get() == "null" {
            if let Some(member) = held {
                *member = None;
            }
            continue;
        }
        let existing = held.as_ref().and_then(|member| member.as_ref()).map(|(_, text)| text.raw());
        let result = merge(existing, value)?;
        match held {
            Some(member) => *member = Some((name, result)),
            None => merged.push(Some((name, result))),
        }
    }
    let members = merged.iter().flatten().map(|(name, value)| (name.clone(), value.raw()));
    Text::of(&Members(members.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    fn merged(target: &str, patch: &str) -> String {
        apply(Some(raw(target)), raw(patch)).unwrap().as_str().to_owned()
    }

    /// RFC 7396, Appendix A, every case.
    #[test]
    fn appendix_a() {
        for (original, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(original, patch), result, "{original} {patch}");
        }
    }

    #[test]
    fn members_that_a_patch_does_not_name_stay_unchanged() {
        let target = r#"{"z":12345678901234567890123,"a":{"e":1e999,"s":"\u00e9"}}"#;
        assert_eq!(
            merged(target, r#"{ "a" : { "x" : -0 } }"#),
            r#"{"z":12345678901234567890123,"a":{"e":1e999,"s":"\u00e9","x":-0}}"#
        );
    }

    #[test]
    fn a_patch_has_a_bottom() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(apply(None, raw(&nested(PATCH_DEPTH_MAX))).is_ok());
        assert!(apply(None, raw(&nested(PATCH_DEPTH_MAX + 1))).is_err());
    }
}
