//! Exports over random histories and random bounds of a part: the parts in a row are what is held, and each keeps its
//! bounds. What bounds the answers that are kept counts them right.

use std::fmt::Write as _;

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::deletion::Cascade;
use rollcall::directory::identifiers::{DeletionId, RelationshipId, RequestId};
use rollcall::directory::metadata::Metadata;
use rollcall::directory::mood::{self, Affect, Decay, Level};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::principal::PrincipalType;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::answer_bounds::{ABOUT_BYTES_MAX, ABOUT_MAX, KEPT_MAX};
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::export::{self, PartBounds};
use rollcall::organization::idempotency::KEPT_MS;
use rollcall::organization::protocol::{
    Answer, Call, Caller, Command, DeleteEndUser, ExportPart, ExportPlace, ExportedPart, IdempotencyKey,
    ListRelationships, NewAgent, NewEndUser, NewPrincipal, NewTurn, PrincipalChange, PrincipalRef, ReadDeletion,
    ReadPrincipal, Rejection, Reply, TurnAnswer, UpdatePrincipal,
};
use rollcall::organization::sql::{Sql, SqlValue};
use serde::Serialize;
use serde_json::Value;

use crate::position;
use crate::tenant::Object;

const HISTORIES: u64 = 60;
const STEPS: usize = 120;
const USERS: [&str; 3] = ["ada", "b\"ob", "ev\u{e9}"];
const AGENTS: usize = 6;
/// What stands between two lists, and after the last one.
const BETWEEN: [&str; 4] = ["],\"relationships\":[", "],\"owned_agents\":[", "],\"deletions\":[", "]}"];

struct World {
    object: Object,
    agents: Vec<AgentId>,
    deletions: Vec<DeletionId>,
}

/// A document, taken to pieces.
struct Document {
    head: String,
    /// The entries of each list.
    lists: [Vec<String>; 4],
}

impl Document {
    fn text(&self) -> String {
        let mut text = self.head.clone();
        for (entries, between) in self.lists.iter().zip(BETWEEN) {
            write!(text, "{}{between}", entries.join(",")).expect("a string takes it");
        }
        text
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("JSON")
}

fn user_id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

impl World {
    fn new(seed: u64) -> Self {
        let object = Object::new(seed, Limits::default());
        let mut world = Self { object, agents: Vec::new(), deletions: Vec::new() };
        for number in 0..AGENTS {
            let new = NewAgent {
                agent_id: world.agent_id(),
                external_id: None,
                name: name(&format!("a{number}")),
                metadata: None,
            };
            let Answer::SaveAgent(saved) = world.ask(Command::SaveAgent(new)) else { panic!("another answer") };
            world.agents.push(saved.view.agent.agent_id);
        }
        for user in USERS {
            world.create(user, None);
        }
        world
    }

    fn now(&self) -> Timestamp {
        self.object.now()
    }

    fn decay(&self) -> Decay {
        Decay { now: self.now(), half_life_ms: mood::HALF_LIFE_MS_DEFAULT }
    }

    fn agent_id(&mut self) -> AgentId {
        AgentId::new(self.now(), self.object.bytes())
    }

    fn call(&mut self, request_id: RequestId, key: Option<&str>, command: Command) -> Reply {
        let key = key.map(|key| IdempotencyKey { digest: key.to_owned(), fingerprint: String::new() });
        let call =
            Call { request_id, repeated: false, caller: Caller::Operator(None), idempotency: key, edge: None, command };
        self.object.handle(call)
    }

    fn request_id(&mut self) -> RequestId {
        self.object.now_ms += 1;
        self.object.request_id()
    }

    fn keyed(&mut self, key: Option<&str>, command: Command) -> Reply {
        let request_id = self.request_id();
        self.call(request_id, key, command)
    }

    fn ask(&mut self, command: Command) -> Answer {
        self.keyed(None, command).outcome.expect("an answer")
    }

    /// A new key for most requests.
    fn key(&mut self) -> Option<String> {
        self.object.random.u8(0..4).ne(&0).then(|| format!("k{}", self.object.random.u64(..)))
    }

    fn user(&mut self) -> &'static str {
        self.object.random.choice(USERS).expect("a user")
    }

