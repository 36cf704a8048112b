use super::*;
use crate::directory::timestamp::Timestamp;
use crate::json::Text;

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum SampleKind {
    FirstKind,
}

#[derive(Serialize)]
struct Newtype(i32);

#[derive(Serialize)]
struct SamplePair(u8, bool);

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Everything<'a> {
    text: &'a str,
    r#type: SampleKind,
    none: Option<u64>,
    some: Option<Newtype>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u64>,
    largest: u64,
    least: i64,
    character: char,
    empty: [u8; 0],
    list: Vec<(u16, SamplePair, Unit)>,
    nothing: Nothing,
}

#[derive(Serialize)]
struct Nothing {}

#[test]
fn the_bytes_are_those_of_serde_json() {
    let mut text: String = (0..0x500).filter_map(char::from_u32).collect();
    text.push_str("\u{2028}\u{fffd}\u{1f980}\\\"");
    let everything = Everything {
        text: &text,
        r#type: SampleKind::FirstKind,
        none: None,
        some: Some(Newtype(-7)),
        skipped: None,
        largest: u64::MAX,
        least: i64::MIN,
        character: '"',
        empty: [],
        list: vec![(1, SamplePair(2, true), Unit), (3, SamplePair(4, false), Unit)],
        nothing: Nothing {},
    };
    assert_eq!(write(&everything).unwrap(), serde_json::to_string(&everything).unwrap());
    for text in ["", "a", "\n", "\u{7f}", "ü\u{1}ü", &text] {
        assert_eq!(quote(text), serde_json::to_string(text).unwrap());
    }
}

#[test]
fn json_text_is_written_unchanged() {
    #[derive(Serialize)]
    struct Holder {
        first: Text,
        list: [Text; 2],
        at: Timestamp,
    }
    let text = |text: &str| Text::from_stored(text.to_owned());
    let holder = Holder { first: text("{\"a\":1.10}"), list: [text("[ ]"), text("1e999")], at: Timestamp::EPOCH };
    let expected = r#"{"first":{"a":1.10},"list":[[ ],1e999],"at":"1970-01-01T00:00:00.000Z"}"#;
    assert_eq!(write(&holder).unwrap(), expected);
}

#[test]
fn values_without_a_form_are_refused() {
    assert_eq!(write(&1.5), Err(Unwritable));
    assert_eq!(write(&[1.5_f32]), Err(Unwritable));
    assert_eq!(write(&std::collections::BTreeMap::from([(1, 2)])), Err(Unwritable));
    assert_eq!(write(&Ok::<u8, u8>(1)), Err(Unwritable));
}
