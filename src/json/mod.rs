//! JSON beyond `serde_json`: text that is passed on unread, the strict check of what callers send, and
//! merge patches.
//!
//! Invariant: a text that passed [`check`] is valid JSON, names no member twice in one object and escapes
//! only whole Unicode characters. It is passed on as text, so that a number of any size and precision leaves
//! as it came (RFC 8259, section 6, leaves both open; an `f64` loses digits past 2^53).

mod canonical;
mod document;
mod members;
pub mod merge_patch;
mod text;
mod tokens;
mod tolerant;

pub use canonical::canonical;
pub use document::check;
pub use members::{Members, as_map, elements, is_object, list_of, members, string};
pub use serde_json::value::RawValue;
pub use text::Text;
pub use tokens::{compact, depth};
pub use tolerant::{Present, Tolerant};
