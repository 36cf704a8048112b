//! Golden files of everything that is stored or sent between edge and object.
//!
//! A build that writes something else fails here. A command or an outcome that is added at the end of its enum adds a
//! line. Any other change needs another version: of the protocol (`src/organization/protocol/message.rs`), of the
//! object's schema (`src/organization/schema.rs`), or a migration of D1. The files of an earlier version stay, and stay
//! readable.
//!
//! `ROLLCALL_BLESS=1 cargo test --test core formats` writes the files anew. Run it twice after adding a file.

use std::fmt::Write;
use std::path::PathBuf;

use rollcall::directory::agent::{Agent, AgentId, AgentRef};
use rollcall::directory::api_key::{ApiKey, KeyDigest, KeyKind, KeyPrefix, Scope};
use rollcall::directory::deletion::{Cascade, Erased, Receipt, ReceiptStatus};
use rollcall::directory::end_user::{EndUser, Status, Version};
use rollcall::directory::epoch::Epoch;
use rollcall::directory::event::EventType;
use rollcall::directory::identifiers::{
    BatchId, DeletionId, EventId, KeyId, Mode, OperatorId, OrganizationId, RelationshipId, RequestId, Tenant,
};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::mood::{Affect, EmotionalState, Level, Levels, Mood};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::{Capacity, Limits};
use rollcall::directory::principal::{Principal, PrincipalId, PrincipalType};
use rollcall::directory::quota::{Component, Quota};
use rollcall::directory::relationship::Relationship;
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::json;
use rollcall::organization::copies::Copy;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    self, Actor, Admission, Admit, AgentPage, AgentRecord, AgentView, Answer, AuditPhase, AuditReport, Call, Caller,
    Close, CloseAgain, ClosingProgress, Command, CountedTurn, CreateEndUsers, CreatedEndUser, CreatedPrincipal,
    Creation, DeleteAgent, DeleteEndUser, DeleteEndUsers, DeletePrincipal, DeleteRelationship, Denial, Differences,
    EdgeCall, EndUserChange, EndUserRecord, EndUserView, EventPage, EventPlace, EventRecord, EventSubject, EventsRead,
    ExportList, ExportPart, ExportPlace, ExportRecords, ExportedPart, ExportedRecords, IdempotencyKey, ImportRecords,
    IssueKey, KeyRecord, Lease, ListAgents, ListKeys, ListPrincipals, ListRelationships, ListedAgent, LogPlace,
    NewAgent, NewEndUser, NewPrincipal, NewTurn, OrganizationDeletion, Precondition, PrincipalChange, PrincipalPage,
    PrincipalRef, PrincipalView, PrincipalsFrom, ReadAgent, ReadAudit, ReadDeletion, ReadEndUser, ReadEndUsers,
    ReadEvents, ReadPrincipal, ReadRelationship, ReadSchema, ReadUsage, ReadUserUsage, Record, RecordList, Rejection,
    RelationshipRecord, ReleaseTurn, Reply, ReservedTurn, Resource, RevokeKey, SavedAgent, Settings, StartAudit,
    TurnAnswer, UpdateAgent, UpdateEndUser, UpdatePrincipal, Usage, UserUsage,
};
use rollcall::organization::sql::{Row, Sql, SqlError, SqlValue};
use rollcall::projection::listing::batches::Application;
use rollcall::projection::{Put, cache};
use strum::VariantArray;

use crate::sqlite::Sqlite;

const START_MS: i64 = 1_700_000_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(START_MS + second * 1_000)
}

fn tenant() -> Tenant {
    Tenant { organization: OrganizationId::new(at(0), [1; 10]), mode: Mode::Live }
}

fn organization_deletion() -> OrganizationDeletion {
    OrganizationDeletion {
        deletion_id: DeletionId::new(at(1), [6; 10]),
        requested_at: at(1),
        reason: Some("ended".to_owned()),
    }
}

fn request_id(number: u8) -> RequestId {
    RequestId::new(at(0), [number; 10])
}

pub fn id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn text(json: &str) -> json::Text {
    json::Text::parse(json.to_owned()).expect("JSON")
}

fn metadata(json: &str) -> Metadata {
    Metadata::from_stored(json.to_owned()).expect("an object")
}

fn digest(number: u8) -> KeyDigest {
    let secret = Secret::new("s".repeat(32)).expect("a secret");
    ApiKey::mint(&KeyPrefix::default(), tenant(), [number; 32], &secret).digest()
}

fn named_operator() -> OperatorId {
    OperatorId::new(at(0), [9; 10])
}

fn key(number: u8) -> KeyRecord {
    KeyRecord {
        key_id: KeyId::new(at(0), [number; 10]),
        kind: KeyKind::Api,
        scope: Scope::ReadWrite,
        prefix: KeyPrefix::default(),
        name: name("server"),
        created_at: at(0),
        expires_at: Some(at(1_000_000)),
        revoked_at: None,
        last_used_on: None,
    }
}

fn settings() -> Settings {
    let record = json::Text::parse("{\"name\":\"Acme\"}".to_owned()).expect("JSON");
    Settings { tenant: tenant(), version: 3, limits: Limits::default(), anchor: at(0), record: Some(record) }
}

fn new_user(user_id: &str) -> NewEndUser {
    NewEndUser { user_id: id(user_id), display_name: Some(name("Ada")), metadata: metadata("{\"n\":1e999}") }
}

