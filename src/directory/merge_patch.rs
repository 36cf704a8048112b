//! JSON Merge Patch (RFC 7396), over JSON that stays text: what a patch does not
//! touch keeps its order and every digit of its numbers.

use serde_json::value::RawValue;

use super::Refusal;
use super::json::{self, Members};

/// Deepest patch that is applied: every level is one step of recursion.
pub const PATCH_DEPTH_MAX: usize = 16;

/// `MergePatch(Target, Patch)` of RFC 7396, section 2. `None` is an absent
/// target. Both must have been read by [`json::Document`].
pub fn apply(target: Option<&RawValue>, patch: &RawValue) -> Result<String, Refusal> {
    if json::depth(patch) > PATCH_DEPTH_MAX {
        return Err(Refusal::new(format!("must not be nested deeper than {PATCH_DEPTH_MAX} levels")));
    }
    merge(target, patch)
}

fn merge(target: Option<&RawValue>, patch: &RawValue) -> Result<String, Refusal> {
    if !json::is_object(patch) {
        return Ok(json::compact(patch));
    }
    // In the target's order; `index`, in the order of names, finds a member without
    // looking at all. No name comes twice in the patch, so what it adds need not be found.
    let mut merged: Vec<Option<(String, String)>> = Vec::new();
    let mut index: Vec<(String, usize)> = Vec::new();
    if let Some(target) = target.filter(|target| json::is_object(target)) {
        for (name, value) in members(target)?.0 {
            index.push((name.clone(), merged.len()));
            merged.push(Some((name, json::compact(value))));
        }
    }
    json::sort(&mut index);
    for (name, value) in members(patch)?.0 {
        let found = index.binary_search_by(|(member, _)| member.as_str().cmp(&name)).ok();
        let held = found.and_then(|found| index.get(found)).and_then(|(_, place)| merged.get_mut(*place));
        if value.get() == "null" {
            if let Some(member) = held {
                *member = None;
            }
            continue;
        }
        let existing = held.as_ref().and_then(|member| member.as_ref()).map(|(_, text)| text.clone());
        let existing = existing.map(RawValue::from_string).transpose().map_err(unreadable)?;
        let result = merge(existing.as_deref(), value)?;
        match held {
            Some(member) => *member = Some((name, result)),
            None => merged.push(Some((name, result))),
        }
    }
    Ok(write(merged.iter().flatten()))
}

fn members(value: &RawValue) -> Result<Members<'_>, Refusal> {
    serde_json::from_str(value.get()).map_err(unreadable)
}

fn write<'a>(members: impl Iterator<Item = &'a (String, String)>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&json::quote(name));
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

fn unreadable(error: serde_json::Error) -> Refusal {
    Refusal::new(format!("is not valid JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(target: &str, patch: &str) -> String {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        apply(Some(&raw(target)), &raw(patch)).unwrap()
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
    fn what_is_not_touched_stays_to_the_letter() {
        let target = r#"{"z":12345678901234567890123,"a":{"e":1e999,"s":"\u00e9"}}"#;
        assert_eq!(
            merged(target, r#"{ "a" : { "x" : -0 } }"#),
            r#"{"z":12345678901234567890123,"a":{"e":1e999,"s":"\u00e9","x":-0}}"#
        );
    }

    #[test]
    fn a_patch_has_a_bottom() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let raw = |text: String| RawValue::from_string(text).unwrap();
        assert!(apply(None, &raw(nested(PATCH_DEPTH_MAX))).is_ok());
        assert!(apply(None, &raw(nested(PATCH_DEPTH_MAX + 1))).is_err());
    }
}
