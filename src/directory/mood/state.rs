//! The levels of a mood, their decay, and the effect of a turn.

use serde::{Deserialize, Serialize};

use super::label::Label;
use super::level::Level;
use crate::directory::agent::AgentId;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

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

/// The user's feelings in a turn. A dimension that is absent does not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affect {
    pub valence: Level,
    pub arousal: Level,
    pub tension: Option<Level>,
    pub affiliation: Option<Level>,
}

/// An instant, and the speed at which moods decay until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decay {
    pub now: Timestamp,
    /// The time in which a mood loses half its distance to its baseline, in milliseconds.
    pub half_life_ms: u64,
}

/// A day: most of a mood is left the next morning, and nearly nothing after a week.
pub const HALF_LIFE_MS_DEFAULT: u64 = 24 * HOUR_MS;
pub const HOUR_MS: u64 = 60 * 60 * 1_000;

/// The mood of one user with one agent, as it was at `last_decay_at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mood {
    pub levels: Levels,
    /// The levels to which a mood decays.
    pub baselines: Levels,
    pub created_at: Timestamp,
    /// When a turn last moved the mood.
    pub updated_at: Timestamp,
    /// The instant at which the mood had these levels.
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

    /// The mood at a later instant: after each half-life, half of each level's distance to its baseline is
    /// left. An instant that is not later changes nothing.
    ///
    /// `half_life_ms` is in milliseconds, and 0 counts as 1. For half-lives up to a century, the factors of any
    /// two instants differ by more than the error of the exponential function. So a later reading is never
    /// farther from the baseline than an earlier one.
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

    /// The mood after a turn: it decays to the instant of the turn and then moves a quarter of the distance to
    /// the affect (`level + (affect - level) / 4`).
    ///
    /// After the clock was set back, the mood moves without decaying, and none of its instants goes back.
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

    /// The mood after its decay, in the form that callers get. `last_decay_at` is when the stored levels were
    /// computed.
    pub fn body<'a>(&self, agent_id: AgentId, user_id: &'a UserId, decay: Decay) -> MoodBody<'a> {
        let decayed = self.decayed(decay.now, decay.half_life_ms);
        let (levels, baselines) = (decayed.levels, decayed.baselines);
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
            label: decayed.label(),
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_decay_at: self.last_decay_at,
            last_interaction_at: self.last_interaction_at,
        }
    }
}

/// The part of a distance that is left after a time, in [0, 1].
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ms, which is after the last timestamp")]
fn remaining(elapsed_ms: u64, half_life_ms: u64) -> f64 {
    (-(elapsed_ms as f64) / half_life_ms.max(1) as f64 * std::f64::consts::LN_2).exp()
}

/// The mood of a user with an agent.
// Some clients refuse any other members or order.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Mood")]
pub struct MoodBody<'a> {
    pub agent_id: AgentId,
    pub user_id: &'a UserId,
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

#[cfg(test)]
mod tests;