pub fn tutor() -> AgentRef {
    AgentRef::new("tutor".to_owned()).expect("an agent")
}

fn new_turn(user_id: &str, relationship_id: RelationshipId) -> NewTurn {
    let user_id = Some(id(user_id));
    NewTurn { agent: tutor(), user_id, is_stateful: true, relationship_id, expires_in_ms: 60_000 }
}

fn affect() -> Affect {
    let [valence, arousal, tension, affiliation] =
        [0.7, -0.3, 0.1, 0.9].map(|level| Level::checked(level).expect("a level"));
    Affect { valence, arousal, tension: Some(tension), affiliation: Some(affiliation) }
}

fn answer() -> TurnAnswer {
    TurnAnswer {
        response: "hello".to_owned(),
        state: Some(EmotionalState::of(&affect(), Some("joy".to_owned()), Some(0.5))),
        affect: Some(affect()),
        provider: "echo".to_owned(),
        model: "echo-1".to_owned(),
        latency_ms: 7,
    }
}

fn precondition() -> Precondition {
    Precondition::Versions(vec![Version::of_sequence(7), Version::of_sequence(300)])
}

/// A place in every list of an export.
fn export_places() -> Vec<ExportPlace> {
    let place = |list| ExportPlace { user: 7, exported_at: at(1), last_answer: 300, last_change: 301, list };
    vec![
        place(ExportList::KeptAnswers { after: 299 }),
        place(ExportList::Relationships { after: 0 }),
        place(ExportList::OwnedAgents { after: Some(AgentId::new(at(0), [3; 10])) }),
        place(ExportList::Deletions { after: None }),
    ]
}

/// One command of every kind. A command that is missing here fails the count below.
fn commands() -> Vec<Command> {
    let (deletion_id, cascade) = (DeletionId::new(at(0), [2; 10]), Cascade::MemoryOnly);
    let (agent_id, relationship_id) = (AgentId::new(at(0), [3; 10]), RelationshipId::new(at(0), [4; 10]));
    let (principal_id, reason) = (PrincipalId::new(at(0), [5; 10]), || Some("asked".to_owned()));
    vec![
        Command::Admit(Admit),
        Command::CreateEndUser(new_user("ada")),
        Command::CreateEndUsers(CreateEndUsers { users: vec![new_user("ada"), new_user("bob")] }),
        Command::UpdateEndUser(UpdateEndUser {
            user_id: id("ada"),
            change: EndUserChange::Merge { display_name: Some(None), metadata: Some(text("{\"n\":null}")) },
            if_match: Some(precondition()),
        }),
        Command::DeleteEndUser(DeleteEndUser {
            user_id: id("ada"),
            deletion_id,
            cascade,
            reason: reason(),
            if_match: Some(precondition()),
        }),
        Command::ReadDeletion(ReadDeletion { deletion_id }),
        Command::ReadEndUser(ReadEndUser { user_id: id("ada") }),
        Command::Configure(settings()),
        Command::IssueKey(IssueKey { settings: settings(), digest: digest(1), key: key(1) }),
        Command::ListKeys(ListKeys { after: Some(KeyId::new(at(0), [1; 10])), limit: 10 }),
        Command::RevokeKey(RevokeKey { key_id: KeyId::new(at(0), [1; 10]) }),
        Command::StartAudit(StartAudit { settings: settings(), is_repair: true }),
        Command::ReadAudit(ReadAudit),
        Command::SaveAgent(NewAgent {
            agent_id,
            external_id: Some(id("t-1")),
            name: name("tutor"),
            metadata: Some(metadata("{}")),
        }),
        Command::ReadAgent(ReadAgent { agent: tutor() }),
        Command::UpdateAgent(UpdateAgent {
            agent: tutor(),
            name: Some(name("Tutor")),
            metadata: Some(metadata("{}")),
            if_match: Some(Precondition::Any),
        }),
        Command::ListAgents(ListAgents { after: 9, offset: 3, limit: 10 }),
        Command::ReserveTurn(new_turn("ada", relationship_id)),
        Command::CommitTurn(answer()),
        Command::ReleaseTurn(ReleaseTurn),
        Command::ListRelationships(ListRelationships {
            user_id: Some(id("ada")),
            agent: Some(tutor()),
            after: 9,
            limit: 10,
        }),
        Command::ReadRelationship(ReadRelationship { id: relationship_id }),
        Command::ReadUsage(ReadUsage),
        Command::DeleteAgent(DeleteAgent {
            agent: tutor(),
            deletion_id,
            reason: reason(),
            if_match: Some(Precondition::Any),
        }),
        Command::DeleteRelationship(DeleteRelationship {
            id: relationship_id,
            deletion_id,
            cascade,
            reason: reason(),
            if_match: None,
        }),
        Command::CreatePrincipal(NewPrincipal {
            r#type: PrincipalType::Agent,
            external_id: id("t-2"),
            name: name("Tutor"),
            metadata: metadata("{}"),
            agent_id,
        }),
        Command::ReadPrincipal(ReadPrincipal { principal: PrincipalRef::Id(principal_id) }),
        Command::UpdatePrincipal(UpdatePrincipal {
            id: principal_id,
            change: PrincipalChange { name: Some(name("Eve")), metadata: None, owner: Some(Some(principal_id)) },
            if_match: None,
        }),
        Command::DeletePrincipal(DeletePrincipal { id: principal_id, deletion_id, reason: None, if_match: None }),
        Command::ListPrincipals(ListPrincipals {
            r#type: Some(PrincipalType::Human),
            from: PrincipalsFrom::After(principal_id),
            limit: 10,
        }),
        Command::Close(Close { tenant: tenant(), deletion: organization_deletion() }),
        Command::CloseAgain(CloseAgain),
        Command::ExportPart(ExportPart::First { user_id: id("ada") }),
        Command::ReadEndUsers(ReadEndUsers { user_ids: vec![id("ada"), id("eve")] }),
        Command::DeleteEndUsers(deletion_of_two()),
        Command::ExportRecords(ExportRecords { list: RecordList::Agents, after: 300 }),
        Command::ImportRecords(ImportRecords { records: records() }),
        Command::ReadSchema(ReadSchema),
        Command::ReadEvents(ReadEvents { after: Some(event_place()), types: EventType::VARIANTS.to_vec(), limit: 10 }),
        Command::ReadUserUsage(ReadUserUsage { user_id: id("ada") }),
    ]
}

