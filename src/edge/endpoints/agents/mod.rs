//! `/api/v1/agents` and `/api/v1/me`: the agents API.

pub mod agent;
pub mod agent_users;
pub mod me;
mod page_request;
