//! Instants, in whole milliseconds since the Unix epoch.

use std::fmt;
use std::iter::Peekable;
use std::str::Bytes;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::refusal::Refusal;

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
        let refusal = || Refusal::new("must be an RFC 3339 date-time such as 2026-01-31T09:30:00Z");
        read(&mut text.bytes().peekable()).map(Self::from_millis).ok_or_else(refusal)
    }

    /// As it is written, between quotes. Digit by digit, and the time of day without a calendar: a
    /// page holds thousands, and `chrono`'s own writer takes more than ten times as long.
    fn quoted(self) -> [u8; 26] {
        const DAY_MS: u64 = 86_400_000;
        let (days, of_day) = (self.unsigned_millis() / DAY_MS, self.unsigned_millis() % DAY_MS);
        let date = i32::try_from(days).ok().and_then(NaiveDate::from_epoch_days).unwrap_or_default();
        let year = date.year().unsigned_abs();
        // Below a day, so it fits.
        let of_day = u32::try_from(of_day).unwrap_or_default();
        let (seconds, millis) = (of_day / 1_000, of_day % 1_000);
        let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
        let numbers = [
            (1, year / 100),
            (3, year % 100),
            (6, date.month()),
            (9, date.day()),
            (12, seconds / 3_600),
            (15, seconds / 60 % 60),
            (18, seconds % 60),
            (21, millis / 10),
        ];
        for (place, number) in numbers {
            if let Some([tens, ones]) = text.get_mut(place..).and_then(<[u8]>::first_chunk_mut) {
                (*tens, *ones) = (digit(number / 10), digit(number % 10));
            }
        }
        let [.., last, _, _] = &mut text;
        *last = digit(millis % 10);
        text
    }

    fn to_text(self) -> [u8; 24] {
        let [_, text @ .., _] = self.quoted();
        text
    }

    /// The same instant for calendar arithmetic.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below 10")]
const fn digit(number: u32) -> u8 {
    b'0' | number as u8
}

/// A date-time of RFC 3339 (section 5.6), a blank in the place of the `T` allowed. Which dates and times
/// there are is for `chrono` to say. Its own reader takes 7 KB of the compressed module: it slices texts,
/// and who slices off a piece of a character is told which, as Unicode has it.
fn read(text: &mut Peekable<Bytes<'_>>) -> Option<i64> {
    let (year, month, day) = (number(text, 4)?, after(text, b"-")?, after(text, b"-")?);
    let (hour, minute, second) = (after(text, b"Tt ")?, after(text, b":")?, after(text, b":")?);
    let mut nanosecond = 0;
    if text.next_if_eq(&b'.').is_some() {
        let mut unit = 100_000_000;
        nanosecond = number(text, 1)?.saturating_mul(unit);
        while let Some(digit) = text.next_if(u8::is_ascii_digit) {
            unit = unit.saturating_div(10);
            nanosecond = nanosecond.saturating_add(unit.saturating_mul(digit.saturating_sub(b'0').into()));
        }
    }
    // A leap second is part of the one before.
    let leap = u32::from(second == 60);
    let (second, nanosecond) = (second.saturating_sub(leap), nanosecond.saturating_add(leap.saturating_mul(NANOS)));
    let east_s = match text.next()? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let (hours, minutes) = (number(text, 2)?, after(text, b":")?);
            let time = NaiveTime::from_hms_opt(hours, minutes, 0)?;
            let east_s = i64::from(time.num_seconds_from_midnight());
            if sign == b'+' { east_s } else { east_s.saturating_neg() }
        }
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(year.try_into().ok()?, month, day)?;
    let time = NaiveTime::from_hms_nano_opt(hour, minute, second, nanosecond)?;
    let millis = date.and_time(time).and_utc().timestamp_millis();
    text.next().is_none().then(|| millis.saturating_sub(east_s.saturating_mul(1_000)))
}

const NANOS: u32 = 1_000_000_000;

/// So many digits.
fn number(text: &mut Peekable<Bytes<'_>>, digits: u32) -> Option<u32> {
    (0..digits).try_fold(0_u32, |number, _| {
        let digit = text.next_if(u8::is_ascii_digit)?.saturating_sub(b'0');
        Some(number.saturating_mul(10).saturating_add(digit.into()))
    })
}

/// Two digits after one of these characters.
fn after(text: &mut Peekable<Bytes<'_>>, separators: &[u8]) -> Option<u32> {
    text.next_if(|byte| separators.contains(byte))?;
    number(text, 2)
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self::from_millis(instant.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_bytes(&self.quoted())
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// From anything but JSON, whose texts are [`Timestamp::parse`]'s to read.
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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

    /// Every text of one or two changed bytes, cut or continued anywhere.
    #[test]
    fn reads_what_chrono_reads() {
        let texts = [
            "2024-02-29T23:59:60.1239+23:59",
            "1999-12-31 00:00:00.000000000001Z",
            "1970-01-01t05:30:00-00:30",
            "9999-12-31T23:59:59.9999999999-00:00",
        ];
        let judge = |text: &[u8]| {
            let Ok(text) = std::str::from_utf8(text) else { return };
            let expected = DateTime::parse_from_rfc3339(text).ok();
            let expected = expected.map(|parsed| Timestamp::from_millis(parsed.timestamp_millis()));
            assert_eq!(Timestamp::parse(text).ok(), expected, "{text}");
        };
        let bytes = b"0123456789-+:.,TtZz \n\0A";
        for text in texts.map(str::as_bytes) {
            for first in 0..text.len() {
                judge(&text[..first]);
                for &byte in bytes {
                    let mut changed = text.to_vec();
                    changed.insert(first, byte);
                    judge(&changed);
                    changed.remove(first);
                    changed[first] = byte;
                    judge(&changed);
                    for second in first + 1..text.len() {
                        for &byte in bytes {
                            let mut changed = changed.clone();
                            changed[second] = byte;
                            judge(&changed);
                        }
                    }
                }
            }
        }
    }
}