    fn create(&mut self, user: &str, key: Option<&str>) -> Reply {
        let metadata = format!("{{\"x\":\"{}\"}}", "\\\"\u{1F980}".repeat(self.object.random.usize(0..60)));
        let metadata = Metadata::from_stored(metadata).expect("an object");
        let new = NewEndUser { user_id: user_id(user), display_name: None, metadata };
        self.keyed(key, Command::CreateEndUser(new))
    }

    fn turn(&mut self, user: &str, key: Option<&str>) {
        let request_id = self.request_id();
        let agent = *self.object.random.choice(&self.agents).expect("an agent");
        let turn = NewTurn {
            agent: AgentRef::Id(agent),
            user_id: Some(user_id(user)),
            is_stateful: self.object.random.u8(0..4) > 0,
            relationship_id: RelationshipId::new(self.now(), self.object.bytes()),
            expires_in_ms: 60_000,
        };
        self.call(request_id, key, Command::ReserveTurn(turn)).outcome.expect("a turn");
        let level = |number| Level::from_f64(number).expect("a level");
        let affect = Affect { valence: level(0.5), arousal: level(-0.5), tension: None, affiliation: None };
        let answer = TurnAnswer {
            response: "\"\u{1}".repeat(self.object.random.usize(0..40)),
            state: None,
            affect: self.object.random.bool().then_some(affect),
            provider: "echo".to_owned(),
            model: "echo".to_owned(),
            latency_ms: 1,
        };
        self.call(request_id, None, Command::CommitTurn(answer)).outcome.expect("an answer");
    }

    /// Gives an agent to a user.
    fn give(&mut self, user: &str) {
        let read = Command::ReadPrincipal(ReadPrincipal { principal: PrincipalRef::ExternalId(user_id(user)) });
        let Answer::ReadPrincipal(owner) = self.ask(read) else { panic!("another answer") };
        let id = *self.object.random.choice(&self.agents).expect("an agent");
        let change = PrincipalChange { name: None, metadata: None, owner: Some(Some(owner.principal.id)) };
        self.ask(Command::UpdatePrincipal(UpdatePrincipal { id, change, if_match: None }));
    }

    fn delete(&mut self, user: &str, cascade: Cascade) {
        let deletion_id = DeletionId::new(self.now(), self.object.bytes());
        let reason = Some("a \"reason\"".to_owned());
        self.ask(Command::DeleteEndUser(DeleteEndUser {
            user_id: user_id(user),
            deletion_id,
            cascade,
            reason,
            if_match: None,
        }));
        self.deletions.push(deletion_id);
    }

    /// The listing confirms everything, and what waits for that is completed.
    fn confirm(&mut self) {
        let to = position(self.object.core.last_sequence().expect("loaded"));
        self.object.transact(|core, sql, now| core.acknowledge(sql, to, now));
        while self.object.transact(OrganizationCore::purge) {}
    }

    fn sweep(&mut self) {
        let now = self.now();
        self.object.storage.transaction(|sql| self.object.core.sweep(sql, now)).expect("a sweep");
    }

    fn step(&mut self) {
        let (user, key) = (self.user(), self.key());
        match self.object.random.u8(0..100) {
            0..40 => drop(self.create(user, key.as_deref()).outcome.expect("a user")),
            40..75 => self.turn(user, key.as_deref()),
            75..82 => self.give(user),
            82..88 => {
                let cascade = if self.object.random.u8(0..3) == 0 { Cascade::MemoryOnly } else { Cascade::ModelOnly };
                self.delete(user, cascade);
            }
            88..92 => self.confirm(),
            92..96 => self.object.now_ms += self.object.random.i64(0..KEPT_MS / 2),
            96..98 => {
                self.delete(user, Cascade::All);
                self.confirm();
                drop(self.create(user, None).outcome.expect("a user"));
            }
            _ => self.sweep(),
        }
    }

