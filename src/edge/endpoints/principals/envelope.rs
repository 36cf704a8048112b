//! The envelope of every success in the principals API.

use serde::Serialize;

use crate::directory::principal::Principal;

/// How a list goes on. The members that the style of paging does not fill are `null`.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "PrincipalMeta")]
pub struct Meta {
    pub has_more: bool,
    pub after: Option<String>,
    pub before: Option<String>,
    pub total: Option<u64>,
    pub offset: Option<u32>,
    pub limit: Option<u32>,
}

/// The envelope. Its `meta` is `null` unless the result is a list.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Envelope<T, M = ()> {
    result: T,
    #[schemars(extend("const" = true))]
    success: bool,
    message: &'static str,
    suggestion: (),
    meta: M,
}

impl<T, M> Envelope<T, M> {
    pub const fn new(result: T, message: &'static str, meta: M) -> Self {
        Self { result, success: true, message, suggestion: (), meta }
    }
}

/// A stored principal, and whether this request made it.
#[derive(Serialize, schemars::JsonSchema)]
pub struct PrincipalResult {
    pub created: bool,
    #[serde(flatten)]
    pub principal: Principal,
}
