//! The envelope of every success in the principals API.

use serde::Serialize;

use crate::edge::http::response::Response;

/// How a list goes on. The members that the style of paging does not fill are `null`.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "PrincipalMeta"))]
pub struct Meta {
    pub has_more: bool,
    pub after: Option<String>,
    pub before: Option<String>,
    pub total: Option<u64>,
    pub offset: Option<u32>,
    pub limit: Option<u32>,
}

/// Puts a result into the envelope. The parts are JSON already.
pub fn enveloped(status: u16, result: &str, message: &str, meta: &str) -> Response {
    let body = format!(
        "{{\"result\":{result},\"success\":true,\"message\":\"{message}\",\"suggestion\":null,\"meta\":{meta}}}"
    );
    Response::json(status, body)
}
