use rollcall::directory::timestamp::Timestamp;

/// The platform's clock. In production it stands still between two operations
/// on the outside, which makes timing attacks hard and durations coarse.
pub fn now() -> Timestamp {
    // Below 2^53 for the next 285,000 years.
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of milliseconds")]
    let millis = js_sys::Date::now() as i64;
    Timestamp::from_millis(millis)
}
