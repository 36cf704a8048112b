//! The affect that a responder reports in a block at the end of its answer:
//!
//! ````text
//! ```affect
//! {"valence":0.4,"arousal":-0.1,"primary":"curiosity"}
//! ```
//! ````
//!
//! The block is fenced text. `response_format` is unknown to some servers and would turn the text of the
//! answer into JSON too.
//!
//! Invariant: no part of a block, however broken, is ever part of the text.

use serde::Deserialize;

use crate::json::{RawValue, Tolerant, string};

/// Begins the block.
const FENCE: &str = "```affect";
/// Ends the block.
const FENCE_END: &str = "```";

/// The longest name of a feeling, in bytes. Names are a word or two.
const PRIMARY_BYTES_MAX: usize = 64;

/// The affect that a responder reports. Every number is finite. `confidence` lies in [0, 1], all others in
/// [-1, 1].
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedAffect {
    pub valence: f64,
    pub arousal: f64,
    pub tension: Option<f64>,
    pub affiliation: Option<f64>,
    pub primary: Option<String>,
    pub confidence: Option<f64>,
}

/// The inside of a block.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    valence: &'a RawValue,
    arousal: &'a RawValue,
    tension: Option<&'a RawValue>,
    affiliation: Option<&'a RawValue>,
    #[serde(default)]
    primary: Tolerant<String>,
    confidence: Option<&'a RawValue>,
}

impl ReportedAffect {
    /// Reads the inside of a block. `None` without valence and arousal. Any other part that is wrong counts
    /// as absent.
    fn read(block: &str) -> Option<Self> {
        let block: Block<'_> = serde_json::from_str(block).ok()?;
        let number = |value: &RawValue, min: f64| {
            // Some models put numbers in quotes.
            let text = string(value).unwrap_or_else(|| value.get().to_owned());
            let number = serde_json::from_str::<f64>(&text).ok()?;
            // Adding 0 turns -0 into 0.
            Some(number.clamp(min, 1.0) + 0.0)
        };
        let primary = block.primary.0.map(|text| text.trim().to_owned());
        let is_name =
            |text: &String| (1..=PRIMARY_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        Some(Self {
            valence: number(block.valence, -1.0)?,
            arousal: number(block.arousal, -1.0)?,
            tension: block.tension.and_then(|value| number(value, -1.0)),
            affiliation: block.affiliation.and_then(|value| number(value, -1.0)),
            primary: primary.filter(is_name),
            confidence: block.confidence.and_then(|value| number(value, 0.0)),
        })
    }
}

/// Separates the text of an answer from the affect, and removes white space around the text. Of several
/// blocks the last valid one counts.
pub fn separate(content: &str) -> (String, Option<ReportedAffect>) {
    let (mut text, mut affect, mut rest) = (String::new(), None, content);
    loop {
        let fence = rest.split_once(FENCE);
        let visible = fence.map_or(rest, |(before, _)| before).trim();
        if !text.is_empty() && !visible.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(visible);
        let Some((_, after)) = fence else { return (text, affect) };
        // An answer that was cut off may lack the end of the block.
        let (block, after) = after.split_once(FENCE_END).unwrap_or((after, ""));
        affect = ReportedAffect::read(block).or(affect);
        rest = after;
    }
}

/// An answer that comes piece by piece, and how much of its text may be passed on by now. Text that is, or
/// may turn out to be, part of a block or white space before a block is held back.
///
/// Invariant: a piece is read once, with less than a fence before it. So the work is in proportion to the answer, however
/// it is cut.
#[derive(Debug, Default)]
pub struct StreamedAnswer {
    content: String,
    /// The bytes of the content that were passed on or skipped.
    settled: usize,
    /// The bytes of the content before which no fence begins. What lies between `settled` and here is white space.
    read: usize,
    /// Whether a block has begun. Text after it is passed on at the end.
    fenced: bool,
}

impl StreamedAnswer {
    pub fn len(&self) -> usize {
        self.content.len()
    }

    /// Takes a piece and returns the text that may be passed on now.
    pub fn push(&mut self, piece: &str) -> &str {
        self.content.push_str(piece);
        if self.fenced {
            return "";
        }
        let unread = self.unread();
        let fence = unread.split_once(FENCE);
        let open = fence.map_or_else(|| without_beginning_of_fence(unread), |(before, _)| before);
        let (open, visible, fenced) = (open.len(), open.trim_end().len(), fence.is_some());
        self.fenced = fenced;
        let (first, last) = (self.settled, self.read.saturating_add(visible));
        self.read = self.read.saturating_add(open);
        if visible == 0 {
            return "";
        }
        self.settled = last;
        let delta = self.content.get(first..last).unwrap_or_default();
        if first == 0 { delta.trim_start() } else { delta }
    }

    /// What no piece before has settled: the last piece, after what may be the beginning of a fence.
    fn unread(&self) -> &str {
        self.content.get(self.read..).unwrap_or_default()
    }

