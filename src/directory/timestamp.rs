//! Instants, in whole milliseconds since the Unix epoch.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Refusal;

/// An instant between 1970 and 9999, in milliseconds; what lies outside is
/// brought to the nearer end.
///
/// Written as RFC 3339 in UTC with exactly three decimals and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z: the last instant that RFC 3339 can write.
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

    /// Rounds up to the next millisecond, so that nothing is announced earlier than it is true.
    pub const fn from_micros_ceil(micros: i64) -> Self {
        Self::from_millis(micros.div_euclid(1_000).saturating_add((micros.rem_euclid(1_000) != 0) as i64))
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    pub const fn unsigned_millis(self) -> u64 {
        self.0.unsigned_abs()
    }

    pub const fn micros(self) -> i64 {
        self.0.saturating_mul(1_000)
    }

    /// Reads RFC 3339 with any offset; what is finer than a millisecond is cut off.
    ///
    /// All that it can write is read: whether something happened before the year 1249, or by
    /// when it is to end, has an answer, and to bring the instant to 1970 does not change it.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        DateTime::parse_from_rfc3339(text)
            .map(|parsed| Self::from_millis(parsed.timestamp_millis()))
            .map_err(|_| Refusal::new("must be an RFC 3339 date-time such as 2026-01-31T09:30:00Z"))
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
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self::from_millis);
        }
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
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
}
