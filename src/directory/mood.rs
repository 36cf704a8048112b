//! How an agent finds a user to feel: four levels, each drawn back to a baseline
//! of its own as time passes and moved by what turns report.
//!
//! Invariants: every level is in [-1, 1]; decay brings a level nearer to its
//! baseline or leaves it, and never past it.
//!
//! Decay is computed on read from the state that is stored, and stored only by
//! [`Mood::moved`]. So errors of rounding do not add up however often a mood is
//! read, and a mood that is read every millisecond decays like one that never is.
//! Decay in two steps is within two millionths of decay in one: each step rounds
//! once, by half a millionth at most, and later steps only shrink what it did.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::timestamp::Timestamp;
use crate::json::Raw;
use crate::refusal::Refusal;

/// 1.0, in millionths.
const ONE: i32 = 1_000_000;

/// How far a turn moves a level toward the affect it reports: one part in this many of
/// the distance. So one turn colours a mood, and about eight alike make it theirs.
const AFFECT_PARTS: i32 = 4;

/// Below this in both valence and arousal, in millionths, a mood is neutral.
const NEUTRAL_BELOW: u32 = 100_000;

/// tan 22.5°, in parts of [`SLOPE_ONE`]: the slope that parts the sector of an axis
/// from that of a diagonal.
const SECTOR_SLOPE: u64 = 414_214;
const SLOPE_ONE: u64 = 1_000_000;

/// A number in [-1, 1], in whole millionths.
///
/// An integer, so that what is stored, sent and shown is the same number; and
/// written as a decimal without going through a float, whose formatting would
/// weigh more than all else here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Level(i32);

impl Level {
    pub const MIN: Self = Self(-ONE);
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(ONE);

    /// Brings what lies outside to the nearer end.
    pub const fn from_millionths(millionths: i32) -> Self {
        if millionths < -ONE {
            Self::MIN
        } else if millionths > ONE {
            Self::MAX
        } else {
            Self(millionths)
        }
    }

    /// Rounds to the nearest millionth and brings what lies outside to the nearer
    /// end. `None` for what is not finite.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| Self(nearest(value.clamp(-1.0, 1.0) * f64::from(ONE))))
    }

    /// As [`Level::from_f64`], but refuses what lies outside: a caller who counts to 100
    /// should hear of it.
    pub fn checked(value: f64) -> Result<Self, Refusal> {
        let refusal = || Refusal::new("must be a number from -1 to 1");
        Self::from_f64(value).filter(|_| (-1.0..=1.0).contains(&value)).ok_or_else(refusal)
    }

    /// In [-1,000,000, 1,000,000].
    pub const fn millionths(self) -> i32 {
        self.0
    }

    /// As it is written. Digit by digit and in place, as a page of moods holds thousands.
    fn to_text(self, buffer: &mut [u8; 9]) -> &[u8] {
        const WHOLE: u32 = ONE.unsigned_abs();
        *buffer = *b"-0.000000";
        let millionths = self.0.unsigned_abs();
        let [_, whole, _, decimals @ ..] = buffer;
        *whole = if millionths < WHOLE { b'0' } else { b'1' };
        let mut left = millionths % WHOLE;
        for digit in decimals.iter_mut().rev() {
            *digit = b'0' | (left % 10) as u8;
            left /= 10;
        }
        let mut text = buffer.as_slice();
        while text.len() > "-0.0".len()
            && let Some(shorter) = text.strip_suffix(b"0")
        {
            text = shorter;
        }
        let unsigned = text.strip_prefix(b"-").filter(|_| self.0 >= 0);
        unsigned.unwrap_or(text)
    }

    /// The level at `factor`, in [0, 1], of its distance to the baseline.
    fn decayed(self, baseline: Self, factor: f64) -> Self {
        let distance = f64::from(self.0.saturating_sub(baseline.0));
        Self::from_millionths(baseline.0.saturating_add(nearest(distance * factor)))
    }

    /// One part in [`AFFECT_PARTS`] of the way to the target, rounded toward where it is.
    fn toward(self, target: Self) -> Self {
        let distance = target.0.saturating_sub(self.0);
        Self::from_millionths(self.0.saturating_add(distance.saturating_div(AFFECT_PARTS)))
    }
}

/// The nearest integer; even at a tie, which is one instruction in wasm.
#[expect(clippy::cast_possible_truncation, reason = "at most two million either way")]
fn nearest(value: f64) -> i32 {
    value.round_ties_even() as i32
}

