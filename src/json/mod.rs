//! JSON as text: the strict check of what callers send, reading, writing and merging.
//!
//! Invariant: a text that passed [`Document::parse`] is valid JSON, names no member twice in one object
//! and escapes only whole Unicode characters. It is passed on as text, so that a number of any size and
//! precision leaves as it came (RFC 8259, section 6, leaves both open; an `f64` loses digits past 2^53).

mod compact;
mod document;
pub mod merge_patch;
mod nesting;
mod raw;
mod text;
mod unreadable;
mod value;
mod write;

pub use compact::compact;
pub use document::Document;
pub use nesting::depth;
pub use raw::{Members, Raw};
pub use text::Text;
pub use unreadable::Unreadable;
pub use value::Value;
pub use write::{Unwritable, quote, text, write, write_to};
