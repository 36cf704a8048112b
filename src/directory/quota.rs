//! What a tenant has used of its quotas.

use serde::{Deserialize, Serialize};

use super::timestamp::Timestamp;

/// What a quota is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Component {
    Turns,
    ActiveRelationships,
}

/// Used and granted, for the five quota headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub turns_used: u64,
    pub turns_limit: u64,
    pub relationships_used: u64,
    pub relationships_limit: u64,
    pub resets_at: Timestamp,
}

impl Quota {
    /// What is used of a component, and how much is granted.
    pub const fn of(&self, component: Component) -> (u64, u64) {
        match component {
            Component::Turns => (self.turns_used, self.turns_limit),
            Component::ActiveRelationships => (self.relationships_used, self.relationships_limit),
        }
    }
}