/// A decimal with one to six places. Never without the point: there are languages
/// that read `1` as another type than `0.5`.
impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(std::str::from_utf8(self.to_text(&mut [0; 9])).unwrap_or_default())
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_bytes(self.to_text(&mut [0; 9]))
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// From anything but JSON, whose numbers are [`Level::from_f64`]'s to read.
impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i32::deserialize(deserializer).map(Self::from_millionths)
    }
}

/// The four dimensions of a mood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Levels {
    /// From displeasure to pleasure.
    pub valence: Level,
    /// From sleep to excitement.
    pub arousal: Level,
    /// From ease to strain.
    pub tension: Level,
    /// From hostility to warmth.
    pub affiliation: Level,
}

/// What a turn tells of the user's feelings. A dimension that it does not tell of
/// is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affect {
    pub valence: Level,
    pub arousal: Level,
    pub tension: Option<Level>,
    pub affiliation: Option<Level>,
}

/// An instant, and how fast moods decay until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decay {
    pub now: Timestamp,
    /// In how many milliseconds a mood loses half its distance to its baseline.
    pub half_life_ms: u64,
}

/// A day, so that people are met the next morning as they left, and not the next week.
pub const HALF_LIFE_MS_DEFAULT: u64 = 24 * HOUR_MS;
pub const HOUR_MS: u64 = 60 * 60 * 1_000;

/// The mood of one user with one agent, as it was at `last_decay_at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mood {
    pub levels: Levels,
    /// What the levels decay to.
    pub baselines: Levels,
    pub created_at: Timestamp,
    /// When an affect last moved it.
    pub updated_at: Timestamp,
    /// The instant for which the levels hold.
    pub last_decay_at: Timestamp,
    pub last_interaction_at: Timestamp,
}

impl Mood {
    /// A mood at its baselines.
    pub const fn new(baselines: Levels, now: Timestamp) -> Self {
        Self {
            levels: baselines,
            baselines,
            created_at: now,
            updated_at: now,
            last_decay_at: now,
            last_interaction_at: now,
        }
    }

    /// The mood at a later instant: of each level's distance to its baseline, half
    /// is left after each half-life. No change if the instant is not later.
    ///
    /// `half_life_ms` is in milliseconds, 0 counts as 1. Up to a century, any two
    /// instants give factors that differ by more than `exp2` errs, so that a later
    /// reading is never farther from the baseline than an earlier one.
    #[must_use]
    pub fn decayed(&self, now: Timestamp, half_life_ms: u64) -> Self {
        if now <= self.last_decay_at {
            return self.clone();
        }
        let elapsed_ms = now.unsigned_millis().saturating_sub(self.last_decay_at.unsigned_millis());
        let factor = remaining(elapsed_ms, half_life_ms);
        let (levels, baselines) = (self.levels, self.baselines);
        Self {
            levels: Levels {
                valence: levels.valence.decayed(baselines.valence, factor),
                arousal: levels.arousal.decayed(baselines.arousal, factor),
                tension: levels.tension.decayed(baselines.tension, factor),
                affiliation: levels.affiliation.decayed(baselines.affiliation, factor),
            },
            last_decay_at: now,
            ..self.clone()
        }
    }

    /// The mood after a turn: decayed to the instant of the turn, then a quarter of the way
    /// from there to the affect (`level + (affect - level) / 4`).
    ///
    /// Under a clock that was set back it moves without decaying, and no instant of
    /// it goes back.
    #[must_use]
    pub fn moved(&self, affect: &Affect, now: Timestamp, half_life_ms: u64) -> Self {
        let decayed = self.decayed(now, half_life_ms);
        let levels = decayed.levels;
        let toward = |level: Level, target: Option<Level>| target.map_or(level, |target| level.toward(target));
        Self {
            levels: Levels {
                valence: levels.valence.toward(affect.valence),
                arousal: levels.arousal.toward(affect.arousal),
                tension: toward(levels.tension, affect.tension),
                affiliation: toward(levels.affiliation, affect.affiliation),
            },
            updated_at: now.max(self.updated_at),
            last_interaction_at: now.max(self.last_interaction_at),
            ..decayed
        }
    }

    pub fn label(&self) -> Label {
        Label::of(self.levels.valence, self.levels.arousal)
    }