    fn texts<const N: usize>(&self, select: &str, parameters: &[SqlValue<'_>]) -> Vec<[String; N]> {
        let rows = self.object.storage.run(select, parameters).expect("rows");
        rows.into_iter().map(|mut row| std::array::from_fn(|_| row.text().expect("a text"))).collect()
    }

    /// What is held about a user, read in other ways than the export does.
    fn held(&mut self, user: &str) -> Document {
        let (now, decay) = (self.now(), self.decay());
        let id = user_id(user);
        let Answer::CreateEndUser(read) = self.create(user, None).outcome.expect("the user") else { panic!() };
        self.object.now_ms = now.millis();
        let kept = self.texts(
            "SELECT request_id, CAST(expires_at AS TEXT), document FROM idempotency
             WHERE about = ? AND expires_at > ? ORDER BY number",
            &[id.digest().into(), now.into()],
        );
        let kept = kept.into_iter().map(|[request_id, expires_at, answer]| {
            let expires_at = json(&Timestamp::from_millis(expires_at.parse().expect("an instant")));
            format!("{{\"request_id\":\"{request_id}\",\"expires_at\":{expires_at},\"answer\":{answer}}}")
        });
        let list = ListRelationships { user_id: Some(id.clone()), agent: None, after: 0, limit: 1_000 };
        let Answer::ListRelationships(relationships) = self.ask(Command::ListRelationships(list)) else { panic!() };
        self.object.now_ms = now.millis();
        let relationships = relationships.iter().map(|(_, relationship)| json(&relationship.view(decay)));
        let owned = self.texts(
            "SELECT agent_id FROM agents JOIN users u ON u.number = owner WHERE u.digest = ? ORDER BY agent_id",
            &[id.digest().into()],
        );
        let open = self.texts(
            "SELECT deletion_id FROM deletions JOIN users u ON u.number = user WHERE u.digest = ? ORDER BY deletion_id",
            &[id.digest().into()],
        );
        let receipt = |world: &mut Self, deletion_id: &str| {
            let deletion_id = deletion_id.parse().expect("an id");
            let receipt = world.ask(Command::ReadDeletion(ReadDeletion { deletion_id }));
            world.object.now_ms = now.millis();
            let Answer::ReadDeletion(receipt) = receipt else { panic!("another answer") };
            json(&receipt)
        };
        let turns = self.texts(
            "SELECT CAST(period AS TEXT), CAST(turns AS TEXT) FROM
             (SELECT turns_period AS period, turns FROM users WHERE digest = ?1
              UNION ALL SELECT earlier_period, earlier_turns FROM users WHERE digest = ?1)
             WHERE turns > 0 ORDER BY period DESC",
            &[id.digest().into()],
        );
        let turns = turns.into_iter().map(|[period, used]: [String; 2]| {
            let period_start = Timestamp::from_millis(period.parse().expect("an instant"));
            format!("{{\"period_start\":{},\"used\":{used}}}", json(&period_start))
        });
        let turns = turns.collect::<Vec<_>>().join(",");
        let (exported_at, end_user) = (json(&now), json(&read.user));
        let head =
            format!("{{\"exported_at\":{exported_at},\"end_user\":{end_user},\"turns\":[{turns}],\"kept_answers\":[");
        Document {
            head,
            lists: [
                kept.collect(),
                relationships.collect(),
                owned.into_iter().map(|[agent_id]: [String; 1]| format!("\"{agent_id}\"")).collect(),
                open.into_iter().map(|[deletion_id]: [String; 1]| receipt(self, &deletion_id)).collect(),
            ],
        }
    }

    fn part(&self, part: ExportPart, bounds: PartBounds) -> Result<ExportedPart, String> {
        let last = self.object.core.last_sequence().expect("loaded");
        export::part(&self.object.storage, part, bounds, last, self.decay()).map_err(|failure| format!("{failure:?}"))
    }

    fn bounds(&mut self) -> PartBounds {
        PartBounds { rows_max: self.object.random.u32(1..12), bytes_max: self.object.random.usize(1..6_000) }
    }

    /// The answers of each user and agent are as many as the rows say, and as long.
    fn check_counts(&self) {
        let wrong = self.texts::<1>(
            "SELECT about || ' ' || count(*) || ' ' || sum(octet_length(document)) || ' ' || (max(about_count) - min(about_count) + 1)
                    || ' ' || (max(about_bytes + octet_length(document)) - min(about_bytes)) AS counts
             FROM idempotency WHERE about IS NOT NULL GROUP BY about
             HAVING count(*) <> max(about_count) - min(about_count) + 1
             OR sum(octet_length(document)) <> max(about_bytes + octet_length(document)) - min(about_bytes)",
            &[],
        );
        assert_eq!(wrong, Vec::<[String; 1]>::new());
    }
}

/// Takes a part to pieces again, and returns how many entries it has. `entries` are those that follow.
fn entries_in(mut text: &str, entries: &mut std::iter::Peekable<impl Iterator<Item = String>>) -> u32 {
    let mut count = 0;
    while !text.is_empty() {
        if let Some(rest) = BETWEEN.iter().find_map(|between| text.strip_prefix(between)) {
            text = rest;
            continue;
        }
        let entry = entries.next().unwrap_or_else(|| panic!("nothing follows, but {text}"));
        let rest = text.strip_prefix(',').unwrap_or(text);
        text = rest.strip_prefix(entry.as_str()).unwrap_or_else(|| panic!("{entry} follows, and not {rest}"));
        count += 1;
    }
    count
}

/// Compares an export in parts with what is held. Returns the number of parts.
fn check_parts(world: &mut World, user: &str) -> usize {
    let (held, bounds) = (world.held(user), world.bounds());
    let separators: usize = BETWEEN.iter().map(|between| between.len()).sum();
    let longest = held.lists.iter().flatten().map(String::len).max().unwrap_or_default();
    let mut entries = held.lists.iter().flatten().cloned().collect::<Vec<_>>().into_iter().peekable();
    let (mut joined, mut parts) = (String::new(), 0);
    let mut next = Some(ExportPart::First { user_id: user_id(user) });
    while let Some(part) = next {
        let ExportedPart { text, next: place } = world.part(part, bounds).expect("a part");
        let own = if parts == 0 { text.strip_prefix(held.head.as_str()).expect("the head") } else { &text };
        let count = entries_in(own, &mut entries);
        assert!(count <= bounds.rows_max, "{count} entries within {bounds:?}");
        let bytes_max = if count <= 1 { held.head.len() + longest } else { 0 }.max(bounds.bytes_max) + separators;
        assert!(text.len() <= bytes_max, "{} bytes within {bounds:?}", text.len());
        joined.push_str(&text);
        let is_whole = serde_json::from_str::<Value>(&joined).is_ok();
        assert_eq!(is_whole, place.is_none(), "only the last part makes it JSON");
        parts += 1;
        next = place.map(ExportPart::Next);
    }
    assert_eq!(joined, held.text(), "within {bounds:?}");
    parts
}

#[test]
fn the_parts_of_an_export_are_what_is_held() {
    let (mut most, mut entries) = (0, [0; 4]);
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
            world.check_counts();
        }
        for user in USERS {
            for _ in 0..4 {
                most = check_parts(&mut world, user).max(most);
            }
            for (most, list) in entries.iter_mut().zip(world.held(user).lists) {
                *most = list.len().max(*most);
            }
        }
    }
    println!("at most {most} parts, and {entries:?} entries");
    assert!(most > 20 && entries.iter().all(|entries| *entries > 2), "{most} parts, {entries:?} entries");
}