fn event_place() -> EventPlace {
    let place = |sequence| LogPlace { sequence, mark: 1 << 47 };
    EventPlace { event: place(7), beyond: Some(place(300)) }
}

/// An event about a subject of each kind, and about one that is gone.
fn events() -> Vec<EventRecord> {
    let organization = EventSubject::Organization { limits: Limits::default(), version: 3 };
    let by_key = Actor::Key(KeyId::new(at(0), [1; 10]));
    let (component, period_start, resets_at) = (Component::Turns, at(0), at(2_000_000));
    let quota = EventSubject::Quota { component, used: 8, limit: 10, period_start, resets_at };
    let subjects = [
        (EventType::EndUserUpdated, by_key, Some(EventSubject::EndUser(user()))),
        (EventType::AgentCreated, by_key, Some(EventSubject::Agent(agent()))),
        (EventType::RelationshipCreated, by_key, Some(EventSubject::Relationship(relationship()))),
        (EventType::KeyCreated, Actor::Operator(Some(named_operator())), Some(EventSubject::Key(key(1)))),
        (EventType::OrganizationUpdated, Actor::Operator(None), Some(organization)),
        (EventType::QuotaWarning, Actor::System, Some(quota)),
        (EventType::EndUserErased, Actor::System, None),
    ];
    let event = |(r#type, actor, subject)| EventRecord {
        id: EventId::new(at(1), [7; 10]),
        place: event_place().event,
        r#type,
        created_at: at(1),
        request_id: Some(request_id(1)),
        actor,
        reference: "r".to_owned(),
        subject,
    };
    subjects.into_iter().map(event).collect()
}

fn deletion_of_two() -> DeleteEndUsers {
    let first_deletion_id = DeletionId::new(at(0), [2; 10]);
    DeleteEndUsers { user_ids: vec![id("ada"), id("eve")], first_deletion_id, reason: Some("asked for".to_owned()) }
}

/// A record of each kind.
fn records() -> Vec<Record> {
    let relationship = relationship();
    vec![
        Record::EndUser(EndUserRecord {
            user_id: id("ada"),
            principal_id: PrincipalId::new(at(1), [3; 10]),
            display_name: None,
            metadata: user().metadata,
            created_at: at(1),
            updated_at: at(2),
            last_interaction_at: Some(at(3)),
        }),
        Record::Agent(AgentRecord {
            agent_id: relationship.agent_id,
            external_id: Some(id("tutor")),
            name: Name::new("Tutor").expect("a name"),
            metadata: Metadata::default(),
            created_at: at(1),
            updated_at: at(2),
            owner: Some(id("ada")),
        }),
        Record::Relationship(RelationshipRecord {
            id: relationship.id,
            user_id: id("ada"),
            agent_id: relationship.agent_id,
            turns: 300,
            mood: relationship.mood,
            created_at: at(1),
            last_interaction_at: None,
        }),
    ]
}

fn quota() -> Quota {
    Quota { turns_used: 1, turns_limit: 10, relationships_used: 2, relationships_limit: 20, resets_at: at(2_000_000) }
}

fn user_usage() -> UserUsage {
    UserUsage { used: 300, reserved: 2, limit: Some(1_000), period_start: at(0), resets_at: at(2_000_000) }
}

fn receipt() -> Receipt {
    Receipt {
        deletion_id: DeletionId::new(at(0), [2; 10]),
        status: ReceiptStatus::Completed,
        cascade: Cascade::All,
        requested_at: at(1),
        completed_at: Some(at(2)),
        reason: Some("asked".to_owned()),
        erased: Erased { records: 1, relationships: 2, moods: 3 },
    }
}

fn user() -> EndUser {
    EndUser {
        user_id: id("ada"),
        display_name: Some(name("Ada")),
        metadata: metadata("{\"n\":1e999}"),
        status: Status::DeletionPending,
        version: Version::of_sequence(300),
        created_at: at(1),
        updated_at: at(2),
        last_interaction_at: Some(at(3)),
    }
}

fn agent() -> AgentView {
    let agent = Agent {
        agent_id: AgentId::new(at(0), [3; 10]),
        name: name("tutor"),
        external_id: Some(id("t-1")),
        metadata: metadata("{}"),
        created_at: at(1),
        updated_at: at(2),
    };
    AgentView { agent, version: Version::of_sequence(300) }
}