    /// The text, the affect, and how many bytes of the text were passed on.
    pub fn finish(self) -> (String, Option<ReportedAffect>, usize) {
        let leading = self.content.len().saturating_sub(self.content.trim_start().len());
        let (text, affect) = separate(&self.content);
        (text, affect, self.settled.saturating_sub(leading))
    }
}

/// The text without a beginning of a fence at its end.
fn without_beginning_of_fence(text: &str) -> &str {
    let mut beginnings = (1..FENCE.len()).rev().filter_map(|length| FENCE.get(..length));
    beginnings.find_map(|beginning| text.strip_suffix(beginning)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_affect_within_bounds() {
        let (text, affect) = separate(
            "Hello!\n\n```affect\n{\"valence\":0.25,\"arousal\":-7,\"tension\":1.5,\"affiliation\":-0,\"primary\":\" joy \",\"confidence\":-1}\n```\n",
        );
        assert_eq!(text, "Hello!");
        let affect = affect.unwrap();
        assert_eq!(affect.primary.as_deref(), Some("joy"));
        let numbers =
            [Some(affect.valence), Some(affect.arousal), affect.tension, affect.affiliation, affect.confidence];
        assert_eq!(numbers, [Some(0.25), Some(-1.0), Some(1.0), Some(0.0), Some(0.0)]);
        assert!(affect.affiliation.unwrap().is_sign_positive());
    }

    #[test]
    fn a_wrong_part_counts_as_absent() {
        for (block, primary, tension) in [
            (r#"{"valence":"0.5","arousal":1,"primary":7,"tension":"high"}"#, None, None),
            (r#"{"valence":0.5,"arousal":1,"primary":"","tension":null}"#, None, None),
            (r#"{"valence":0.5,"arousal":1,"primary":"a\u0000b","tension":1e999}"#, None, None),
            (r#"{"valence":0.5,"arousal":1,"primary":"awe","tension":[1],"more":{"a":[]}}"#, Some("awe"), None),
            (r#"{"valence":0.5,"arousal":1,"primary":"\ud800","tension":0.125}"#, None, Some(0.125)),
        ] {
            let affect = ReportedAffect::read(block).unwrap();
            assert_eq!((affect.valence, affect.arousal), (0.5, 1.0), "{block}");
            assert_eq!((affect.primary.as_deref(), affect.tension), (primary, tension), "{block}");
        }
        let long = format!(r#"{{"valence":0,"arousal":0,"primary":"{}"}}"#, "x".repeat(65));
        assert_eq!(ReportedAffect::read(&long).unwrap().primary, None);
    }

    #[test]
    fn an_invalid_block_is_neither_affect_nor_text() {
        let deep = format!("{{\"valence\":0,\"arousal\":{}", "[".repeat(100_000));
        for block in [
            "",
            "{}",
            "[]",
            "null",
            "\"x\"",
            "{\"valence\":0.5}",
            "{\"valence\":NaN,\"arousal\":0}",
            "valence: 1",
            "{\"valence\":1e999,\"arousal\":0}",
            "{\"valence\":true,\"arousal\":0}",
            "{\"valence\":0,\"arousal\":0",
            &deep,
        ] {
            for end in ["", "```", "\n```\n\n"] {
                assert_eq!(separate(&format!("Hi.\n```affect\n{block}{end}")), ("Hi.".to_owned(), None), "{block}");
            }
        }
        assert_eq!(separate("  \n```affect\n{\"valence\":0,\"arousal\":0}\n```").0, "");
    }

    #[test]
    fn text_around_blocks_stays() {
        let block = |valence: &str| format!("```affect\n{{\"valence\":{valence},\"arousal\":0}}\n```");
        let (text, affect) = separate(&format!("a {} b\n{}\n{} ", block("0.5"), block("1"), block("?")));
        assert_eq!(text, "a\n\nb");
        assert_eq!(affect.unwrap().valence.to_string(), "1");
        let code = "Use ```rust\nlet a = 1;\n``` and ``` or ```aff.";
        assert_eq!(separate(code), (code.to_owned(), None));
    }

    #[test]
    fn the_pieces_passed_on_are_the_text_wherever_it_is_cut() {
        for content in [
            " Grüße, 世界! \n\n```affect\n{\"valence\":0.5,\"arousal\":0}\n``` ",
            "a ``` b ```aff c ```affect{}``` d",
            "```affect\n{\"valence\":0.5,\"arousal\":0}\n```\nlate",
            "  ",
            "ends in ```affec",
            "`````affect{}",
        ] {
            let characters: Vec<char> = content.chars().collect();
            for first in 0..=characters.len() {
                for second in first..=characters.len() {
                    let pieces = [&characters[..first], &characters[first..second], &characters[second..]];
                    assert_passed_on(content, pieces.map(|piece| piece.iter().collect::<String>()).as_slice());
                }
            }
            assert_passed_on(content, &characters.iter().map(char::to_string).collect::<Vec<_>>());
        }
    }

    /// The work of a stream is what its pieces have to read.
    #[test]
    fn a_stream_is_read_once_whatever_it_is_made_of() {
        for piece in [" ", "\n", "`", "``` ", "```aff", "a", " a ", "\u{3000}"] {
            let mut unfolding = StreamedAnswer::default();
            let mut reread = 0;
            for _ in 0..10_000 {
                reread = reread.max(unfolding.unread().len());
                unfolding.push(piece);
            }
            assert!(reread < FENCE.len(), "{piece:?}: {reread} bytes are read again");
            assert_passed_on(&piece.repeat(100), &vec![piece.to_owned(); 100]);
        }
        let mut unfolding = StreamedAnswer::default();
        assert!((0..10_000).all(|_| unfolding.push(" ").is_empty()));
        assert_eq!(unfolding.push("a"), "a");
        assert_eq!(unfolding.push("   "), "");
        assert_eq!(unfolding.push("b").len(), 4, "the white space comes with what follows it");
    }

    fn assert_passed_on(content: &str, pieces: &[String]) {
        let mut unfolding = StreamedAnswer::default();
        let mut passed_on: String = pieces.iter().map(|piece| unfolding.push(piece).to_owned()).collect();
        let (text, affect, length) = unfolding.finish();
        assert_eq!(passed_on.len(), length, "{pieces:?}");
        passed_on.push_str(&text[length..]);
        assert_eq!(passed_on, text, "{pieces:?}");
        assert_eq!((text, affect), separate(content));
    }
}