/// The first part of an export, and where it goes on.
fn begin(world: &World, user: &str, bounds: PartBounds) -> (String, ExportPlace) {
    let first = world.part(ExportPart::First { user_id: user_id(user) }, bounds).expect("a part");
    (first.text, first.next.expect("more parts"))
}

fn finish(world: &World, mut text: String, place: ExportPlace, bounds: PartBounds) -> Result<String, String> {
    let mut next = Some(place);
    while let Some(place) = next {
        let part = world.part(ExportPart::Next(place), bounds)?;
        text.push_str(&part.text);
        next = part.next;
    }
    Ok(text)
}

#[test]
fn an_erasure_between_two_parts_ends_the_export() {
    let bounds = PartBounds { rows_max: 1, bytes_max: 1_000 };
    let mut world = World::new(1);
    for key in ["k1", "k2", "k3", "k4"] {
        world.create("ada", Some(key));
    }
    let (text, place) = begin(&world, "ada", bounds);
    world.delete("ada", Cascade::All);
    finish(&world, text, place.clone(), bounds).expect("the person is there until the erasure is completed");
    world.confirm();
    let gone = world.part(ExportPart::Next(place.clone()), bounds);
    assert!(gone.as_ref().is_err_and(|error| error.contains("NotFound(EndUser)")), "{gone:?}");
    world.create("ada", Some("k5"));
    let other = world.part(ExportPart::Next(place), bounds);
    assert!(other.as_ref().is_err_and(|error| error.contains("NotFound(EndUser)")), "{other:?}");
}