fn principal() -> PrincipalView {
    let principal = Principal {
        id: PrincipalId::new(at(0), [5; 10]),
        external_id: name("t-2"),
        r#type: PrincipalType::Agent,
        name: name("Tutor"),
        created_at: at(1),
        updated_at: at(2),
        metadata: metadata("{}"),
        is_temporary: false,
        owner_principal_id: Some(PrincipalId::new(at(0), [6; 10])),
        onboarding_session_id: (),
    };
    PrincipalView { principal, version: Version::of_sequence(300) }
}

fn relationship() -> Relationship {
    Relationship {
        id: RelationshipId::new(at(0), [4; 10]),
        version: Version::of_sequence(300),
        user_id: id("ada"),
        agent_id: AgentId::new(at(0), [3; 10]),
        role: "user".to_owned(),
        turns: 7,
        mood: Some(Mood::new(Levels::default(), at(0)).moved(&affect(), at(1), 1_000)),
        created_at: at(1),
        last_interaction_at: Some(at(2)),
    }
}

fn report() -> AuditReport {
    AuditReport {
        phase: Some(AuditPhase::Cache),
        started_at: at(0),
        completed_at: None,
        users: 5,
        fence_reset: true,
        listing: Differences { missing: 1, outdated: 2, foreign: 3 },
        cache: Differences::default(),
    }
}

/// An answer to every command, in the order of [`commands`].
fn answers() -> Vec<Answer> {
    let turn = || CountedTurn { document: text("{}"), quota: Some(quota()) };
    vec![
        Answer::Admit(()),
        Answer::CreateEndUser(CreatedEndUser { created: true, user: user() }),
        Answer::CreateEndUsers(vec![
            Creation::Created,
            Creation::Existing,
            Creation::DeletionPending { deletion_id: DeletionId::new(at(0), [2; 10]) },
            Creation::OtherType,
            Creation::Erased,
        ]),
        Answer::UpdateEndUser(user()),
        Answer::DeleteEndUser(receipt()),
        Answer::ReadDeletion(receipt()),
        Answer::ReadEndUser(EndUserView { user: user(), relationships: vec![relationship()], has_more: true }),
        Answer::Configure(()),
        Answer::IssueKey(()),
        Answer::ListKeys(vec![KeyRecord { revoked_at: Some(at(1)), last_used_on: Some(at(2)), ..key(1) }]),
        Answer::RevokeKey(()),
        Answer::StartAudit(Some(report())),
        Answer::ReadAudit(None),
        Answer::SaveAgent(SavedAgent { created: true, view: agent() }),
        Answer::ReadAgent(agent()),
        Answer::UpdateAgent(agent()),
        Answer::ListAgents(AgentPage {
            items: vec![ListedAgent {
                number: 9,
                agent_id: AgentId::new(at(0), [3; 10]),
                name: name("tutor"),
                created_at: at(1),
                owner: Some(id("ada")),
            }],
            total: 7,
        }),
        Answer::ReserveTurn(ReservedTurn::New {
            agent_name: name("tutor"),
            display_name: Some(name("Ada")),
            quota: quota(),
        }),
        Answer::CommitTurn(turn()),
        Answer::ReleaseTurn(()),
        Answer::ListRelationships(vec![(9, relationship())]),
        Answer::ReadRelationship(relationship()),
        Answer::ReadUsage(Usage { quota: quota(), period_start: at(0) }),
        Answer::DeleteAgent(receipt()),
        Answer::DeleteRelationship(receipt()),
        Answer::CreatePrincipal(CreatedPrincipal { created: true, view: principal() }),
        Answer::ReadPrincipal(principal()),
        Answer::UpdatePrincipal(principal()),
        Answer::DeletePrincipal(receipt()),
        Answer::ListPrincipals(PrincipalPage { items: vec![principal().principal], has_more: true, total: Some(7) }),
        Answer::Close(ClosingProgress {
            completed_at: Some(at(1)),
            erased: Erased { records: 1, relationships: 2, moods: 3 },
        }),
        Answer::CloseAgain(Some(organization_deletion())),
        Answer::ExportPart(ExportedPart { text: "{".to_owned(), next: Some(export_places()[0].clone()) }),
        Answer::ReadEndUsers(vec![user()]),
        Answer::DeleteEndUsers(vec![Some(DeletionId::new(at(0), [2; 10])), None]),
        Answer::ExportRecords(ExportedRecords {
            lines: "{}".to_owned(),
            next: Some(ExportRecords { list: RecordList::Relationships, after: 0 }),
        }),
        Answer::ImportRecords(vec![Ok(true), Ok(false), Err(Rejection::OtherType)]),
        Answer::ReadSchema(6),
        Answer::ReadEvents(EventsRead::Page(EventPage { events: events(), next: event_place(), has_more: true })),
        Answer::ReadUserUsage(user_usage()),
        // A second form of the answers to two commands.
        Answer::ReserveTurn(ReservedTurn::Answered(turn())),
        Answer::ReadEvents(EventsRead::Expired { oldest: event_place() }),
    ]
}

