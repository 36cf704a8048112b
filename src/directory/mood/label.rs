//! The label of a mood.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::level::Level;

/// Below this in both valence and arousal, in millionths, a mood is neutral.
const NEUTRAL_BELOW: u32 = 100_000;

/// tan 22.5°, in parts of [`SLOPE_ONE`]: the slope between the sector of an axis and the sector of a diagonal.
const SECTOR_SLOPE: u64 = 414_214;
const SLOPE_ONE: u64 = 1_000_000;

/// The place of valence and arousal on the circle of Russell's circumplex model (1980): a neutral centre, and
/// eight sectors of 45° around the axes and the diagonals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Label {
    /// Valence and arousal are both below a tenth.
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
    pub fn of(valence: Level, arousal: Level) -> Self {
        let (pleasure, activation) = (valence.millionths().unsigned_abs(), arousal.millionths().unsigned_abs());
        if pleasure < NEUTRAL_BELOW && activation < NEUTRAL_BELOW {
            return Self::Neutral;
        }
        let (pleasant, active) = (valence.millionths() > 0, arousal.millionths() > 0);
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
}

/// Whether a direction lies within 22.5° of the axis of its `large` component.
fn is_slight(small: u32, large: u32) -> bool {
    u64::from(small).saturating_mul(SLOPE_ONE) < u64::from(large).saturating_mul(SECTOR_SLOPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [Label; 9] = [
        Label::Neutral,
        Label::Happy,
        Label::Excited,
        Label::Alert,
        Label::Distressed,
        Label::Unhappy,
        Label::Sad,
        Label::Tired,
        Label::Content,
    ];

    fn level(value: f64) -> Level {
        Level::from_f64(value).unwrap()
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

    /// Every sector is an eighth of the circle, in the order of [`LABELS`].
    #[test]
    fn every_direction_has_its_label() {
        for tenth in 0..3_600_u16 {
            // Off the boundaries, which belong to either side.
            let degrees = f64::from(tenth) / 10.0 + 0.05;
            let (arousal, valence) = degrees.to_radians().sin_cos();
            let sector = usize::from((tenth + 225) / 450 % 8);
            for radius in [0.15, 0.5, 1.0] {
                let label = Label::of(level(valence * radius), level(arousal * radius));
                assert_eq!(label, LABELS[1 + sector], "{degrees}° at {radius}");
            }
        }
        for label in LABELS {
            assert_eq!(serde_json::to_string(&label).unwrap(), format!("\"{}\"", label.into_str()));
        }
    }
}
