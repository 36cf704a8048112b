//! The messages between the edge and the object, and what they carry, as bytes in the postcard
//! format (<https://postcard.jamesmunns.com/wire-format>).
//!
//! Both ends are the same build, except during a deployment: then an edge may call an object of
//! another build. The format names nothing, so:
//!
//! - A shipped variant keeps its place and its members. A new one goes to the end of its enum. An
//!   older build refuses it, and the caller gets a 503 until the deployment is over.
//! - A version leads every message. A change that breaks the first rule raises it; the two builds
//!   then refuse each other in the same way.
//!
//! Each file is private, and its items have one path, here. No file imports the object's logic.

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
