//! The responder, which answers a person's message: an echo, a model behind an API like OpenAI's, or a model
//! of Workers AI.
//!
//! Invariant: whatever a responder sends, a request either gets an answer with text or fails with
//! [`ResponderError`]. Only the log says what the responder sent instead of an answer.

mod affect;
mod answer;
mod ask;
mod chat;
mod chat_request;
pub mod completion;
mod echo;
pub mod events;
mod prompt;
pub mod settings;

pub use affect::ReportedAffect;
pub use answer::{OnDelta, ResponderAnswer, ResponderError};
pub use ask::ask;
pub use prompt::Prompt;
