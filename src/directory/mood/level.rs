//! A level of a mood.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::refusal::Refusal;

/// 1.0, in millionths.
pub(super) const ONE: i32 = 1_000_000;

/// A turn moves a level toward the reported affect by one part in this many of the distance. So one turn
/// changes a mood a little, and about eight turns of the same affect make it that affect.
const AFFECT_PARTS: i32 = 4;

/// A number in [-1, 1], in whole millionths.
///
/// An integer, so that the stored, the sent and the shown number are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Level(i32);

impl Level {
    pub const MIN: Self = Self(-ONE);
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(ONE);

    /// Moves a number outside to the nearer end.
    pub const fn from_millionths(millionths: i32) -> Self {
        if millionths < -ONE {
            Self::MIN
        } else if millionths > ONE {
            Self::MAX
        } else {
            Self(millionths)
        }
    }

    /// Rounds to the nearest millionth and moves a number outside to the nearer end. `None` for a number that
    /// is not finite.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| Self(nearest(value.clamp(-1.0, 1.0) * f64::from(ONE))))
    }

    /// As [`Level::from_f64`], but refuses a number outside, so that a caller with another scale notices.
    pub fn checked(value: f64) -> Result<Self, Refusal> {
        let refusal = || Refusal::new("must be a number from -1 to 1");
        Self::from_f64(value).filter(|_| (-1.0..=1.0).contains(&value)).ok_or_else(refusal)
    }

    /// In [-1,000,000, 1,000,000].
    pub const fn millionths(self) -> i32 {
        self.0
    }

    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / f64::from(ONE)
    }

    /// The level at `factor`, in [0, 1], of its distance to the baseline.
    pub(super) fn decayed(self, baseline: Self, factor: f64) -> Self {
        let distance = f64::from(self.0.saturating_sub(baseline.0));
        Self::from_millionths(baseline.0.saturating_add(nearest(distance * factor)))
    }

    /// The level moved one part in [`AFFECT_PARTS`] of the distance to the target, rounded toward the level.
    pub(super) fn toward(self, target: Self) -> Self {
        let distance = target.0.saturating_sub(self.0);
        Self::from_millionths(self.0.saturating_add(distance.saturating_div(AFFECT_PARTS)))
    }
}

/// The nearest integer, and the even one at a tie.
#[expect(clippy::cast_possible_truncation, reason = "at most two million either way")]
fn nearest(value: f64) -> i32 {
    value.round_ties_even() as i32
}

/// In JSON a number in [-1, 1], in any other format the millionths.
impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { self.to_f64().serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Self::checked(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom);
        }
        i32::deserialize(deserializer).map(Self::from_millionths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn levels_are_written_exactly() {
        for (millionths, text) in [
            (0, "0.0"),
            (ONE, "1.0"),
            (-ONE, "-1.0"),
            (500_000, "0.5"),
            (-250_000, "-0.25"),
            (1, "1e-6"),
            (-1, "-1e-6"),
            (100_000, "0.1"),
            (300_000, "0.3"),
            (123_456, "0.123456"),
            (-999_999, "-0.999999"),
        ] {
            assert_eq!(serde_json::to_string(&Level(millionths)).unwrap(), text);
        }
        for millionths in -ONE..=ONE {
            assert_eq!(Level::from_f64(Level(millionths).to_f64()), Some(Level(millionths)));
        }
    }

    #[test]
    fn levels_are_read_from_any_number_and_clamped() {
        for (text, millionths) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("1", ONE),
            ("-1", -ONE),
            ("7", ONE),
            ("-7", -ONE),
            ("18446744073709551615", ONE),
            ("-9223372036854775808", -ONE),
            ("1e300", ONE),
            ("-1.5", -ONE),
            ("1e-300", 0),
            ("0.1234564", 123_456),
            ("0.1234566", 123_457),
            ("2.5e-1", 250_000),
        ] {
            let number = serde_json::from_str(text).unwrap();
            assert_eq!(Level::from_f64(number), Some(Level(millionths)), "{text}");
        }
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Level::from_f64(bad), None);
            assert!(Level::checked(bad).is_err());
        }
        assert_eq!((Level::checked(1.0), Level::checked(-1.0)), (Ok(Level::MAX), Ok(Level::MIN)));
        assert!(Level::checked(1.000_000_1).is_err() && Level::checked(-100.0).is_err());
        assert_eq!(Level::from_millionths(i32::MIN), Level::MIN);
        assert_eq!(Level::from_millionths(i32::MAX), Level::MAX);
    }
}
