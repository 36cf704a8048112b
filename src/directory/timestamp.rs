//! Instants, in whole milliseconds since the Unix epoch.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::refusal::Refusal;

/// An instant from 1970 to 9999, in milliseconds. An instant outside is moved to the nearer end.
///
/// Written as RFC 3339 in UTC with exactly three decimals and `Z`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
const LAST_MILLIS: i64 = 253_402_300_799_999;

impl Timestamp {
    pub const EPOCH: Self = Self(0);
    pub const LAST: Self = Self(LAST_MILLIS);

    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self(0)
        } else if millis > LAST_MILLIS {
            Self(LAST_MILLIS)
        } else {
            Self(millis)
        }
    }

    /// Rounds up to the next millisecond, so that an announced instant is never too early.
    pub const fn from_micros_ceil(micros: i64) -> Self {
        Self::from_millis(micros.div_euclid(1_000).saturating_add((micros.rem_euclid(1_000) != 0) as i64))
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The instant so many milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    pub const fn unsigned_millis(self) -> u64 {
        self.0.unsigned_abs()
    }

    pub const fn micros(self) -> i64 {
        self.0.saturating_mul(1_000)
    }

    /// Reads a date-time of RFC 3339 (section 5.6) with any offset. A space may stand in the place of the `T`.
    /// Digits below a millisecond are cut off.
    ///
    /// Every instant that RFC 3339 can write is accepted and moved into the range of a [`Timestamp`]. Callers
    /// compare instants with those of records, and moving an instant before 1970 to 1970 changes no result.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refusal = |_| Refusal::new("must be an RFC 3339 date-time such as 2026-01-31T09:30:00Z");
        DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc().into()).map_err(refusal)
    }

    /// The day in UTC, such as `2026-01-31`.
    pub fn date(self) -> String {
        self.to_utc().date_naive().to_string()
    }

    /// The same instant for calendar arithmetic.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self::from_millis(instant.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom);
        }
        i64::deserialize(deserializer).map(Self::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_milliseconds_and_z() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(1_709_210_096_007).to_string(), "2024-02-29T12:34:56.007Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(-1), Timestamp::EPOCH);
    }

    #[test]
    fn rounds_up_from_microseconds() {
        assert_eq!(Timestamp::from_micros_ceil(1_000).millis(), 1);
        assert_eq!(Timestamp::from_micros_ceil(1_001).millis(), 2);
    }

    #[test]
    fn reads_any_offset_and_refuses_the_rest() {
        assert_eq!(Timestamp::parse("2024-02-29T13:34:56.0079+01:00").unwrap().millis(), 1_709_210_096_007);
        for bad in ["", "2024-02-30T00:00:00Z", "2024-02-29", "2024-02-29T12:34:56", "99999-01-01T00:00:00Z"] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
        for (distant, nearest) in [
            ("1969-12-31T23:59:59.999Z", Timestamp::EPOCH),
            ("0000-01-01T00:00:00+23:59", Timestamp::EPOCH),
            ("9999-12-31T23:59:59.9999-23:59", Timestamp::LAST),
        ] {
            assert_eq!(Timestamp::parse(distant), Ok(nearest), "{distant}");
        }
    }

    #[test]
    fn every_form_of_rfc_3339_is_accepted() {
        for (text, millis) in [
            ("1970-01-01t00:00:00z", 0),
            ("1970-01-01 00:00:00.000000000001Z", 0),
            ("1970-01-01T05:30:00+05:30", 0),
            ("1970-01-01T00:00:00-00:30", 1_800_000),
            ("1970-01-01T00:00:00.1239999999999Z", 123),
            ("1998-12-31T23:59:60Z", 915_148_800_000),
            ("1998-12-31T23:59:60.5Z", 915_148_800_500),
            ("9999-12-31T23:59:59.9999999999-00:00", LAST_MILLIS),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::millis), Ok(millis), "{text}");
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        for text in [
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00ZZ",
            "1970-01-01T00:00:00Z ",
            " 1970-01-01T00:00:00Z",
            "1970-01-01  00:00:00Z",
            "1970-01-01_00:00:00Z",
            "1970-1-01T00:00:00Z",
            "+1970-01-01T00:00:00Z",
            "19700-01-01T00:00:00Z",
            "1970-00-01T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "1970-01-32T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:61Z",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00,5Z",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+00:60",
            "1970-01-01T00:00:00+0530",
            "1970-01-01T00:00:00+05",
            "1970-01-01T00:00:00 Z",
            "1970\u{2212}01-01T00:00:00Z",
            "\u{661}970-01-01T00:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
