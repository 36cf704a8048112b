//! The emotional state that the answer to a turn shows.

use serde::Serialize;

use crate::directory::mood::{Affect, Label, Level};

/// The emotional state that a turn tells of.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct EmotionalState {
    primary: String,
    confidence: Level,
    secondary: Option<&'static str>,
    /// How far from neutral, in [0, 1].
    intensity: Level,
    valence: Level,
    arousal: Level,
}

impl EmotionalState {
    /// An affect without a name gets the name of its place on the circumplex. Without a confidence it is
    /// certain.
    pub fn of(affect: &Affect, primary: Option<String>, confidence: Option<f64>) -> Self {
        let place = Label::of(affect.valence, affect.arousal);
        let millionths = |level: Level| f64::from(level.millionths()) / 1_000_000.0;
        let distance = millionths(affect.valence).hypot(millionths(affect.arousal)) / std::f64::consts::SQRT_2;
        let named = primary.is_some();
        Self {
            primary: primary.unwrap_or_else(|| place.as_str().to_owned()),
            confidence: confidence.and_then(Level::from_f64).unwrap_or(Level::MAX),
            secondary: named.then(|| place.as_str()),
            intensity: Level::from_f64(distance).unwrap_or_default(),
            valence: affect.valence,
            arousal: affect.arousal,
        }
    }
}