    /// The mood as callers see it.
    pub fn body<'a>(&self, agent_id: &'a str, user_id: Raw<'a>) -> MoodBody<'a> {
        let (levels, baselines) = (self.levels, self.baselines);
        MoodBody {
            agent_id,
            user_id,
            valence: levels.valence,
            arousal: levels.arousal,
            tension: levels.tension,
            affiliation: levels.affiliation,
            baseline_valence: baselines.valence,
            baseline_arousal: baselines.arousal,
            baseline_tension: baselines.tension,
            baseline_affiliation: baselines.affiliation,
            label: self.label(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_decay_at: self.last_decay_at,
            last_interaction_at: self.last_interaction_at,
        }
    }
}

/// The part of a distance that is left after a time, in [0, 1]. By `exp`, as `exp2` comes
/// with a table of 4 KB.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ms, which is after the last timestamp")]
fn remaining(elapsed_ms: u64, half_life_ms: u64) -> f64 {
    (-(elapsed_ms as f64) / half_life_ms.max(1) as f64 * std::f64::consts::LN_2).exp()
}

/// The members of a mood that is sent, in their order. Some clients refuse any other.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "Mood"))]
pub struct MoodBody<'a> {
    pub agent_id: &'a str,
    // As JSON.
    #[cfg_attr(feature = "openapi", schemars(with = "super::names::UserId"))]
    pub user_id: Raw<'a>,
    pub valence: Level,
    pub arousal: Level,
    pub tension: Level,
    pub affiliation: Level,
    pub baseline_valence: Level,
    pub baseline_arousal: Level,
    pub baseline_tension: Level,
    pub baseline_affiliation: Level,
    pub label: Label,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_decay_at: Timestamp,
    pub last_interaction_at: Timestamp,
}

/// Where valence and arousal lie on the circle of Russell's circumplex model (1980):
/// a neutral centre, and eight sectors of 45° around the axes and the diagonals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub enum Label {
    /// Neither valence nor arousal reaches a tenth.
    Neutral,
    /// 0°: pleasure alone.
    Happy,
    /// 45°: pleasure and arousal.
    Excited,
    /// 90°: arousal alone.
    Alert,
    /// 135°: arousal and displeasure.
    Distressed,
    /// 180°: displeasure alone.
    Unhappy,
    /// 225°: displeasure without arousal.
    Sad,
    /// 270°: lack of arousal alone.
    Tired,
    /// 315°: pleasure without arousal.
    Content,
}

impl Label {
    pub const ALL: [Self; 9] = [
        Self::Neutral,
        Self::Happy,
        Self::Excited,
        Self::Alert,
        Self::Distressed,
        Self::Unhappy,
        Self::Sad,
        Self::Tired,
        Self::Content,
    ];

    pub fn of(valence: Level, arousal: Level) -> Self {
        let (pleasure, activation) = (valence.0.unsigned_abs(), arousal.0.unsigned_abs());
        if pleasure < NEUTRAL_BELOW && activation < NEUTRAL_BELOW {
            return Self::Neutral;
        }
        let (pleasant, active) = (valence.0 > 0, arousal.0 > 0);
        if is_slight(activation, pleasure) {
            return if pleasant { Self::Happy } else { Self::Unhappy };
        }
        if is_slight(pleasure, activation) {
            return if active { Self::Alert } else { Self::Tired };
        }
        match (pleasant, active) {
            (true, true) => Self::Excited,
            (false, true) => Self::Distressed,
            (false, false) => Self::Sad,
            (true, false) => Self::Content,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Happy => "happy",
            Self::Excited => "excited",
            Self::Alert => "alert",
            Self::Distressed => "distressed",
            Self::Unhappy => "unhappy",
            Self::Sad => "sad",
            Self::Tired => "tired",
            Self::Content => "content",
        }
    }
}

