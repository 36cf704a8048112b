//! `/v1`: the end-users API.

pub mod deletions;
pub mod end_users;
pub mod end_users_batch;
pub mod event_stream;
pub mod event_views;
pub mod events;
pub mod export;
pub mod relationships;
pub mod respond;
pub mod turn_events;
pub mod usage;
