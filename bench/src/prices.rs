//! Cloudflare's published prices, in US dollars: the Workers Paid plan beyond what it includes, and what the Workers
//! Free plan allows.
//!
//! - Workers: <https://developers.cloudflare.com/workers/platform/pricing/>
//! - Durable Objects: <https://developers.cloudflare.com/durable-objects/platform/pricing/>
//! - D1: <https://developers.cloudflare.com/d1/platform/pricing/>
//! - KV: <https://developers.cloudflare.com/kv/platform/pricing/>

use crate::counts::Counts;

/// The day on which the prices below were looked up.
pub const AS_OF: &str = "2026-11-26";

/// Something that Cloudflare bills.
#[derive(Debug)]
pub struct Item {
    pub name: &'static str,
    /// Dollars for a million.
    pub price: f64,
    /// What the Workers Paid plan includes, in millions a month.
    pub included: f64,
    /// What the Workers Free plan allows, in thousands a day.
    pub free: f64,
    /// How much of it there is in some counts.
    pub amount: fn(&Counts) -> f64,
}

/// Rows of an index and deletions count as rows written, and so does the setting of an alarm. Each call of an object and
/// each alarm that runs is a request to an object. A put, a deletion and a list are writes of KV.
pub const ITEMS: [Item; 8] = [
    Item { name: "Worker: requests", price: 0.30, included: 10.0, free: 100.0, amount: |counts| counts.requests },
    Item {
        name: "objects: requests",
        price: 0.15,
        included: 1.0,
        free: 100.0,
        amount: |counts| counts.calls + counts.alarms_run,
    },
    Item {
        name: "objects: rows read",
        price: 0.001,
        included: 25_000.0,
        free: 5_000.0,
        amount: |counts| counts.object_rows_read,
    },
    Item {
        name: "objects: rows written",
        price: 1.00,
        included: 50.0,
        free: 100.0,
        amount: |counts| counts.object_rows_written + counts.alarms_set,
    },
    Item {
        name: "D1: rows read",
        price: 0.001,
        included: 25_000.0,
        free: 5_000.0,
        amount: |counts| counts.d1_rows_read,
    },
    Item {
        name: "D1: rows written",
        price: 1.00,
        included: 50.0,
        free: 100.0,
        amount: |counts| counts.d1_rows_written,
    },
    Item { name: "KV: reads", price: 0.50, included: 10.0, free: 100.0, amount: |counts| counts.kv_reads },
    Item { name: "KV: writes", price: 5.00, included: 1.0, free: 1.0, amount: |counts| counts.kv_writes },
];

/// Dollars a month for the Workers Paid plan, with all that it includes.
pub const PLAN: f64 = 5.00;
/// For a million GB-s of an object that is awake.
const OBJECT_GB_S: f64 = 12.50;
/// The memory that is billed for an object, whatever it uses.
const OBJECT_GB: f64 = 0.128;
/// GB-s that the Workers Paid plan includes, in a month.
const OBJECT_GB_S_INCLUDED: f64 = 400_000.0;
/// GB-s that the Workers Free plan allows, in a day.
const OBJECT_GB_S_FREE: f64 = 13_000.0;
/// For a million ms of CPU.
pub const CPU_MS: f64 = 0.02;

/// The price of a million requests that each do this, without CPU and without the time that objects are awake.
pub fn operations(each: &Counts) -> f64 {
    ITEMS.iter().map(|item| item.price * (item.amount)(each)).sum()
}

/// The price of a million requests that each keep an object awake for so long.
pub fn awake(ms: f64) -> f64 {
    gb_s(ms) * OBJECT_GB_S
}

/// The price of a month in which objects are awake for so many million ms, beyond what the plan includes.
pub fn awake_of_month(million_ms: f64) -> f64 {
    (gb_s(million_ms) - OBJECT_GB_S_INCLUDED / 1e6).max(0.0) * OBJECT_GB_S
}

/// The part of what the free plan allows in a day that objects use which are awake for so many ms.
pub fn awake_of_free_day(ms: f64) -> f64 {
    gb_s(ms) / OBJECT_GB_S_FREE
}

fn gb_s(ms: f64) -> f64 {
    ms / 1_000.0 * OBJECT_GB
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
        assert_close(awake_of_month(3_125.0 + 1_000.0), 1.60);
        assert_close(awake_of_month(3_125.0), 0.0);
        assert_close(awake_of_free_day(1_000.0 * 13_000.0 / 0.128), 1.0);
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
