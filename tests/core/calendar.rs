//! Billing periods, computed a second time: by the days of the civil calendar
//! (<https://howardhinnant.github.io/date_algorithms.html>), without a library.

const DAY_MS: i64 = 86_400_000;

/// A day of the proleptic Gregorian calendar; months from 1 to 12.
#[derive(Debug, Clone, Copy)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Date {
    /// Midnight of the day.
    pub fn millis(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) * DAY_MS
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The first instants of the period that contains `now` and of the next one.
pub fn period(anchor_day: i64, now_ms: i64) -> (i64, i64) {
    let start = |month: i64| {
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        Date { year, month, day: anchor_day.min(days_in(year, month)) }.millis()
    };
    // Starts one month after the latest possible one, and goes back to the last that has begun.
    let mut month = 1_970 * 12 + now_ms / (28 * DAY_MS) + 1;
    while start(month) > now_ms {
        month -= 1;
    }
    (start(month), start(month + 1))
}