/// Every rejection. One that is missing here fails the count below.
fn rejections() -> Vec<Rejection> {
    let resources = [
        Resource::EndUser,
        Resource::Agent,
        Resource::Relationship,
        Resource::Deletion,
        Resource::Principal,
        Resource::Key,
        Resource::Organization,
    ];
    let mut rejections = vec![
        Rejection::Denied(Denial::InvalidKey),
        Rejection::Denied(Denial::ExpiredKey),
        Rejection::Denied(Denial::ScopeTooSmall { quota: quota() }),
        Rejection::Denied(Denial::RateLimited { retry_after_ms: 5, quota: quota() }),
    ];
    rejections.extend(resources.map(Rejection::NotFound));
    rejections.extend([
        Rejection::PreconditionFailed,
        Rejection::DeletionPending { deletion_id: DeletionId::new(at(0), [2; 10]) },
        Rejection::IdempotencyMismatch,
        Rejection::IdempotencyInFlight,
        Rejection::Invalid { field: "metadata".to_owned(), reason: "too large".to_owned() },
        Rejection::Ambiguous,
        Rejection::OtherType,
        Rejection::OverQuota { component: Component::Turns, quota: quota() },
        Rejection::OverQuota { component: Component::ActiveRelationships, quota: quota() },
        Rejection::QuotaReserved { quota: quota(), retry_after_ms: 5 },
        Rejection::TurnExpired,
        Rejection::Closed,
        Rejection::IdempotencyOfErased,
        Rejection::OverCapacity(Capacity::EndUsers),
        Rejection::OverCapacity(Capacity::Storage),
        Rejection::OverCapacity(Capacity::RelationshipsOfUser),
        Rejection::OverCapacity(Capacity::AgentsOfOwner),
        Rejection::TooManyKeptAnswers { quota: quota(), retry_after_ms: 5 },
        Rejection::OverUserQuota { used: 7, limit: 6, quota: quota() },
    ]);
    rejections
}

/// What any variant reads as its members, or as the length of them.
const ARGUMENTS: [u8; 64] = [0; 64];

/// The name of a variant, from its `Debug` form.
fn kind(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/core/formats")).join(file)
}

/// Compares a text with its golden file, or writes the file.
fn assert_golden(file: &str, text: &str) {
    if std::env::var_os("ROLLCALL_BLESS").is_some() {
        std::fs::write(path(file), text).expect("the file is written");
    }
    let golden = std::fs::read_to_string(path(file)).unwrap_or_default();
    let different = golden.lines().zip(text.lines()).find(|(golden, line)| golden != line);
    assert!(golden == text, "{file} is {} bytes, the build writes {}: {different:?}", golden.len(), text.len());
}

#[test]
fn calls_are_sent_in_these_bytes() {
    let mut lines = String::new();
    let missed = EdgeCall { missed: Some(id("ada")), used: None };
    let reads = [missed, EdgeCall { missed: None, used: Some(300) }].into_iter().flat_map(|edge| {
        let by_id = Command::ReadEndUser(ReadEndUser { user_id: id("ada") });
        let principal = PrincipalRef::ExternalId(id("ada"));
        let by_external_id = Command::ReadPrincipal(ReadPrincipal { principal });
        [by_id, by_external_id].map(|command| (Some(edge.clone()), command))
    });
    let places = export_places().into_iter().map(|place| (None, Command::ExportPart(ExportPart::Next(place))));
    for (edge, command) in commands().into_iter().map(|command| (None, command)).chain(reads).chain(places) {
        let kind = kind(&command);
        let idempotency = Some(IdempotencyKey { digest: "d".to_owned(), fingerprint: "f".to_owned() });
        let caller = Caller::Key { digest: digest(1), kind: KeyKind::Api, scope: Scope::Read, cost: 2 };
        let call = Call { request_id: request_id(1), repeated: true, caller, idempotency, edge, command };
        let bytes = protocol::encode(&call).expect("a call");
        let read: Call = protocol::decode(&bytes).expect("the same call");
        assert_eq!(protocol::encode(&read), Ok(bytes.clone()), "{kind}");
        writeln!(lines, "{kind} {}", hexadecimal(&bytes)).expect("a line");
    }
    // A command that is added goes to the end of the enum and of the list above. One more number names no command.
    let beyond = u8::try_from(commands().len()).expect("a few");
    let admit = Call {
        request_id: request_id(1),
        repeated: false,
        caller: Caller::Operator(None),
        idempotency: None,
        edge: None,
        command: Command::Admit(Admit),
    };
    let mut bytes = protocol::encode(&admit).expect("a call");
    *bytes.last_mut().expect("the command") = beyond;
    bytes.extend(ARGUMENTS);
    assert!(protocol::decode::<Call>(&bytes).is_err(), "a command is missing in this test");
    assert_golden("protocol-6-calls.txt", &lines);
}

#[test]
fn replies_are_sent_in_these_bytes() {
    let mut lines = String::new();
    let admission = Admission { per_second: 1, burst: 2, window_s: 3, remaining: 4, full_at: at(5), full_in_ms: 5_000 };
    let answers = answers().into_iter().map(|answer| (kind(&answer), Ok(answer)));
    let rejections = rejections().into_iter().map(|rejection| (kind(&rejection), Err(rejection)));
    let outcomes = answers.chain(rejections).map(|(kind, outcome)| (kind, outcome, None));
    let read = || Answer::ReadEndUser(EndUserView { user: user(), relationships: Vec::new(), has_more: false });
    let changed = vec![("a".to_owned(), Version::of_sequence(7)), ("b".to_owned(), Version::of_sequence(300))];
    let leased = [Vec::new(), changed].map(|changed| {
        let lease = Lease { epoch: Epoch::of_number(1 << 40), lasts_ms: 5_000, tokens: 300, changed };
        (kind(&read()), Ok(read()), Some(lease))
    });
    for (kind, outcome, lease) in outcomes.chain(leased) {
        let reply = Reply { admission: Some(admission), outcome, listed: Some(true), replayed: true, lease };
        let bytes = protocol::encode(&reply).expect("a reply");
        let read: Reply = protocol::decode(&bytes).expect("the same reply");
        assert_eq!(protocol::encode(&read), Ok(bytes.clone()), "{kind}");
        writeln!(lines, "{kind} {}", hexadecimal(&bytes)).expect("a line");
    }
    assert_golden("protocol-6-replies.txt", &lines);
}

