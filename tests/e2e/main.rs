//! The contract, over real HTTP, against the real local runtime with its real KV, D1 and Durable Objects.
//!
//! One runtime serves all tests that can share one. Each test has its own organizations, so no test depends on
//! another or on their order.

mod agent_users;
mod agents;
mod alarms;
mod at_length;
mod batch;
mod capacity;
mod churn;
#[path = "../clerk/mod.rs"]
mod clerk;
mod client;
mod clock;
mod copies;
mod create_end_user;
mod delete_end_user;
mod diagnostics;
mod edge_reads;
mod ending;
mod erasure;
mod event_stream;
mod events;
mod export;
mod faults;
mod follow;
mod front;
mod get_end_user;
mod hang_up;
mod idempotency;
mod isolation;
mod key_rotation;
mod large_pages;
mod list_end_users;
mod me;
mod metering;
mod metrics;
mod migrations;
mod mixed_load;
mod operators;
mod organization_deletion;
mod organization_transfer;
mod organizations;
mod pages;
mod placement;
mod preconditions;
mod principals;
mod production_faults;
mod public;
mod published_client;
mod rate_limit;
mod reads;
mod refusals;
mod relationships;
mod repair;
mod respond;
mod rollover;
mod schemas;
mod server;
mod stores;
mod streaming;
mod tenants;
mod traps;
mod unmigrated;
mod update_end_user;
mod upgrade;
mod upstream;
mod usage;
mod user_quotas;
mod verify;
#[path = "../wait/mod.rs"]
mod wait;
mod webhooks;
mod workers_ai;
mod wycheproof;
