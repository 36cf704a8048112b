//! The feed of events over random histories: users, agents, relationships and keys come, change and go, the listing lags,
//! the clock is set back, the log is swept, and the object restarts and is restored to earlier moments.
//!
//! - A walk meets every event that matches its filter once, in order, whatever happens between two pages.
//! - A reader is refused exactly when it has missed an event, or follows a history that is lost.

use std::cmp::Ordering;

use rollcall::directory::agent::AgentRef;
use rollcall::directory::api_key::Scope;
use rollcall::directory::deletion::Cascade;
use rollcall::directory::end_user::Status;
use rollcall::directory::event::EventType;
use rollcall::directory::identifiers::{DeletionId, RelationshipId};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::feed::LOOKED_AT_MAX;
use rollcall::organization::page::PAGE_BYTES_MAX;
use rollcall::organization::protocol::{
    Actor, Answer, Call, Caller, Command, DeleteAgent, DeleteEndUser, DeleteRelationship, EndUserChange, EventPage,
    EventPlace, EventRecord, EventSubject, EventsRead, NewEndUser, ReadEvents, RevokeKey, Settings, UpdateAgent,
    UpdateEndUser,
};
use rollcall::organization::retention::KEPT_MS;
use rollcall::organization::sql::Row;
use strum::VariantArray;

use crate::position;
use crate::sqlite::Sqlite;
use crate::tenant::{Object, START_MS, holder, issue, key, settings, turn, turn_answer, wide};

const HISTORIES: u64 = 200;
const STEPS: usize = 150;
const IDS: [&str; 3] = ["a", "b", "c"];

fn read(object: &mut Object, after: Option<EventPlace>, types: &[EventType], limit: u32) -> EventsRead {
    let read = Command::ReadEvents(ReadEvents { after, types: types.to_vec(), limit });
    match object.operator(read) {
        Ok(Answer::ReadEvents(read)) => read,
        other => panic!("{other:?}"),
    }
}

fn page(object: &mut Object, after: Option<EventPlace>, types: &[EventType], limit: u32) -> EventPage {
    match read(object, after, types, limit) {
        EventsRead::Page(page) => page,
        EventsRead::Expired { oldest } => panic!("only what is after {oldest} is kept"),
    }
}

/// Every event that is kept.
fn all(object: &mut Object) -> Vec<EventRecord> {
    let (mut events, mut after) = (Vec::new(), None);
    loop {
        let page = page(object, after, &[], 200);
        events.extend(page.events);
        if !page.has_more {
            return events;
        }
        after = Some(page.next);
    }
}

/// Type and sequence number of an event as it is in the log.
type Logged = (i64, EventType);