/// A command has the same number in calls and in replies, and one more number names nothing.
#[test]
fn every_command_has_its_answer() {
    let commands: Vec<String> = commands().iter().map(kind).collect();
    let answers: Vec<String> = answers().iter().map(kind).take(commands.len()).collect();
    assert_eq!(commands, answers);
    let kinds: std::collections::BTreeSet<String> = rejections().iter().map(kind).collect();
    // Version, no admission, `Ok` or `Err`, the number of the answer or rejection.
    for (outcome, count) in [(Ok(Answer::Admit(())), commands.len()), (Err(Rejection::Closed), kinds.len())] {
        let mut bytes = protocol::encode(&Reply::new(None, outcome)).expect("a reply");
        bytes.truncate(3);
        bytes.push(u8::try_from(count).expect("a few"));
        bytes.extend(ARGUMENTS);
        assert!(protocol::decode::<Reply>(&bytes).is_err(), "an outcome is missing in this test");
    }
}

/// One object, its listing, and what it wrote into KV.
pub struct World {
    core: OrganizationCore,
    pub object: Sqlite,
    listing: Sqlite,
    cache: String,
}

impl World {
    pub fn call(&mut self, second: i64, number: u8, key: Option<&str>, command: Command) -> Answer {
        self.send(second, number, key, None, command)
    }

    /// A reader at the edge found no copy of a user, or asks for a lease.
    fn read_at_edge(&mut self, second: i64, number: u8, user_id: &str, edge: EdgeCall) {
        self.send(second, number, None, Some(edge), Command::ReadEndUser(ReadEndUser { user_id: id(user_id) }));
    }

    fn send(&mut self, second: i64, number: u8, key: Option<&str>, edge: Option<EdgeCall>, command: Command) -> Answer {
        let idempotency = key.map(|key| IdempotencyKey { digest: key.to_owned(), fingerprint: "f".to_owned() });
        let digest = digest(1);
        let caller = match command {
            Command::IssueKey(_) => Caller::Operator(Some(named_operator())),
            Command::StartAudit(_) => Caller::Operator(None),
            _ => Caller::Key { digest, kind: KeyKind::Api, scope: Scope::ReadWrite, cost: 1 },
        };
        let call = Call { request_id: request_id(number), repeated: false, caller, idempotency, edge, command };
        let reply = self.object.transaction(|sql| self.core.handle(sql, call, at(second))).expect("a reply");
        reply.outcome.unwrap_or_else(|rejection| panic!("{number}: {rejection:?}"))
    }

    fn list(&mut self, second: i64) {
        let now = at(second);
        let next = |sql: &Sqlite| self.core.next_batch(sql, BatchId::new(now, [9; 10]), now);
        if let Some(batch) = self.object.transaction(next).expect("a batch") {
            self.listing.batch(&Application::new(&batch).expect("JSON").statements()).expect("a batch");
            let acknowledge = |sql: &Sqlite| self.core.acknowledge(sql, batch.to.clone(), now);
            self.object.transaction(acknowledge).expect("an acknowledgement");
        }
    }

    fn flush(&mut self, second: i64) {
        self.list(second);
        let now = at(second);
        let copies = self.due_copies(now);
        for copy in &copies {
            let Put { key, value, expires_at } = cache::put(tenant(), copy, now).expect("a put");
            writeln!(self.cache, "{key} {expires_at} {value}").expect("a line");
        }
        let confirm = |sql: &Sqlite| self.core.confirm_copies(sql, &copies, now, now);
        self.object.transaction(confirm).expect("a confirmation");
    }

    fn due_copies(&mut self, now: Timestamp) -> Vec<Copy> {
        self.object.transaction(|sql| self.core.due_copies(sql, now)).expect("the copies")
    }

    /// KV does not answer what is to be written.
    fn fail_to_copy(&mut self, second: i64) {
        self.list(second);
        let copies = self.due_copies(at(second));
        assert!(!copies.is_empty(), "something is due");
        self.object.transaction(|sql| self.core.fail_copies(sql, &copies, at(second))).expect("a failure");
    }

    fn lived() -> Self {
        Self::lived_in(Sqlite::new())
    }

