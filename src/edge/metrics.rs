//! A data point for each request, in the form that Workers Analytics Engine takes.
//! <https://developers.cloudflare.com/analytics/analytics-engine/>

/// The columns of a request. `docs/operating.md` names them: their order is what the operator's queries rely on, so a new
/// one comes last.
#[derive(Debug)]
pub struct DataPoint<'a> {
    /// The organization, or nothing. The platform samples by the index, so a quiet organization is seen beside a busy one.
    pub index: String,
    pub blobs: [&'a str; 4],
    pub doubles: [f64; 6],
}
