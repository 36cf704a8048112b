//! One structured line per request, and one more at the end of a response that is sent in pieces.
//!
//! Invariant: a line, or a data point, is made from one of these structs alone. They have no member for a header, a body, a path or a
//! credential, so none is ever logged.

use serde::Serialize;

use super::metrics::DataPoint;
use super::runtime::Runtime;
use super::waits::Waited;
use crate::directory::identifiers::{OperatorId, OrganizationId, RequestId};
use crate::directory::timestamp::Timestamp;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestLine<'a> {
    pub request_id: RequestId,
    pub method: &'a str,
    /// The route's pattern, not the path, which holds user ids.
    pub route: &'static str,
    pub status: u16,
    pub organization_id: Option<OrganizationId>,
    /// The named operator who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_id: Option<OperatorId>,
    pub duration_ms: i64,
    /// `ok`, or the code of the fault.
    pub outcome: &'static str,
    /// `edge` when the answer came from KV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    #[serde(flatten)]
    pub waited: Waited,
    /// Rows the listing database read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_read: Option<u64>,
    /// Why a request failed through no fault of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
}

/// The line at the end of a response that is sent in pieces. The request's own line is written when it begins.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamLine<'a> {
    request_id: RequestId,
    /// `ok`, or the code of the fault.
    stream: &'static str,
    duration_ms: i64,
    /// Why it ended through no fault of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Writes the line of a request, and its data point.
pub fn end_of_request(runtime: &impl Runtime, line: &RequestLine<'_>) {
    runtime.measure(|| data_point(line));
    if let Ok(line) = serde_json::to_string(line) {
        runtime.log(&line);
    }
}

fn data_point<'a>(line: &RequestLine<'a>) -> DataPoint<'a> {
    let number = |value: Option<i64>| f64::from(i32::try_from(value.unwrap_or_default()).unwrap_or(i32::MAX));
    DataPoint {
        index: line.organization_id.map(|id| id.to_string()).unwrap_or_default(),
        blobs: [line.route, line.method, line.outcome, line.source.unwrap_or_default()],
        doubles: [
            f64::from(line.status),
            number(Some(line.duration_ms)),
            number(line.waited.object),
            number(line.waited.listing),
            number(line.waited.records),
            number(line.rows_read.and_then(|rows| i64::try_from(rows).ok())),
        ],
    }
}

/// Writes the line at the end of a response that is sent in pieces. `stream` is `ok`, or the code of the fault.
pub fn end_of_stream(
    runtime: &impl Runtime,
    request_id: RequestId,
    received_at: Timestamp,
    stream: &'static str,
    reason: Option<&str>,
) {
    let duration_ms = runtime.now().millis().saturating_sub(received_at.millis());
    if let Ok(line) = serde_json::to_string(&StreamLine { request_id, stream, duration_ms, reason }) {
        runtime.log(&line);
    }
}
