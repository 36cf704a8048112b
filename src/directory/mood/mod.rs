//! How an agent perceives the mood of a user: four levels. Each decays to its own baseline as time passes, and
//! turns move it.
//!
//! Invariants: every level is in [-1, 1]. Decay moves a level toward its baseline or leaves it, and never
//! moves it past the baseline.
//!
//! Decay is computed at each read from the stored state. Only [`Mood::moved`] makes a state that is stored. So
//! rounding errors do not add up, however often a mood is read. Decay in two steps differs from decay in one by
//! at most two millionths: each step rounds once, by at most half a millionth, and later steps only shrink the
//! error.

mod emotional_state;
mod label;
mod level;
mod state;

pub use emotional_state::EmotionalState;
pub use label::Label;
pub use level::Level;
pub use state::{Affect, Decay, HALF_LIFE_MS_DEFAULT, HOUR_MS, Levels, Mood, MoodBody};