    /// A history that writes every table.
    pub fn lived_in(object: Sqlite) -> Self {
        let mut world =
            Self { core: OrganizationCore::default(), object, listing: Sqlite::listing(), cache: String::new() };
        world.call(0, 1, None, Command::IssueKey(IssueKey { settings: settings(), digest: digest(1), key: key(1) }));
        world.call(0, 10, None, Command::StartAudit(StartAudit { settings: settings(), is_repair: true }));
        world.call(1, 2, Some("k1"), Command::CreateEndUser(new_user("ada")));
        world.call(
            2,
            3,
            Some("k2"),
            Command::CreateEndUsers(CreateEndUsers { users: vec![new_user("bob"), new_user("eve")] }),
        );
        let agent = NewAgent {
            agent_id: AgentId::new(at(3), [3; 10]),
            external_id: Some(id("t-1")),
            name: name("tutor"),
            metadata: Some(metadata("{\"v\":1.0}")),
        };
        world.call(3, 4, Some("k3"), Command::SaveAgent(agent));
        let turn = |user_id: &str, number| new_turn(user_id, RelationshipId::new(at(4), [number; 10]));
        world.call(4, 5, Some("k4"), Command::ReserveTurn(turn("ada", 4)));
        world.call(5, 5, None, Command::CommitTurn(answer()));
        world.call(6, 6, None, Command::ReserveTurn(turn("bob", 6)));
        let change =
            EndUserChange::Replace { display_name: Some(None), metadata: Some(metadata("{\"a\":\"\u{1F980}\"}")) };
        world.call(7, 7, None, Command::UpdateEndUser(UpdateEndUser { user_id: id("ada"), change, if_match: None }));
        for (user_id, number) in [("ada", 20), ("bob", 22), ("eve", 24), ("ada", 21), ("bob", 23), ("eve", 25)] {
            world.read_at_edge(7, number, user_id, EdgeCall { missed: Some(id(user_id)), used: None });
        }
        world.flush(8);
        world.read_at_edge(8, 26, "ada", EdgeCall { missed: None, used: Some(3) });
        let delete = |user_id: &str, number, cascade| {
            Command::DeleteEndUser(DeleteEndUser {
                user_id: id(user_id),
                deletion_id: DeletionId::new(at(9), [number; 10]),
                cascade,
                reason: Some("asked".to_owned()),
                if_match: None,
            })
        };
        world.call(9, 8, None, delete("eve", 8, Cascade::All));
        world.flush(10);
        // No copy is written twice in a minute, not for an erasure either.
        world.flush(68);
        world.object.transaction(|sql| world.core.purge(sql, at(69))).expect("a purge");
        world.call(70, 9, None, delete("bob", 9, Cascade::ModelOnly));
        world.fail_to_copy(71);
        world.call(72, 11, None, Command::CreateEndUser(new_user("joe")));
        world
    }
}

/// All tables of a database as SQL.
fn dump(database: &Sqlite) -> String {
    let mut dump = String::new();
    let tables =
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND type <> 'trigger' ORDER BY type DESC, name";
    let mut names = Vec::new();
    for row in database.rows(tables, &[]).expect("the schema") {
        let [SqlValue::Text(name), SqlValue::Text(sql)] = row.as_slice() else { panic!("a table: {row:?}") };
        let words: Vec<&str> = sql.split_whitespace().collect();
        writeln!(dump, "{};", words.join(" ")).expect("a line");
        if sql.starts_with("CREATE TABLE") {
            names.push(name.clone());
        }
    }
    for name in names {
        for row in database.rows(&format!("SELECT * FROM {name} ORDER BY 1, 2"), &[]).expect("rows") {
            let values = row.iter().map(|value| match value {
                SqlValue::Null => "NULL".to_owned(),
                SqlValue::Integer(number) => number.to_string(),
                SqlValue::Text(text) => format!("'{}'", text.replace('\'', "''")),
            });
            writeln!(dump, "INSERT INTO {name} VALUES ({});", values.collect::<Vec<_>>().join(", ")).expect("a line");
        }
    }
    dump
}

#[test]
fn a_tenant_is_stored_in_these_rows() {
    let world = World::lived();
    assert_golden("object-8.sql", &dump(&world.object));
    // The migration notes when it was applied.
    world.listing.execute("UPDATE cron SET made_at = 0");
    assert_golden("listing-5.sql", &dump(&world.listing));
    assert_golden("cache-3.txt", &world.cache);
}

/// An object that holds the state of a golden file.
fn stored(file: &str) -> (OrganizationCore, Sqlite) {
    let object = Sqlite::new();
    object.execute(&std::fs::read_to_string(path(file)).expect("a golden file"));
    (OrganizationCore::default(), object)
}

fn number(object: &Sqlite, select: &str) -> i64 {
    object.find(select, &[], Row::integer).expect("a query").expect("a row")
}

fn served(file: &str) -> World {
    let (core, object) = stored(file);
    World { core, object, listing: Sqlite::listing(), cache: String::new() }
}

/// What every version stores is read, answered and written on.
fn assert_served(world: &mut World, moods: usize) {
    let read = Command::ReadEndUser(ReadEndUser { user_id: id("ada") });
    let Answer::ReadEndUser(view) = world.call(100, 100, None, read) else { panic!("ada is not read") };
    assert_eq!(view.user.metadata.as_str(), "{\"a\":\"\u{1F980}\"}");
    assert_eq!(view.relationships[0].turns, 1);
    assert_eq!(view.relationships.iter().filter(|relationship| relationship.mood.is_some()).count(), moods);
    let mut create = |second, number, key, user_id| {
        let Answer::CreateEndUser(CreatedEndUser { created: true, user }) =
            world.call(second, number, key, Command::CreateEndUser(new_user(user_id)))
        else {
            panic!("{user_id} is not told to be made");
        };
        user.version
    };
    assert!(create(101, 101, Some("k1"), "ada") < view.user.version, "the kept answer");
    assert!(create(102, 102, None, "eve") > view.user.version, "a version follows every version before it");
    world.flush(103);
}