/// Whether the direction is within 22.5° of the axis along which `large` is measured.
fn is_slight(small: u32, large: u32) -> bool {
    u64::from(small).saturating_mul(SLOPE_ONE) < u64::from(large).saturating_mul(SECTOR_SLOPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const DAY_MS: u64 = 86_400_000;
    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn after(elapsed_ms: u64) -> Timestamp {
        Timestamp::from_millis(START.millis() + i64::try_from(elapsed_ms).unwrap())
    }

    fn level(value: f64) -> Level {
        Level::from_f64(value).unwrap()
    }

    fn affect(valence: f64, arousal: f64) -> Affect {
        Affect { valence: level(valence), arousal: level(arousal), tension: None, affiliation: None }
    }

    fn any_level(random: &mut fastrand::Rng) -> Level {
        // The ends and the middle more often than chance would have them.
        match random.u8(..8) {
            0 => Level::MIN,
            1 => Level::MAX,
            2 => Level::ZERO,
            _ => Level::from_millionths(random.i32(-ONE..=ONE)),
        }
    }

    fn any_levels(random: &mut fastrand::Rng) -> Levels {
        let mut any = || any_level(random);
        Levels { valence: any(), arousal: any(), tension: any(), affiliation: any() }
    }

    fn any_affect(random: &mut fastrand::Rng) -> Affect {
        let levels = any_levels(random);
        Affect {
            valence: levels.valence,
            arousal: levels.arousal,
            tension: random.bool().then_some(levels.tension),
            affiliation: random.bool().then_some(levels.affiliation),
        }
    }

    fn any_mood(random: &mut fastrand::Rng) -> Mood {
        Mood { levels: any_levels(random), ..Mood::new(any_levels(random), START) }
    }

    /// From a millisecond to a century, each order of magnitude as often.
    fn any_duration_ms(random: &mut fastrand::Rng) -> u64 {
        let magnitude = 10_u64.pow(random.u32(0..=12));
        random.u64(1..=magnitude * 3)
    }

    fn each(levels: Levels) -> [i32; 4] {
        [levels.valence, levels.arousal, levels.tension, levels.affiliation].map(Level::millionths)
    }

    /// Each level's distance from its baseline, with its sign.
    fn distances(mood: &Mood) -> [i32; 4] {
        let (levels, baselines) = (each(mood.levels), each(mood.baselines));
        std::array::from_fn(|index| levels[index] - baselines[index])
    }

    fn assert_bounded(mood: &Mood) {
        for level in each(mood.levels).into_iter().chain(each(mood.baselines)) {
            assert!((-ONE..=ONE).contains(&level), "{mood:?}");
        }
    }

    /// Runs a property for many seeds, and names the one that fails.
    fn for_seeds(property: impl Fn(&mut fastrand::Rng) + std::panic::RefUnwindSafe) {
        for seed in 0..20_000 {
            let outcome = std::panic::catch_unwind(|| property(&mut fastrand::Rng::with_seed(seed)));
            assert!(outcome.is_ok(), "seed {seed}");
        }
    }

    #[test]
    fn levels_are_written_exactly() {
        for (millionths, text) in [
            (0, "0.0"),
            (ONE, "1.0"),
            (-ONE, "-1.0"),
            (500_000, "0.5"),
            (-250_000, "-0.25"),
            (1, "0.000001"),
            (-1, "-0.000001"),
            (100_000, "0.1"),
            (300_000, "0.3"),
            (123_456, "0.123456"),
            (-999_999, "-0.999999"),
        ] {
            assert_eq!(json::write(&Level(millionths)).unwrap(), text);
        }
        for millionths in -ONE..=ONE {
            let text = Level(millionths).to_string();
            assert_eq!(Level::from_f64(text.parse().unwrap()), Some(Level(millionths)), "{text}");
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
            let number = json::Value::read(text).unwrap().as_f64().unwrap();
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

    #[test]
    fn moods_survive_being_sent() {
        for_seeds(|random| {
            let mood = any_mood(random);
            let bytes = postcard::to_allocvec(&mood).unwrap();
            assert_eq!(postcard::from_bytes::<Mood>(&bytes).unwrap(), mood);
            let affect = any_affect(random);
            let bytes = postcard::to_allocvec(&affect).unwrap();
            assert_eq!(postcard::from_bytes::<Affect>(&bytes).unwrap(), affect);
        });
    }

    #[test]
    fn golden_decay() {
        let levels =
            Levels { valence: level(0.8), arousal: level(-0.6), tension: level(1.0), affiliation: Level::ZERO };
        let baselines = Levels { affiliation: level(0.5), tension: level(-1.0), ..Levels::default() };
        let mood = Mood { levels, ..Mood::new(baselines, START) };
        for (elapsed_ms, expected) in [
            (1, [800_000, -600_000, 1_000_000, 0]),
            (60_000, [799_615, -599_711, 999_038, 241]),
            (DAY_MS / 2, [565_685, -424_264, 414_214, 146_447]),
            (DAY_MS, [400_000, -300_000, 0, 250_000]),
            (DAY_MS * 3 / 2, [282_843, -212_132, -292_893, 323_223]),
            (DAY_MS * 2, [200_000, -150_000, -500_000, 375_000]),
            (DAY_MS * 365, [0, 0, -1_000_000, 500_000]),
        ] {
            let decayed = mood.decayed(after(elapsed_ms), DAY_MS);
            assert_eq!(each(decayed.levels), expected, "{elapsed_ms} ms");
            assert_eq!(decayed.last_decay_at, after(elapsed_ms));
            assert_eq!(Mood { levels, last_decay_at: START, ..decayed }, mood, "nothing else changes");
        }
    }

    #[test]
    fn golden_move() {
        let mood = Mood::new(Levels::default(), START);
        let once = mood.moved(&affect(0.8, -0.4), after(5), DAY_MS);
        assert_eq!(each(once.levels), [200_000, -100_000, 0, 0]);
        assert_eq!(once.label(), Label::Content);
        assert_eq!((once.created_at, once.updated_at), (START, after(5)));
        assert_eq!((once.last_decay_at, once.last_interaction_at), (after(5), after(5)));
        let told = Affect { tension: Some(Level::MAX), affiliation: Some(Level::MIN), ..affect(0.8, -0.4) };
        let twice = once.moved(&told, after(5 + DAY_MS), DAY_MS);
        assert_eq!(each(twice.levels), [275_000, -137_500, 250_000, -250_000], "decayed first");
    }

    #[test]
    fn the_same_affect_again_and_again_becomes_the_mood() {
        let mut mood = Mood::new(Levels::default(), START);
        for turn in 1..=8 {
            mood = mood.moved(&affect(1.0, -1.0), after(turn), DAY_MS);
        }
        assert!(mood.levels.valence > level(0.89), "{mood:?}");
        for turn in 9..=100 {
            mood = mood.moved(&affect(1.0, -1.0), after(turn), DAY_MS);
        }
        assert!(mood.levels.valence > level(0.999_99), "{mood:?}");
    }

    #[test]
    fn decay_is_bounded_monotone_and_never_overshoots() {
        for_seeds(|random| {
            let (mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
            let mut instants = [any_duration_ms(random), any_duration_ms(random), any_duration_ms(random)];
            instants.sort_unstable();
            let mut before = distances(&mood);
            for elapsed_ms in instants {
                let decayed = mood.decayed(after(elapsed_ms), half_life_ms);
                assert_bounded(&decayed);
                let now = distances(&decayed);
                for (before, now) in before.into_iter().zip(now) {
                    assert!(now.abs() <= before.abs() && now * before.signum() >= 0, "{before} {now}");
                }
                before = now;
            }
        });
    }

    /// Where the factor changes least: from each millisecond to the next.
    #[test]
    fn decay_is_monotone_from_one_millisecond_to_the_next() {
        let mood =
            Mood { levels: Levels { valence: Level::MAX, ..Levels::default() }, ..Mood::new(Levels::default(), START) };
        for half_life_ms in [1, 1_000, DAY_MS, 36_525 * DAY_MS] {
            let mut before = ONE;
            for elapsed_ms in 0..100_000 {
                let now = mood.decayed(after(elapsed_ms), half_life_ms).levels.valence.millionths();
                assert!(now <= before);
                before = now;
            }
        }
    }

    #[test]
    fn decay_in_two_steps_is_decay_in_one() {
        for_seeds(|random| {
            let (mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
            let (first_ms, second_ms) = (any_duration_ms(random), any_duration_ms(random));
            let end = after(first_ms + second_ms);
            let stepped = mood.decayed(after(first_ms), half_life_ms).decayed(end, half_life_ms);
            let direct = mood.decayed(end, half_life_ms);
            for (stepped, direct) in each(stepped.levels).into_iter().zip(each(direct.levels)) {
                assert!((stepped - direct).abs() <= 2, "{stepped} {direct}");
            }
            assert_eq!(Mood { levels: direct.levels, ..stepped }, direct);
        });
    }

    #[test]
    fn no_time_is_no_change_and_much_time_is_the_baseline() {
        for_seeds(|random| {
            let (mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
            assert_eq!(mood.decayed(START, half_life_ms), mood);
            let earlier = Timestamp::from_millis(START.millis() - i64::try_from(any_duration_ms(random)).unwrap());
            assert_eq!(mood.decayed(earlier, half_life_ms), mood);
            let half_life_ms = half_life_ms.min(DAY_MS);
            assert_eq!(mood.decayed(Timestamp::from_millis(i64::MAX), half_life_ms).levels, mood.baselines);
            assert_eq!(mood.decayed(after(1_000), 0).levels, mood.baselines, "0 counts as 1 ms");
            assert_bounded(&mood.decayed(after(1), u64::MAX));
        });
    }

    #[test]
    fn a_turn_moves_toward_its_affect_and_stays_in_bounds() {
        for_seeds(|random| {
            let (mut mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
            let mut now = START;
            for _ in 0..20 {
                // Now and then the clock is set back.
                let step_ms = i64::try_from(any_duration_ms(random)).unwrap().min(1_000_000_000);
                now = Timestamp::from_millis(now.millis() + if random.u8(..4) == 0 { -step_ms } else { step_ms });
                let affect = any_affect(random);
                let decayed = mood.decayed(now, half_life_ms);
                let moved = mood.moved(&affect, now, half_life_ms);
                assert_bounded(&moved);
                let targets = [Some(affect.valence), Some(affect.arousal), affect.tension, affect.affiliation];
                for ((from, to), target) in each(decayed.levels).into_iter().zip(each(moved.levels)).zip(targets) {
                    match target.map(Level::millionths) {
                        None => assert_eq!(from, to),
                        Some(target) => assert!((to - from) * 4 == (target - from) / 4 * 4, "{from} {to} {target}"),
                    }
                }
                for (before, after) in [
                    (mood.updated_at, moved.updated_at),
                    (mood.last_decay_at, moved.last_decay_at),
                    (mood.last_interaction_at, moved.last_interaction_at),
                ] {
                    assert!(after >= before.max(now) || after == before, "no instant goes back");
                }
                assert_eq!((moved.baselines, moved.created_at), (mood.baselines, mood.created_at));
                mood = moved;
            }
        });
    }

    #[test]
    fn labels_follow_the_circle() {
        for (valence, arousal, expected) in [
            (0.0, 0.0, Label::Neutral),
            (0.099_999, -0.099_999, Label::Neutral),
            (0.1, 0.0, Label::Happy),
            (0.0, -0.1, Label::Tired),
            (1.0, 0.0, Label::Happy),
            (1.0, 0.41, Label::Happy),
            (1.0, 0.42, Label::Excited),
            (1.0, 1.0, Label::Excited),
            (0.42, 1.0, Label::Excited),
            (0.41, 1.0, Label::Alert),
            (0.0, 1.0, Label::Alert),
            (-0.5, 0.5, Label::Distressed),
            (-1.0, 0.0, Label::Unhappy),
            (-0.3, -0.3, Label::Sad),
            (0.0, -1.0, Label::Tired),
            (0.3, -0.3, Label::Content),
        ] {
            assert_eq!(Label::of(level(valence), level(arousal)), expected, "{valence} {arousal}");
        }
    }

    /// Every sector is an eighth of the circle, in the order of [`Label::ALL`].
    #[test]
    fn every_direction_has_its_label() {
        for tenth in 0..3_600_u16 {
            // Off the boundaries, which belong to either side.
            let degrees = f64::from(tenth) / 10.0 + 0.05;
            let (arousal, valence) = degrees.to_radians().sin_cos();
            let sector = usize::from((tenth + 225) / 450 % 8);
            for radius in [0.15, 0.5, 1.0] {
                let label = Label::of(level(valence * radius), level(arousal * radius));
                assert_eq!(label, Label::ALL[1 + sector], "{degrees}° at {radius}");
            }
        }
        for label in Label::ALL {
            assert_eq!(json::write(&label).unwrap(), format!("\"{}\"", label.as_str()));
        }
    }

    #[test]
    fn golden_body() {
        let mood = Mood::new(Levels { affiliation: level(0.25), ..Levels::default() }, START);
        let mood = mood.moved(&affect(1.0, 0.5), after(7), DAY_MS).decayed(after(8), DAY_MS);
        assert_eq!(
            json::write(&mood.body("0b2f", Raw::of_checked("\"a/b 🦀\""))).unwrap(),
            "{\"agent_id\":\"0b2f\",\"user_id\":\"a/b 🦀\",\"valence\":0.25,\"arousal\":0.125,\"tension\":0.0,\
             \"affiliation\":0.25,\"baseline_valence\":0.0,\"baseline_arousal\":0.0,\"baseline_tension\":0.0,\
             \"baseline_affiliation\":0.25,\"label\":\"excited\",\"created_at\":\"2023-11-14T22:13:20.000Z\",\
             \"updated_at\":\"2023-11-14T22:13:20.007Z\",\"last_decay_at\":\"2023-11-14T22:13:20.008Z\",\
             \"last_interaction_at\":\"2023-11-14T22:13:20.007Z\"}"
        );
    }
}
