//! A data point for each request in Workers Analytics Engine, where the operator has bound a dataset.
//! <https://developers.cloudflare.com/analytics/analytics-engine/>
//!
//! Invariant: a data point is made from the request's log line alone, so it holds no user id, body, header or
//! credential.

use wasm_bindgen::JsCast;
use worker::{AnalyticsEngineDataPointBuilder, AnalyticsEngineDataset, Env};

use super::bindings::Bindings;
use rollcall::edge::log::RequestLine;

/// Writes a data point. `docs/operating.md` names its columns: their order is what the operator's queries rely on, so
/// a new one comes last.
///
/// The platform samples by the index, so a quiet organization is seen beside a busy one.
pub fn write_data_point(env: &Env, line: &RequestLine<'_>) {
    let dataset = env.unchecked_ref::<Bindings>().metrics();
    if !dataset.is_object() {
        return;
    }
    let dataset: AnalyticsEngineDataset = dataset.unchecked_into();
    let organization = line.organization_id.map(|id| id.to_string()).unwrap_or_default();
    let waited = line.waited;
    let written = AnalyticsEngineDataPointBuilder::new()
        .indexes([organization.as_str()])
        .blobs([line.route, line.method, line.outcome, line.source.unwrap_or_default()])
        .doubles([
            f64::from(line.status),
            number(Some(line.duration_ms)),
            number(waited.object),
            number(waited.listing),
            number(waited.records),
            number(line.rows_read),
        ])
        .write_to(&dataset);
    // A request never fails for its data point, and the log has the line.
    drop(written);
}

/// A number of milliseconds or rows; 0 for what is absent.
fn number<T: TryInto<u32>>(value: Option<T>) -> f64 {
    value.map_or(0.0, |value| f64::from(value.try_into().unwrap_or(u32::MAX)))
}