/// The events in the log, as a test reads them.
fn logged(storage: &Sqlite) -> Vec<Logged> {
    let rows = storage.rows("SELECT sequence, kind FROM changes ORDER BY sequence", &[]).expect("the log");
    let read = |row| {
        let mut row = Row::new(row);
        let (sequence, kind) = (row.integer().expect("a number"), row.text().expect("a kind"));
        let found = EventType::VARIANTS.iter().find(|r#type| r#type.into_str() == kind);
        found.map(|r#type| (sequence, *r#type))
    };
    rows.into_iter().filter_map(read).collect()
}

/// A reader who goes on from page to page.
#[derive(Clone)]
struct Reader {
    types: Vec<EventType>,
    limit: u32,
    after: Option<EventPlace>,
    /// The last event that the reader is past, of whatever type; 0 at the beginning.
    past: i64,
    /// Whether that event is in a history that the object has lost.
    is_lost: bool,
}

struct World {
    object: Object,
    /// Every event of the present history, swept ones too.
    history: Vec<Logged>,
    readers: Vec<Reader>,
    backup: Option<(Vec<u8>, Vec<Logged>)>,
    refused: u32,
    walked: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut object = Object::new(seed, wide());
        let filters: [&[EventType]; 3] =
            [&[], &[EventType::EndUserErased, EventType::KeyRevoked], &[EventType::EndUserCreated]];
        let reader =
            |types: &[EventType], limit| Reader { types: types.to_vec(), limit, after: None, past: 0, is_lost: false };
        let readers = filters.into_iter().flat_map(|types| [1, 3, 200].map(|limit| reader(types, limit))).collect();
        object.agent("x");
        let history = logged(&object.storage);
        Self { object, history, readers, backup: None, refused: 0, walked: 0 }
    }

    fn user_id(&mut self) -> UserId {
        UserId::new(*self.object.random.choice(&IDS).expect("an id")).expect("an id")
    }

    fn metadata(&mut self) -> Metadata {
        Metadata::from_stored(format!("{{\"n\":{}}}", self.object.random.u32(..))).expect("an object")
    }

    fn step(&mut self) {
        self.object.now_ms += 1;
        match self.object.random.u8(0..100) {
            0..15 => {
                let (user_id, metadata) = (self.user_id(), self.metadata());
                let _ =
                    self.object.operator(Command::CreateEndUser(NewEndUser { user_id, display_name: None, metadata }));
            }
            15..25 => {
                let (user_id, metadata) = (self.user_id(), self.metadata());
                let change = EndUserChange::Replace { display_name: None, metadata: Some(metadata) };
                let _ = self.object.operator(Command::UpdateEndUser(UpdateEndUser { user_id, change, if_match: None }));
            }
            25..35 => self.erase(),
            35..45 => self.change_agents(),
            45..60 => self.talk(),
            60..65 => self.change_keys(),
            65..75 => self.acknowledge(),
            75..82 => self.pass(),
            82..86 => self.object.core = OrganizationCore::default(),
            86..88 => self.backup = Some((self.object.storage.bytes().expect("a copy"), self.history.clone())),
            88..90 => self.restore(),
            _ => self.read_some(),
        }
        self.follow();
    }

    /// Requests the erasure of a user; some are completed at once.
    fn erase(&mut self) {
        let user_id = self.user_id();
        let (deletion_id, cascade) = (DeletionId::new(self.object.now(), self.object.bytes()), Cascade::All);
        let delete = DeleteEndUser { user_id, deletion_id, cascade, reason: None, if_match: None };
        let is_requested = self.object.operator(Command::DeleteEndUser(delete)).is_ok();
        if is_requested && self.object.random.bool() {
            self.object.purge();
        }
    }

    fn change_agents(&mut self) {
        let name = (*self.object.random.choice(&IDS).expect("a name")).to_owned();
        let agent = AgentRef::new(name.clone()).expect("an agent");
        if self.object.random.bool() {
            self.object.agent(&name);
            return;
        }
        if self.object.random.bool() {
            let metadata = Some(self.metadata());
            let _ =
                self.object.operator(Command::UpdateAgent(UpdateAgent { agent, name: None, metadata, if_match: None }));
            return;
        }
        let deletion_id = DeletionId::new(self.object.now(), self.object.bytes());
        let _ = self.object.operator(Command::DeleteAgent(DeleteAgent {
            agent,
            deletion_id,
            reason: None,
            if_match: None,
        }));
    }

    /// A turn, which may make a user and a relationship, or the end of a relationship.
    fn talk(&mut self) {
        if self.object.random.u8(0..4) == 0 {
            let ids = self.object.storage.rows("SELECT relationship_id FROM relationships", &[]).expect("rows");
            let Some(row) = self.object.random.choice(ids) else { return };
            let id: RelationshipId = Row::new(row).parsed("an id").expect("an id");
            let deletion_id = DeletionId::new(self.object.now(), self.object.bytes());
            let delete = DeleteRelationship { id, deletion_id, cascade: Cascade::All, reason: None, if_match: None };
            let _ = self.object.operator(Command::DeleteRelationship(delete));
            return;
        }
        let agent = AgentRef::new("x".to_owned()).expect("an agent");
        let relationship_id = RelationshipId::new(self.object.now(), self.object.bytes());
        let request_id = self.object.request_id();
        for command in [turn(agent, self.user_id(), relationship_id), Command::CommitTurn(turn_answer())] {
            let caller = Caller::Operator(None);
            self.object.handle(Call { request_id, repeated: false, caller, idempotency: None, edge: None, command });
        }
    }

    fn change_keys(&mut self) {
        let number = self.object.random.u8(2..5);
        let tenant = self.object.tenant;
        let _ = match self.object.random.u8(0..3) {
            0 => self.object.operator(issue(settings(tenant, wide()), number)),
            1 => self.object.operator(Command::RevokeKey(RevokeKey { key_id: key(number).key_id })),
            _ => {
                let version = self.object.random.i64(1..9);
                self.object.operator(Command::Configure(Settings { version, ..settings(tenant, wide()) }))
            }
        };
    }

    /// The listing confirms any change.
    fn acknowledge(&mut self) {
        let last = self.object.core.last_sequence().unwrap_or_default();
        let to = position(self.object.random.i64(0..=last));
        self.object.transact(|core, sql, now| core.acknowledge(sql, to, now));
    }

    /// Days pass, or the clock is set back a little. The alarm sweeps.
    fn pass(&mut self) {
        self.object.now_ms += self.object.random.i64(-KEPT_MS / 60..KEPT_MS / 3);
        self.object.transact(OrganizationCore::sweep);
    }

    fn restore(&mut self) {
        let Some((bytes, history)) = self.backup.clone() else { return };
        self.object.storage = Sqlite::of_bytes(&bytes);
        self.object.core = OrganizationCore::default();
        let last = history.last().map_or(0, |(sequence, _)| *sequence);
        for reader in &mut self.readers {
            reader.is_lost |= reader.past > last;
        }
        self.history = history;
    }

    /// Notes what has come into the log.
    fn follow(&mut self) {
        let last = self.history.last().map_or(0, |(sequence, _)| *sequence);
        self.history.extend(logged(&self.object.storage).into_iter().filter(|(sequence, _)| *sequence > last));
    }

    fn read_some(&mut self) {
        self.follow();
        for index in 0..self.readers.len() {
            for _ in 0..self.object.random.u8(0..4) {
                let mut reader = self.readers[index].clone();
                self.read_on(&mut reader);
                self.readers[index] = reader;
            }
        }
    }

    /// Reads one page, and judges it.
    fn read_on(&mut self, reader: &mut Reader) {
        let kept = logged(&self.object.storage);
        let oldest_kept = kept.first().map_or(i64::MAX, |(sequence, _)| *sequence);
        let swept = self.history.iter().map(|(sequence, _)| *sequence).rfind(|sequence| *sequence < oldest_kept);
        let has_missed = reader.is_lost || reader.past < swept.unwrap_or_default();
        match read(&mut self.object, reader.after, &reader.types, reader.limit) {
            EventsRead::Expired { oldest } => {
                assert!(reader.after.is_some() && has_missed, "a reader past {} is refused", reader.past);
                self.refused += 1;
                *reader =
                    Reader { after: Some(oldest), past: swept.unwrap_or_default(), is_lost: false, ..reader.clone() };
            }
            EventsRead::Page(page) => {
                assert!(reader.after.is_none() || !has_missed, "a reader past {} misses events", reader.past);
                let matches = |r#type: EventType| reader.types.is_empty() || reader.types.contains(&r#type);
                let expected: Vec<Logged> = kept
                    .iter()
                    .copied()
                    .filter(|(sequence, r#type)| *sequence > reader.past && matches(*r#type))
                    .collect();
                let found: Vec<Logged> = page.events.iter().map(|event| (event.place.sequence, event.r#type)).collect();
                let shown = expected.len().min(reader.limit as usize);
                assert_eq!(found, expected[..shown], "after {:?}", reader.after);
                assert_eq!(page.has_more, shown < expected.len());
                let last = if page.has_more { found.last() } else { kept.last() };
                reader.past = last.map_or(reader.past, |(sequence, _)| *sequence).max(reader.past);
                reader.after = Some(page.next);
                self.walked += found.len();
            }
        }
    }
}

#[test]
fn a_walk_neither_skips_nor_repeats_an_event() {
    let base = fastrand::u64(..) >> 16;
    println!("{HISTORIES} histories from {base}");
    let (mut refused, mut walked) = (0, 0);
    for seed in base..base + HISTORIES {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.read_some();
        refused += world.refused;
        walked += world.walked;
    }
    println!("{walked} events walked, {refused} readers refused");
    assert!(refused > 0 && walked > 1_000);
}

fn id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

fn types(events: &[EventRecord]) -> Vec<&'static str> {
    events.iter().map(|event| event.r#type.into_str()).collect()
}

/// The events after the beginning of the object's life: its settings and its key.
fn after_the_beginning(object: &mut Object) -> Vec<EventRecord> {
    let mut events = all(object);
    let later = events.split_off(2);
    assert_eq!(types(&events), ["organization.updated", "key.created"]);
    later
}

#[test]
fn an_event_shows_its_subject_as_it_is_and_an_erased_person_not_at_all() {
    let mut object = Object::new(1, wide());
    let created = object.create(&id("ada"));
    let metadata = Metadata::from_stored("{\"n\":1}".to_owned()).expect("an object");
    let change = EndUserChange::Replace { display_name: None, metadata: Some(metadata) };
    object.operator(Command::UpdateEndUser(UpdateEndUser { user_id: id("ada"), change, if_match: None })).expect("ada");
    let events = after_the_beginning(&mut object);
    assert_eq!(types(&events), ["end_user.created", "end_user.updated"]);
    assert!(events[0].place.sequence == created.version.sequence());
    let shown = |event: &EventRecord| match &event.subject {
        Some(EventSubject::EndUser(user)) => (user.version.sequence(), user.metadata.as_str().to_owned(), user.status),
        other => panic!("{other:?}"),
    };
    let now = (events[1].place.sequence, "{\"n\":1}".to_owned(), Status::Active);
    assert_eq!([shown(&events[0]), shown(&events[1])], [now.clone(), now], "both show what is there now");

    object.erase(&id("ada"));
    let requested = after_the_beginning(&mut object);
    assert_eq!(types(&requested)[2..], ["end_user.erasure_requested"]);
    assert!(requested.iter().all(|event| shown(event).2 == Status::DeletionPending));
    object.purge();
    object.create(&id("ada"));
    let after = after_the_beginning(&mut object);
    assert_eq!(types(&after)[3..], ["end_user.erased", "end_user.created"]);
    let (old, new) = after.split_at(4);
    assert!(old.iter().all(|event| event.subject.is_none() && event.reference == events[0].reference));
    assert!(!format!("{old:?}").contains("ada"), "{old:?}");
    assert!(new[0].subject.is_some() && new[0].reference != events[0].reference);
    let ids = |events: &[EventRecord]| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(ids(&events), ids(&after[..2]), "an event keeps its id");
}

#[test]
fn agents_and_relationships_are_shown_while_they_are_there() {
    let mut object = Object::new(1, wide());
    let agent_id = object.agent("tutor").agent.agent_id;
    object.turn(agent_id, &id("ada"), None);
    let events = after_the_beginning(&mut object);
    assert_eq!(types(&events), ["agent.created", "end_user.created", "relationship.created"], "a turn makes no event");
    assert_eq!(events[0].reference, agent_id.to_string());
    assert!(matches!(&events[0].subject, Some(EventSubject::Agent(view)) if view.agent.agent_id == agent_id));
    let Some(EventSubject::Relationship(relationship)) = &events[2].subject else { panic!("{events:?}") };
    assert_eq!((relationship.user_id.as_str(), relationship.turns), ("ada", 1));
    assert_eq!(events[2].reference, relationship.id.to_string());

    object.erase(&id("ada"));
    assert!(after_the_beginning(&mut object)[2].subject.is_none(), "the API shows it no longer");
    let (agent, deletion_id) = (AgentRef::Id(agent_id), DeletionId::new(object.now(), object.bytes()));
    object
        .operator(Command::DeleteAgent(DeleteAgent { agent, deletion_id, reason: None, if_match: None }))
        .expect("it");
    let events = after_the_beginning(&mut object);
    assert_eq!(types(&events)[3..], ["end_user.erasure_requested", "agent.deleted"]);
    assert!(events[0].subject.is_none() && events[4].subject.is_none());
}

#[test]
fn keys_and_settings_make_an_event_when_the_object_takes_them_over() {
    let mut object = Object::new(1, wide());
    let tenant = object.tenant;
    let at_first = || settings(tenant, wide());
    for _ in 0..2 {
        object.operator(issue(at_first(), 2)).expect("a key");
        object.operator(Command::RevokeKey(RevokeKey { key_id: key(2).key_id })).expect("an answer");
        let newer = Settings { version: 2, limits: Limits { burst: 7, ..wide() }, ..at_first() };
        object.operator(Command::Configure(newer)).expect("an answer");
    }
    let events = after_the_beginning(&mut object);
    assert_eq!(types(&events), ["key.created", "key.revoked", "organization.updated"], "each once");
    for event in &events[..2] {
        assert_eq!(event.reference, key(2).key_id.to_string());
        assert!(matches!(&event.subject, Some(EventSubject::Key(key)) if key.revoked_at.is_some()));
    }
    assert_eq!(events[2].reference, tenant.organization.to_string());
    let Some(EventSubject::Organization { limits, version }) = &events[2].subject else { panic!("{events:?}") };
    assert_eq!((limits.burst, *version), (7, 2));
}

#[test]
fn an_event_says_who_and_when_and_in_which_request() {
    let mut object = Object::new(1, wide());
    let caller = holder(object.tenant, 1, Scope::ReadWrite);
    let new = NewEndUser { user_id: id("ada"), display_name: None, metadata: Metadata::default() };
    object.now_ms += 5;
    object.send(caller, None, Command::CreateEndUser(new)).outcome.expect("ada");
    object.erase(&id("ada"));
    object.purge();
    let events = all(&mut object);
    let actors: Vec<Actor> = events.iter().map(|event| event.actor).collect();
    let by_key = Actor::Key(key(1).key_id);
    assert_eq!(actors, [Actor::Operator(None), Actor::Operator(None), by_key, Actor::Operator(None), Actor::System]);
    let requests: Vec<bool> = events.iter().map(|event| event.request_id.is_some()).collect();
    assert_eq!(requests, [true, true, true, true, false]);
    assert_eq!(events[0].created_at, Timestamp::from_millis(START_MS));
    assert_eq!(events[2].created_at, object.now());
}

#[test]
fn a_page_of_events_is_bounded_in_bytes() {
    const USERS: usize = 150;
    let mut object = Object::new(1, wide());
    let length = 16 * 1024 - "{\"a\":\"\"}".len();
    let metadata = Metadata::from_stored(format!("{{\"a\":\"{}\"}}", "x".repeat(length))).expect("an object");
    for number in 0..USERS {
        let (user_id, metadata) = (id(&format!("u{number:03}")), metadata.clone());
        object.operator(Command::CreateEndUser(NewEndUser { user_id, display_name: None, metadata })).expect("a user");
    }
    let (mut after, mut pages, mut seen) = (None, 0, Vec::new());
    loop {
        let page = page(&mut object, after, &[EventType::EndUserCreated], 200);
        let users = page.events.iter().map(|event| match &event.subject {
            Some(EventSubject::EndUser(user)) => user,
            other => panic!("{other:?}"),
        });
        let bytes: usize = users.clone().map(|user| serde_json::to_string(user).expect("JSON").len()).sum();
        assert!(bytes <= PAGE_BYTES_MAX as usize, "{bytes}");
        seen.extend(users.map(|user| user.user_id.to_string()));
        (pages, after) = (pages + 1, Some(page.next));
        if !page.has_more {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (2, USERS));
    assert!(seen.is_sorted_by(|a, b| a.cmp(b) == Ordering::Less));
}

/// Rows of the log that only the listing needs, as an outage of D1 leaves them.
fn insert_turns(object: &mut Object, count: i64) {
    let last = object.core.last_sequence().expect("a sequence");
    object.storage.execute(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO changes SELECT {last} + i, 'turn', {}, 'operator', NULL, NULL, 1, 'r', NULL, 0 FROM n",
        object.now_ms
    ));
    object.core = OrganizationCore::default();
    object.transact(OrganizationCore::sweep);
}

#[test]
fn a_page_looks_at_no_more_than_1000_rows_and_says_where_to_go_on() {
    assert_eq!(LOOKED_AT_MAX, 1_000);
    let mut object = Object::new(1, wide());
    let last = all(&mut object).last().expect("an event").place.sequence;
    insert_turns(&mut object, 1_900);
    object.create(&id("ada"));
    let (mut after, mut places) = (None, Vec::new());
    for has_more in [true, true, false] {
        let page = page(&mut object, after, &[EventType::EndUserCreated], 200);
        assert_eq!((page.has_more, page.events.len()), (has_more, usize::from(!has_more)));
        places.push(page.next);
        after = Some(page.next);
    }
    // The first page ends with turns, behind the events of the beginning. The next one has only turns.
    assert_eq!(places[0].event.sequence, last);
    assert_eq!(places[1].event.sequence, last);
    let beyond = places[1].beyond.map(|row| row.sequence);
    assert_eq!(beyond, Some(last + 1_000), "{places:?}");
    // The listing confirms the turns, and their rows go.
    let to = position(object.core.last_sequence().expect("a sequence"));
    object.transact(|core, sql, now| core.acknowledge(sql, to, now));
    for place in &places[..2] {
        let page = page(&mut object, Some(*place), &[], 200);
        assert_eq!((types(&page.events), page.has_more), (vec!["end_user.created"], false));
    }
    // A filter that nothing matches goes on all the same.
    for number in 0..1_100 {
        object.create(&id(&format!("u{number}")));
    }
    let first = page(&mut object, after, &[EventType::KeyRevoked], 200);
    assert!(first.has_more && first.events.is_empty());
    let second = page(&mut object, Some(first.next), &[EventType::KeyRevoked], 200);
    assert!(!second.has_more && second.events.is_empty());
    assert!(second.next.event.sequence > first.next.event.sequence);
}

/// A place beyond rows that only the listing needs is not taken for one beyond the rows of another history.
#[test]
fn a_restored_object_shows_what_it_has_made_since() {
    let mut object = Object::new(1, wide());
    let backup = object.storage.bytes().expect("a copy");
    insert_turns(&mut object, 2_500);
    let first = page(&mut object, None, &[], 200);
    let beyond = page(&mut object, Some(first.next), &[], 200).next;
    assert!(beyond.beyond.is_some());
    let later = object.create(&id("bob"));
    let lost = page(&mut object, Some(first.next), &[EventType::EndUserCreated], 200);
    assert!(lost.has_more || !lost.events.is_empty());
    let mut at_the_end = beyond;
    loop {
        let page = page(&mut object, Some(at_the_end), &[], 200);
        at_the_end = page.next;
        if !page.has_more {
            break;
        }
    }
    assert_eq!(at_the_end.event.sequence, later.version.sequence());
    object.storage = Sqlite::of_bytes(&backup);
    object.core = OrganizationCore::default();
    object.now_ms += 1;
    object.create(&id("ada"));
    let page = page(&mut object, Some(beyond), &[], 200);
    assert_eq!(types(&page.events), ["end_user.created"], "its number is below the place");
    let EventsRead::Expired { oldest } = read(&mut object, Some(at_the_end), &[], 200) else {
        panic!("the place is in the lost history");
    };
    assert_eq!(oldest, EventPlace::default());
}

#[test]
fn a_place_is_good_for_as_long_as_nothing_is_missed() {
    let mut object = Object::new(1, wide());
    let beginning = page(&mut object, None, &[], 1).next;
    let end = page(&mut object, None, &[], 200).next;
    let agent_id = object.agent("tutor").agent.agent_id;
    let all_is_listed = |object: &mut Object| {
        let to = position(object.core.last_sequence().expect("a sequence"));
        object.transact(|core, sql, now| core.acknowledge(sql, to, now));
    };
    all_is_listed(&mut object);
    object.now_ms += KEPT_MS;
    object.transact(OrganizationCore::sweep);
    // The newest row stays.
    assert_eq!(types(&page(&mut object, Some(end), &[], 200).events), ["agent.created"], "nothing is missed");
    let EventsRead::Expired { oldest } = read(&mut object, Some(beginning), &[], 200) else {
        panic!("the event of the key is missed");
    };
    assert_eq!(oldest, end);
    assert!(matches!(read(&mut object, Some(EventPlace::default()), &[], 200), EventsRead::Expired { .. }));
    assert_eq!(types(&all(&mut object)), ["agent.created"]);
    let after = page(&mut object, Some(end), &[], 200).next;
    // Only turns follow for a month, and their rows go.
    object.turn(agent_id, &id("ada"), None);
    let after_turn = page(&mut object, Some(after), &[], 200).next;
    object.turn(agent_id, &id("ada"), None);
    object.now_ms += KEPT_MS;
    all_is_listed(&mut object);
    object.transact(OrganizationCore::sweep);
    object.transact(OrganizationCore::sweep);
    assert_eq!(page(&mut object, Some(after_turn), &[], 200).events.len(), 0);
    assert!(matches!(read(&mut object, Some(after), &[], 200), EventsRead::Expired { .. }));
}

/// The events of quotas, each with what is used and granted.
fn of_quotas(object: &mut Object) -> Vec<String> {
    let shown = |event: EventRecord| match event.subject {
        Some(EventSubject::Quota { component, used, limit, .. }) => {
            assert_eq!(event.actor, Actor::System);
            Some(format!("{} {} {used}/{limit}", event.r#type.into_str(), component.into_str()))
        }
        _ => None,
    };
    all(object).into_iter().filter_map(shown).collect()
}

#[test]
fn each_quota_warns_once_and_is_exhausted_once_in_a_period() {
    let limits = Limits { turns_per_period: 9, active_relationships: 2, ..wide() };
    let mut object = Object::new(1, limits);
    let agent_id = object.agent("tutor").agent.agent_id;
    for _ in 0..7 {
        object.turn(agent_id, &id("ada"), None);
    }
    assert_eq!(of_quotas(&mut object), [""; 0], "7 of 9 are less than 80 %");
    object.turn(agent_id, &id("ada"), None);
    assert_eq!(of_quotas(&mut object), ["quota.warning turns 8/9"]);
    object.turn(agent_id, &id("bob"), None);
    let exhausted = [
        "quota.warning turns 9/9",
        "quota.exhausted turns 9/9",
        "quota.warning active_relationships 2/2",
        "quota.exhausted active_relationships 2/2",
    ];
    assert_eq!(of_quotas(&mut object), exhausted, "as they are now");
    let tenant = object.tenant;
    let mut version = 1;
    let mut configure = |object: &mut Object, limits: Limits| {
        version += 1;
        object.operator(Command::Configure(Settings { version, ..settings(tenant, limits) })).expect("an answer");
    };
    configure(&mut object, Limits { turns_per_period: 20, active_relationships: 3, ..wide() });
    for _ in 0..11 {
        object.turn(agent_id, &id("ada"), None);
    }
    assert_eq!(of_quotas(&mut object).len(), 4, "once in a period, whatever the limits");
    // The next period has its own events, and what is over a limit that is lowered is told at once.
    object.now_ms += 31 * 24 * 60 * 60 * 1_000;
    object.turn(agent_id, &id("ada"), None);
    assert_eq!(of_quotas(&mut object).len(), 4);
    configure(&mut object, Limits { turns_per_period: 1, active_relationships: 3, ..wide() });
    let all = of_quotas(&mut object);
    assert_eq!(all[4..], ["quota.warning turns 1/1", "quota.exhausted turns 1/1"]);
    assert_eq!(all[0], "quota.warning turns 20/1", "of the period before");
    configure(&mut object, Limits { turns_per_period: 0, ..wide() });
    assert_eq!(of_quotas(&mut object).len(), 6);
}