#[test]
fn what_is_stored_between_two_parts_is_not_shown() {
    let bounds = PartBounds { rows_max: 1, bytes_max: 1_000 };
    let mut world = World::new(2);
    for key in ["k1", "k2", "k3"] {
        world.create("ada", Some(key));
        world.turn("ada", None);
    }
    let held = world.held("ada");
    let (text, place) = begin(&world, "ada", bounds);
    world.create("ada", Some("k4"));
    for agent in world.agents.clone() {
        world.agents = vec![agent];
        world.turn("ada", Some(&format!("t{agent}")));
    }
    let text = finish(&world, text, place, bounds).expect("all parts");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let count = |list: &str| document[list].as_array().expect("a list").len();
    assert_eq!((count("kept_answers"), count("relationships")), (held.lists[0].len(), held.lists[1].len()));
}

fn assert_too_many(reply: &Reply, retry_after_ms: i64) {
    let is_right = matches!(
        &reply.outcome,
        Err(Rejection::TooManyKeptAnswers { retry_after_ms: told, .. }) if *told == retry_after_ms
    );
    assert!(is_right, "{:?}, not {retry_after_ms}", reply.outcome);
}

/// Pretends that the newest answer follows others, so that there are so many of these bytes.
fn pretend(world: &World, count: i64, bytes: i64) {
    let update = "UPDATE idempotency SET about_count = first.count + ?1 - 1, about_bytes = first.bytes + ?2
                  FROM (SELECT min(about_count) AS count, min(about_bytes) AS bytes FROM idempotency) first
                  WHERE number = (SELECT max(number) FROM idempotency)";
    world.object.storage.run(update, &[count.into(), bytes.into()]).expect("an update");
}

#[test]
fn no_further_answer_is_kept_about_one_user_beyond_the_bounds() {
    for (count, bytes) in [(ABOUT_MAX, 1_000), (2, ABOUT_BYTES_MAX)] {
        let mut world = World::new(3);
        world.create("ada", Some("k1"));
        let first_ms = world.object.now_ms;
        world.create("ada", Some("k2"));
        pretend(&world, count - i64::from(count == ABOUT_MAX), bytes - 100_000 * i64::from(count == 2));
        assert!(world.create("ada", Some("k3")).outcome.is_ok(), "one less than the bound");
        pretend(&world, count, bytes);
        let refused = world.create("ada", Some("k4"));
        let left = first_ms + KEPT_MS - world.object.now_ms;
        assert_too_many(&refused, left);
        // Whatever else would be about the user is refused, and does nothing.
        let before = world.object.core.last_sequence();
        let turn = NewTurn {
            agent: AgentRef::Id(world.agents[0]),
            user_id: Some(user_id("ada")),
            is_stateful: false,
            relationship_id: RelationshipId::new(world.now(), [1; 10]),
            expires_in_ms: 60_000,
        };
        assert_too_many(&world.keyed(Some("k5"), Command::ReserveTurn(turn)), left - 1);
        let human = NewPrincipal {
            r#type: PrincipalType::Human,
            external_id: user_id("ada"),
            name: name("Ada"),
            metadata: Metadata::default(),
            agent_id: AgentId::new(world.now(), [1; 10]),
        };
        assert_too_many(&world.keyed(Some("k6"), Command::CreatePrincipal(human)), left - 2);
        assert_eq!(world.object.core.last_sequence(), before);
        // A repetition, a request without a key, and one about somebody else are not.
        assert!(world.create("ada", Some("k1")).replayed);
        assert!(world.create("ada", None).outcome.is_ok());
        assert!(world.create("b\"ob", Some("k7")).outcome.is_ok());
        // As soon as the oldest has expired, swept or not, there is room.
        world.object.now_ms = first_ms + KEPT_MS - 1;
        assert!(world.create("ada", Some("k8")).outcome.is_ok());
    }
}

