//! What the edge and the object say to each other, as bytes (postcard,
//! <https://postcard.jamesmunns.com/wire-format>).
//!
//! Both ends are the same build of the same crate, but during a deployment an
//! edge may speak to an object of another build. The format names nothing, so:
//!
//! - What has shipped is never edited: a variant keeps its place and its members.
//!   What is new is a new variant at the end of its enum. Who does not know it
//!   refuses it, which the caller sees as 503 for as long as the deployment lasts.
//! - [`VERSION`] leads every message. It is raised by a change that breaks this
//!   rule; the two builds then refuse each other in the same way.

mod admission;
mod agents;
mod audit;
mod call;
mod command;
mod end_users;
mod idempotency;
mod keys;
mod message;
mod precondition;
mod principals;
mod relationships;
mod reply;
mod settings;
mod turns;

pub use admission::{Admission, Denial};
pub use agents::NewAgent;
pub use audit::{AuditPhase, AuditReport, Differences};
pub use call::{Call, Caller};
pub use command::Command;
pub use end_users::{Creation, EndUserChange, NewEndUser};
pub use idempotency::IdempotencyKey;
pub use keys::{KeyRecord, NewKey};
pub use message::{UnreadableMessage, decode, encode};
pub use precondition::Precondition;
pub use principals::{NewPrincipal, PrincipalChange, PrincipalRef, PrincipalsFrom};
pub use relationships::Shown;
pub use reply::{Outcome, Reply};
pub use settings::Settings;
pub use turns::{NewTurn, TurnAnswer};
