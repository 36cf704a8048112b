//! The messages between the edge and the object, and what they carry, as bytes in the postcard format
//! (<https://postcard.jamesmunns.com/wire-format>).
//!
//! Both ends are the same build, except during a deployment: then an edge may call an object of another build.
//! The format names nothing, so:
//!
//! - A shipped variant keeps its place and its members. A new one goes to the end of its enum. An older build
//!   refuses it, and the caller gets a 503 until the deployment is over.
//! - A version leads every message. A change that breaks the first rule raises it; the two builds then refuse
//!   each other in the same way.
//!
//! Each file is private, and its items have one path, here. No file imports the object's logic.

mod admission;
mod agents;
mod audit;
mod call;
mod closing;
mod command;
mod deletions;
mod edge_reads;
mod end_users;
mod events;
mod idempotency;
mod keys;
mod message;
mod precondition;
mod principals;
mod rejection;
mod relationships;
mod reply;
mod schema;
mod settings;
mod transfer;
mod turns;

pub use admission::{Admission, Denial};
pub use agents::{
    AgentPage, AgentView, DeleteAgent, ListAgents, ListedAgent, NewAgent, ReadAgent, SavedAgent, UpdateAgent,
};
pub use audit::{AuditPhase, AuditReport, Differences, ReadAudit, StartAudit};
pub use call::{Call, Caller};
pub use closing::{Close, CloseAgain, ClosingProgress, OrganizationDeletion};
pub use command::{Admit, Answer, Command, Effect, IntoCommand};
pub use deletions::{DeleteEndUser, DeleteEndUsers, ReadDeletion};
pub use edge_reads::{EdgeCall, Lease};
pub use end_users::{
    CreateEndUsers, CreatedEndUser, Creation, EndUserChange, EndUserView, ExportList, ExportPart, ExportPlace,
    ExportedPart, NewEndUser, ReadEndUser, ReadEndUsers, UpdateEndUser,
};
pub use events::{Actor, EventPage, EventPlace, EventRecord, EventSubject, EventsRead, LogPlace, ReadEvents};
pub use idempotency::IdempotencyKey;
pub use keys::{IssueKey, KeyRecord, ListKeys, RevokeKey};
pub use message::{VERSION, decode, encode};
pub use precondition::Precondition;
pub use principals::{
    CreatedPrincipal, DeletePrincipal, ListPrincipals, NewPrincipal, PrincipalChange, PrincipalPage, PrincipalRef,
    PrincipalView, PrincipalsFrom, ReadPrincipal, UpdatePrincipal,
};
pub use rejection::{Rejection, Resource};
pub use relationships::{DeleteRelationship, ListRelationships, NumberedRelationship, ReadRelationship};
pub use reply::{Outcome, Reply};
pub use schema::ReadSchema;
pub use settings::Settings;
pub use transfer::{
    AgentRecord, EndUserRecord, ExportRecords, ExportedRecords, ImportRecords, Record, RecordList, RelationshipRecord,
};
pub use turns::{
    CountedTurn, NewTurn, ReadUsage, ReadUserUsage, ReleaseTurn, ReservedTurn, TurnAnswer, Usage, UserUsage,
};
