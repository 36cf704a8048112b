//! The platform's clock.

use rollcall::directory::timestamp::Timestamp;

/// The current time. In production the clock stands still between two I/O operations, which makes timing attacks
/// hard and durations coarse.
pub fn now() -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number of milliseconds, below 2^53 for the next 285,000 years"
    )]
    let millis = js_sys::Date::now() as i64;
    Timestamp::from_millis(millis)
}
