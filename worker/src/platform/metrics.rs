//! Workers Analytics Engine, over its binding.

use wasm_bindgen::JsCast;
use worker::{AnalyticsEngineDataPointBuilder, AnalyticsEngineDataset, Env};

use super::bindings::Bindings;
use rollcall::edge::metrics::DataPoint;

/// Writes a data point if the operator has bound a dataset.
pub fn write_data_point<'a>(env: &Env, point: impl FnOnce() -> DataPoint<'a>) {
    let dataset = env.unchecked_ref::<Bindings>().metrics();
    if !dataset.is_object() {
        return;
    }
    let dataset: AnalyticsEngineDataset = dataset.unchecked_into();
    let DataPoint { index, blobs, doubles } = point();
    let point = AnalyticsEngineDataPointBuilder::new().indexes([index.as_str()]).blobs(blobs).doubles(doubles);
    // A request never fails for its data point, and the log has its line.
    drop(point.write_to(&dataset));
}
