//! The answer of a responder.

use super::affect::ReportedAffect;
use crate::fault::Fault;

/// The answer of a responder.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponderAnswer {
    /// Never empty, and without the block that reports the affect.
    pub text: String,
    pub affect: Option<ReportedAffect>,
    pub provider: String,
    pub model: String,
}

/// The reason why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponderError {
    /// The responder gave no valid answer. The reason is for the log and repeats nothing of the conversation.
    Upstream(String),
    TimedOut,
}

impl ResponderError {
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Upstream(reason) => Fault::Upstream { reason },
            Self::TimedOut => Fault::TurnTimeout,
        }
    }
}

/// Receives each piece of an answer's text as it comes.
pub type OnDelta<'a> = &'a mut dyn FnMut(&str);
