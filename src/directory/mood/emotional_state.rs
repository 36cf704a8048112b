//! The emotional state that the answer to a turn shows.

use serde::{Deserialize, Serialize};

use super::label::Label;
use super::level::Level;
use super::state::Affect;

/// The emotional state that a turn tells of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EmotionalState {
    primary: String,
    confidence: Level,
    secondary: Option<Label>,
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
        let distance = affect.valence.to_f64().hypot(affect.arousal.to_f64()) / std::f64::consts::SQRT_2;
        let named = primary.is_some();
        Self {
            primary: primary.unwrap_or_else(|| place.into_str().to_owned()),
            confidence: confidence.and_then(Level::from_f64).unwrap_or(Level::MAX),
            secondary: named.then_some(place),
            intensity: Level::from_f64(distance).unwrap_or_default(),
            valence: affect.valence,
            arousal: affect.arousal,
        }
    }
}
