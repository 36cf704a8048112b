//! The quotas of a tenant and their use.

use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;

/// The thing that a quota limits.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Component {
    Turns,
    ActiveRelationships,
}

/// The used and the granted amounts, for the five quota headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub turns_used: u64,
    pub turns_limit: u64,
    pub relationships_used: u64,
    pub relationships_limit: u64,
    pub resets_at: Timestamp,
}

impl Quota {
    /// The used and the granted amount of a component.
    pub const fn of(&self, component: Component) -> (u64, u64) {
        match component {
            Component::Turns => (self.turns_used, self.turns_limit),
            Component::ActiveRelationships => (self.relationships_used, self.relationships_limit),
        }
    }
}
