//! The statements that overwrite rows of the listing in place, and those that remove them: see
//! [`crate::organization::overwriting`].

use crate::organization::overwriting::blanks;

/// What tells of a person in a row of `end_users`, besides the id.
const OF_USER: [&str; 3] = ["display_name", "metadata", "document"];
/// The same in a row of `agent_users`.
const OF_ENTRY: [&str; 1] = ["entry"];

/// Finds the entries of some users by their index. Without its name the planner uses the primary key, which starts with
/// the tenant, and reads every row of the tenant.
pub const BY_USER: &str = "INDEXED BY agent_users_by_user";

/// Overwrites the users for whom the condition holds.
pub fn overwrite_users(condition: &str) -> String {
    format!("UPDATE end_users SET {} WHERE {condition}", blanks(&OF_USER))
}

/// Removes the users for whom the condition holds.
pub fn remove_users(condition: &str) -> String {
    format!("DELETE FROM end_users WHERE {condition}")
}

/// Overwrites the entries for which the condition holds. `index` is empty or [`BY_USER`].
pub fn overwrite_entries(index: &str, condition: &str) -> String {
    format!("UPDATE agent_users {index} SET {} WHERE {condition}", blanks(&OF_ENTRY))
}

/// Removes the entries for which the condition holds. `index` is empty or [`BY_USER`].
pub fn remove_entries(index: &str, condition: &str) -> String {
    format!("DELETE FROM agent_users {index} WHERE {condition}")
}
