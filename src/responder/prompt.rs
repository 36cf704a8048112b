//! The prompt of a responder.

use crate::json;

/// The input of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    pub personality: &'a str,
    pub user_id: Option<&'a str>,
    pub display_name: Option<&'a str>,
    pub context: Option<&'a json::Text>,
    pub message: &'a str,
}
