//! The version of the object's tables, in calls.

use serde::{Deserialize, Serialize};

/// The arguments of `Command::ReadSchema`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadSchema;
