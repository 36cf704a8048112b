//! Cloudflare's published prices, in US dollars: the Workers Paid plan, beyond what it includes.
//!
//! - Workers: <https://developers.cloudflare.com/workers/platform/pricing/>
//! - Durable Objects: <https://developers.cloudflare.com/durable-objects/platform/pricing/>
//! - D1: <https://developers.cloudflare.com/d1/platform/pricing/>
//! - KV: <https://developers.cloudflare.com/kv/platform/pricing/>

use crate::counts::Counts;

/// The day on which the prices below were looked up.
pub const AS_OF: &str = "2026-11-26";

/// For a million.
const REQUESTS: f64 = 0.30;
/// For a million. Each call and each alarm that runs is one.
const OBJECT_REQUESTS: f64 = 0.15;
/// For a million rows, in an object as in D1.
const ROWS_READ: f64 = 0.001;
/// For a million rows, in an object as in D1. A row of an index, a deletion and the setting of an alarm count too.
const ROWS_WRITTEN: f64 = 1.00;
/// For a million keys.
const KV_READS: f64 = 0.50;
/// For a million puts, deletions and lists.
const KV_WRITES: f64 = 5.00;
/// For a million GB-s of an object that is awake.
const OBJECT_GB_S: f64 = 12.50;
/// The memory that is billed for an object, whatever it uses.
const OBJECT_GB: f64 = 0.128;
/// For a million ms of CPU.
pub const CPU_MS: f64 = 0.02;

/// The price of a million requests that each do this, without CPU and without the time that objects are awake.
pub fn operations(each: &Counts) -> f64 {
    let object_requests = each.calls + each.alarms_run;
    let rows_read = each.object_rows_read + each.d1_rows_read;
    let rows_written = each.object_rows_written + each.alarms_set + each.d1_rows_written;
    each.requests * REQUESTS
        + object_requests * OBJECT_REQUESTS
        + rows_read * ROWS_READ
        + rows_written * ROWS_WRITTEN
        + each.kv_reads * KV_READS
        + each.kv_writes * KV_WRITES
}

/// The price of a million requests that each keep an object awake for so long.
pub fn awake(ms: f64) -> f64 {
    ms / 1_000.0 * OBJECT_GB * OBJECT_GB_S
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn nothing_costs_nothing() {
        assert_close(operations(&Counts::default()), 0.0);
        assert_close(awake(0.0), 0.0);
    }

    #[test]
    fn a_million_of_each_operation_costs_its_published_price() {
        let none = Counts::default;
        assert_close(operations(&Counts { requests: 1.0, ..none() }), 0.30);
        assert_close(operations(&Counts { calls: 1.0, ..none() }), 0.15);
        assert_close(operations(&Counts { alarms_run: 1.0, ..none() }), 0.15);
        assert_close(operations(&Counts { alarms_set: 1.0, ..none() }), 1.00);
        assert_close(operations(&Counts { object_rows_read: 1.0, ..none() }), 0.001);
        assert_close(operations(&Counts { object_rows_written: 1.0, ..none() }), 1.00);
        assert_close(operations(&Counts { d1_rows_read: 1.0, ..none() }), 0.001);
        assert_close(operations(&Counts { d1_rows_written: 1.0, ..none() }), 1.00);
        assert_close(operations(&Counts { kv_reads: 1.0, ..none() }), 0.50);
        assert_close(operations(&Counts { kv_writes: 1.0, ..none() }), 5.00);
    }

    #[test]
    fn a_request_costs_the_sum_of_its_operations() {
        let each = Counts { requests: 1.0, calls: 1.0, object_rows_read: 2.0, kv_writes: 0.5, ..Counts::default() };
        assert_close(operations(&each), 0.30 + 0.15 + 0.002 + 2.50);
    }

    #[test]
    fn a_second_awake_is_an_eighth_of_a_gigabyte_second() {
        assert_close(awake(1_000.0), 1.60);
    }

    /// The table of docs/decisions/036-waiting-for-events.md. A look reads six rows.
    #[test]
    fn a_reader_who_waits_costs_what_the_decision_says() {
        for (calls, awake_s, expected) in [
            (144.0, 3_600.0, 0.00578),
            (3_600.0, 4.0, 0.00057),
            (720.0, 1.0, 0.00011),
            (432.0, 1.0, 0.00007),
            (480.0, 1.0, 0.00008),
        ] {
            let each = Counts { calls, object_rows_read: 6.0 * calls, ..Counts::default() };
            let an_hour = (operations(&each) + awake(awake_s * 1_000.0)) / 1_000_000.0;
            assert!((an_hour - expected).abs() < 0.000_005, "{calls} calls: {an_hour}");
        }
    }
}