#[test]
fn no_further_answer_is_kept_about_one_agent_beyond_the_bounds() {
    let mut world = World::new(4);
    let save = |world: &mut World, key: &str, agent: &str| {
        let new = NewAgent { agent_id: world.agent_id(), external_id: None, name: name(agent), metadata: None };
        world.keyed(Some(key), Command::SaveAgent(new))
    };
    assert!(save(&mut world, "k1", "a0").outcome.is_ok());
    assert!(save(&mut world, "k2", "a0").outcome.is_ok());
    pretend(&world, ABOUT_MAX, 0);
    assert_too_many(&save(&mut world, "k3", "a0"), KEPT_MS - 2);
    assert!(save(&mut world, "k4", "a1").outcome.is_ok() && save(&mut world, "k5", "new").outcome.is_ok());
}

#[test]
fn no_further_answer_is_kept_beyond_the_bound_of_all() {
    let mut world = World::new(5);
    world.create("ada", Some("k1"));
    world.create("ada", Some("k2"));
    let renumber = |number: i64| {
        let update = "UPDATE idempotency SET number = ? WHERE number = (SELECT max(number) FROM idempotency)";
        world.object.storage.run(update, &[number.into()]).expect("an update");
    };
    renumber(KEPT_MAX - 1);
    assert!(world.create("b\"ob", Some("k3")).outcome.is_ok(), "the last one");
    assert_too_many(&world.create("ada", Some("k4")), KEPT_MS - 3);
    let users = |world: &World| world.object.storage.count("SELECT count(*) FROM users", &[]).expect("a count");
    let before = users(&world);
    assert_too_many(&world.create("new", Some("k4")), KEPT_MS - 4);
    assert_eq!(users(&world), before, "what is refused does nothing");
    assert!(world.create("ada", Some("k1")).replayed);
    assert!(world.create("ada", None).outcome.is_ok());
    // The first goes with the sweep.
    world.object.now_ms += KEPT_MS;
    world.sweep();
    assert!(world.create("ada", Some("k5")).outcome.is_ok());
}

/// A user about whom so many answers are kept, each with metadata of this length.
fn keep(user: &str, answers: usize, bytes: usize) -> World {
    let mut world = World::new(6);
    let metadata = Metadata::from_stored(format!("{{\"x\":\"{}\"}}", "x".repeat(bytes))).expect("an object");
    world.delete(user, Cascade::All);
    world.confirm();
    for number in 0..answers {
        let new = NewEndUser { user_id: user_id(user), display_name: None, metadata: metadata.clone() };
        world.keyed(Some(&format!("k{number}")), Command::CreateEndUser(new)).outcome.expect("a user");
    }
    world
}

#[test]
fn a_part_of_an_export_has_at_most_1000_rows_and_1_mib() {
    const ROWS_MAX: usize = 1_000;
    const BYTES_MAX: usize = 1024 * 1024;
    let world = keep("ada", ROWS_MAX + 1, 1);
    let (text, place) = begin(&world, "ada", PartBounds::DEFAULT);
    assert_eq!(text.matches("\"answer\":").count(), ROWS_MAX);
    let rest = world.part(ExportPart::Next(place), PartBounds::DEFAULT).expect("a part");
    assert_eq!((rest.text.matches("\"answer\":").count(), rest.next), (1, None));
    let world = keep("ada", 200, 16_000);
    let (text, mut place) = begin(&world, "ada", PartBounds::DEFAULT);
    let mut lengths = vec![text.len()];
    loop {
        let ExportedPart { text, next } = world.part(ExportPart::Next(place), PartBounds::DEFAULT).expect("a part");
        lengths.push(text.len());
        let Some(next) = next else { break };
        place = next;
    }
    let (last, full) = lengths.split_last().expect("parts");
    assert!(full.iter().all(|length| (BYTES_MAX - 17_000..=BYTES_MAX).contains(length)), "{lengths:?}");
    assert!(*last <= BYTES_MAX && full.len() == 3, "{lengths:?}");
}