#[test]
fn a_state_of_schema_3_to_8_is_served() {
    for version in 3..=8 {
        let file = format!("object-{version}.sql");
        let mut world = served(&file);
        assert_served(&mut world, 1);
        let state = |name: &str| number(&world.object, &format!("SELECT value FROM state WHERE name = '{name}'"));
        assert_eq!((state("schema"), state("served_from")), (8, 3), "{file}");
        let before = dump(&world.object);
        // What KV did not answer before the restart may still arrive, so the copy stays due after a confirmation.
        world.flush(140);
        assert_eq!(world.cache.lines().count(), 1, "bob's copy is written: {}", world.cache);
        assert_ne!(dump(&world.object), before);
        assert!(world.core.copies_due_at().is_some_and(|at_| at_ > at(140)), "and once more");
    }
}

/// A build of version 2 kept a copy of every user. This one keeps copies of whoever is read at the edge, and an audit
/// removes the former ones.
#[test]
fn a_state_of_schema_2_is_migrated_and_served() {
    let mut world = served("object-2.sql");
    world.object.execute("UPDATE audit SET phase = '', completed_at = started_at, users = 7");
    let rows = |object: &Sqlite, table: &str| {
        object.rows(&format!("SELECT * FROM {table} ORDER BY 1, 2"), &[]).expect("the rows")
    };
    let tables = ["users", "agents", "relationships", "changes", "deletions", "idempotency", "ledger", "counters"];
    let before = tables.map(|table| rows(&world.object, table));
    read_usage(&mut world.core, &world.object).expect("an answer");
    assert_eq!(tables.map(|table| rows(&world.object, table)), before, "nothing is lost");
    let state = |name: &str| number(&world.object, &format!("SELECT value FROM state WHERE name = '{name}'"));
    assert_eq!((state("schema"), state("served_from")), (8, 3), "no build of version 2 may serve it");
    assert_eq!(number(&world.object, "SELECT count(*) FROM state WHERE name = 'cache_sequence'"), 0);
    assert_eq!(number(&world.object, "SELECT edge_stale_s FROM settings"), 5);
    assert_eq!(number(&world.object, "SELECT count(*) FROM copies"), 0);
    // The audit has begun, and the alarm goes on with it.
    assert!(world.core.is_audited() && world.core.work_at().is_some_and(|work_at| work_at <= at(30)));
    let report = world.object.transaction(|sql| world.core.report(sql, at(30))).expect("an answer").expect("a report");
    assert_eq!((report.phase, report.users), (Some(AuditPhase::Fence), 0));
    assert_eq!(
        number(&world.object, "SELECT count(*) FROM state WHERE name = 'cache_audited_at'"),
        0,
        "it looks at KV"
    );
    // The turn that was under way is counted.
    world.call(50, 6, None, Command::CommitTurn(answer()));
    assert_served(&mut world, 1);
    assert_eq!(world.cache, "", "nobody is read at the edge");
}

/// An object of version 2 that was being emptied knows no copies, and is emptied all the same.
#[test]
fn a_closed_object_of_schema_2_is_emptied() {
    let (mut core, object) = stored("object-2.sql");
    let organization = tenant().organization;
    object.execute(&format!("INSERT INTO closing VALUES (1, '{organization}', 'live', 1, NULL, 3, 2, 1, 1)"));
    let refused = read_usage(&mut core, &object).expect("an answer");
    assert!(matches!(refused.outcome, Err(Rejection::Closed)));
    let closing = object.transaction(|sql| core.closing(sql)).expect("an answer").expect("the mark");
    assert_eq!(object.transaction(|sql| closing.copies(sql)), Ok(Vec::new()));
}

/// Builds from before the change log stored version 1.
#[test]
fn an_earlier_state_is_refused_and_left_alone() {
    let (mut core, object) = (OrganizationCore::default(), Sqlite::new());
    object.execute(
        "CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
         INSERT INTO state VALUES ('schema', 1)",
    );
    let before = dump(&object);
    let error = read_usage(&mut core, &object).expect_err("it is refused");
    assert!(error.0.contains("version 1 cannot be read"), "{error}");
    assert_eq!(dump(&object), before);
}

/// A build that is rolled back serves what a newer one has stored, unless the newer one forbids it.
#[test]
fn a_newer_state_is_served_as_far_as_it_allows() {
    for (served_from, is_served) in [("value", true), ("value + 1", false)] {
        let (mut core, object) = (OrganizationCore::default(), World::lived().object);
        object.execute(
            "UPDATE state SET value = (SELECT value FROM state WHERE name = 'schema') WHERE name = 'served_from'",
        );
        object.execute("UPDATE state SET value = value + 1 WHERE name = 'schema'");
        // A start writes about copies that are due.
        object.execute("UPDATE copies SET due_at = NULL");
        object.execute(&format!("UPDATE state SET value = {served_from} WHERE name = 'served_from'"));
        let before = dump(&object);
        let read = read_usage(&mut core, &object);
        assert_eq!(read.is_ok(), is_served, "{read:?}");
        assert_eq!(dump(&object), before, "a read writes nothing");
    }
}

fn read_usage(core: &mut OrganizationCore, object: &Sqlite) -> Result<Reply, SqlError> {
    let call = Call {
        request_id: request_id(1),
        repeated: false,
        caller: Caller::Operator(None),
        idempotency: None,
        edge: None,
        command: Command::ReadUsage(ReadUsage),
    };
    object.transaction(|sql| core.handle(sql, call, at(30)))
}
