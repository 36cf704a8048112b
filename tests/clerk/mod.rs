//! A simulated Clerk: people, organizations and memberships come, change and go, and every step is an event as
//! Clerk sends it. The simulation also keeps the rows that the mirror must end with. It derives them from its own
//! rules and not from the events.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};

/// The mirrored rows of one history, whose tag is `?1`, each as a JSON array.
pub const ROWS: &str = "
    SELECT json_array('person', id, email, updated_at, deleted) AS text FROM people WHERE instr(id, ?1)
    UNION ALL
    SELECT json_array('organization', id, name, slug, created_at, updated_at, deleted, member_count)
    FROM clerk_organizations WHERE instr(id, ?1)
    UNION ALL
    SELECT json_array('membership', id, organization_id, person_id, role, created_at, updated_at, deleted)
    FROM memberships WHERE instr(id, ?1)";

const ROLES: [&str; 3] = ["org:admin", "org:member", "org:billing \"manager\""];

struct Person {
    email: Option<String>,
    updated_at: i64,
    deleted: bool,
}

struct Organization {
    name: String,
    slug: Option<String>,
    created_at: i64,
    updated_at: i64,
    deleted: bool,
}

struct Membership {
    organization: String,
    person: String,
    role: &'static str,
    created_at: i64,
    updated_at: i64,
    /// Whether the membership has ended, for any reason.
    ended: bool,
    /// Whether an event reported its deletion.
    told: bool,
}

/// The history so far, and its events.
pub struct History {
    tag: String,
    random: Rng,
    now_ms: i64,
    people: BTreeMap<String, Person>,
    organizations: BTreeMap<String, Organization>,
    memberships: BTreeMap<String, Membership>,
    /// In the order in which they happened.
    pub events: Vec<String>,
}

impl History {
    /// Simulates this many steps. The tag is part of every id.
    pub fn new(tag: &str, seed: u64, steps: usize) -> Self {
        let mut history = Self {
            tag: tag.to_owned(),
            random: Rng::with_seed(seed),
            now_ms: 1_760_000_000_000,
            people: BTreeMap::new(),
            organizations: BTreeMap::new(),
            memberships: BTreeMap::new(),
            events: Vec::new(),
        };
        for _ in 0..steps {
            history.now_ms += history.random.i64(1..1_000);
            history.step();
        }
        history
    }

    /// Every event at least once, some of them often, in random order.
    pub fn deliveries(&mut self, count: usize) -> Vec<String> {
        assert!(count >= self.events.len(), "every event is delivered");
        let mut deliveries = self.events.clone();
        while deliveries.len() < count {
            deliveries.push(self.random.choice(&self.events).expect("an event").clone());
        }
        self.random.shuffle(&mut deliveries);
        deliveries
    }

    /// The rows that the mirror must hold after all deliveries.
    pub fn rows(&self) -> BTreeSet<String> {
        let people = self.people.iter().map(|(id, person)| match person {
            Person { deleted: true, .. } => json!(["person", id, null, 0, 1]),
            Person { email, updated_at, .. } => json!(["person", id, email, updated_at, 0]),
        });
        let organizations = self.organizations.iter().map(|(id, organization)| match organization {
            Organization { deleted: true, .. } => json!(["organization", id, "", null, 0, 0, 1, 0]),
            Organization { name, slug, created_at, updated_at, .. } => {
                let members =
                    self.memberships.values().filter(|membership| !membership.ended && membership.organization == *id);
                json!(["organization", id, name, slug, created_at, updated_at, 0, members.count()])
            }
        });
        let memberships = self.memberships.iter().filter_map(|(id, membership)| match membership {
            Membership { told: true, .. } => Some(json!(["membership", id, "", "", "", 0, 0, 1])),
            Membership { ended: true, .. } => None,
            Membership { organization, person, role, created_at, updated_at, .. } => {
                Some(json!(["membership", id, organization, person, role, created_at, updated_at, 0]))
            }
        });
        people.chain(organizations).chain(memberships).map(|row| row.to_string()).collect()
    }

    fn step(&mut self) {
        match self.random.u8(0..100) {
            0..14 => self.save_person(),
            14..28 => self.change_person(),
            28..31 => self.delete_person(),
            31..36 => self.save_organization(),
            36..44 => self.change_organization(),
            44..46 => self.delete_organization(),
            46..76 => self.join(),
            76..88 => self.change_role(),
            _ => self.leave(),
        }
    }

    fn emit(&mut self, kind: &str, data: &Value) {
        let event = json!({
            "data": data, "type": kind, "object": "event", "timestamp": self.now_ms,
            "event_attributes": { "http_request": { "client_ip": "192.0.2.1", "user_agent": "" } },
        });
        self.events.push(event.to_string());
    }

    fn pick(&mut self, ids: Vec<String>) -> Option<String> {
        self.random.choice(ids)
    }

    fn living_person(&mut self) -> Option<String> {
        let living = self.people.iter().filter(|(_, person)| !person.deleted).map(|(id, _)| id.clone()).collect();
        self.pick(living)
    }

    fn living_organization(&mut self) -> Option<String> {
        let living = self.organizations.iter().filter(|(_, organization)| !organization.deleted);
        let living = living.map(|(id, _)| id.clone()).collect();
        self.pick(living)
    }

    fn live_membership(&mut self) -> Option<String> {
        let live = self.memberships.iter().filter(|(_, membership)| !membership.ended).map(|(id, _)| id.clone());
        let live = live.collect();
        self.pick(live)
    }

    fn save_person(&mut self) {
        let id = format!("user_{}_{}", self.tag, self.people.len());
        let email = self.new_email();
        self.people.insert(id.clone(), Person { email, updated_at: self.now_ms, deleted: false });
        self.emit_person("user.created", &id);
    }

    /// An address of random length, or none.
    fn new_email(&mut self) -> Option<String> {
        let padding = "+".repeat(self.random.usize(0..9));
        (self.random.u8(0..8) > 0).then(|| format!("{}{padding}@example.org", self.random.u16(..)))
    }

    fn change_person(&mut self) {
        let Some(id) = self.living_person() else { return };
        let email = self.new_email();
        self.people.insert(id.clone(), Person { email, updated_at: self.now_ms, deleted: false });
        self.emit_person("user.updated", &id);
    }

    fn emit_person(&mut self, kind: &str, id: &str) {
        let Person { email, updated_at, .. } = &self.people[id];
        let mut addresses = vec![json!({ "id": "idn_0", "email_address": "secondary@example.org" })];
        addresses.extend(email.iter().map(|email| json!({ "id": "idn_1", "email_address": email })));
        let primary = email.is_some().then_some("idn_1");
        let data = json!({
            "id": id, "object": "user", "first_name": "Ada", "email_addresses": addresses,
            "primary_email_address_id": primary, "created_at": 1, "updated_at": updated_at,
        });
        self.emit(kind, &data);
    }

    fn delete_person(&mut self) {
        let Some(id) = self.living_person() else { return };
        self.people.get_mut(&id).expect("the person").deleted = true;
        let ended = self.memberships.iter().filter(|(_, membership)| membership.person == id && !membership.ended);
        self.end_all(ended.map(|(id, _)| id.clone()).collect());
        self.emit("user.deleted", &json!({ "id": id, "object": "user", "deleted": true }));
    }

    /// Ends memberships together with their person or organization. Clerk reports such an end or does not.
    fn end_all(&mut self, memberships: Vec<String>) {
        for id in memberships {
            let told = self.random.bool();
            self.memberships.get_mut(&id).expect("the membership").ended = true;
            if told {
                self.tell_end(&id);
            }
        }
    }

    fn tell_end(&mut self, id: &str) {
        let membership = self.memberships.get_mut(id).expect("the membership");
        (membership.ended, membership.told) = (true, true);
        self.emit_membership("organizationMembership.deleted", id);
    }

    fn save_organization(&mut self) {
        let id = format!("org_{}_{}", self.tag, self.organizations.len());
        let (created_at, updated_at) = (self.now_ms, self.now_ms);
        let (name, slug) = (self.new_name(), self.new_slug());
        let organization = Organization { name, slug, created_at, updated_at, deleted: false };
        self.organizations.insert(id.clone(), organization);
        let data = self.organization(&id);
        self.emit("organization.created", &data);
    }

    fn new_name(&mut self) -> String {
        format!("Äcme \"{}\" & Söhne", self.random.u16(..))
    }

    fn new_slug(&mut self) -> Option<String> {
        self.random.bool().then(|| format!("acme-{}", self.random.u16(..)))
    }

    fn change_organization(&mut self) {
        let Some(id) = self.living_organization() else { return };
        let (name, slug, now_ms) = (self.new_name(), self.new_slug(), self.now_ms);
        let organization = self.organizations.get_mut(&id).expect("the organization");
        (organization.name, organization.slug, organization.updated_at) = (name, slug, now_ms);
        let data = self.organization(&id);
        self.emit("organization.updated", &data);
    }

    fn organization(&self, id: &str) -> Value {
        let Organization { name, slug, created_at, updated_at, .. } = &self.organizations[id];
        json!({
            "id": id, "object": "organization", "name": name, "slug": slug, "created_at": created_at,
            "updated_at": updated_at, "created_by": "user_x", "public_metadata": { "name": "x" },
        })
    }

    fn delete_organization(&mut self) {
        let Some(id) = self.living_organization() else { return };
        let ended =
            self.memberships.iter().filter(|(_, membership)| membership.organization == id && !membership.ended);
        self.end_all(ended.map(|(id, _)| id.clone()).collect());
        self.organizations.get_mut(&id).expect("the organization").deleted = true;
        self.emit("organization.deleted", &json!({ "id": id, "object": "organization", "deleted": true }));
    }

    /// Adds a person to an organization. Joining again makes a new membership.
    fn join(&mut self) {
        let (Some(person), Some(organization)) = (self.living_person(), self.living_organization()) else { return };
        let belongs = self.memberships.values().any(|membership| {
            !membership.ended && membership.person == person && membership.organization == organization
        });
        if belongs {
            return;
        }
        // Ids are in random order.
        let id = format!("orgmem_{}_{:04x}_{}", self.tag, self.random.u16(..), self.memberships.len());
        let (created_at, updated_at, role) = (self.now_ms, self.now_ms, ROLES[self.random.usize(0..3)]);
        let membership = Membership { organization, person, role, created_at, updated_at, ended: false, told: false };
        self.memberships.insert(id.clone(), membership);
        self.emit_membership("organizationMembership.created", &id);
    }

    fn change_role(&mut self) {
        let Some(id) = self.live_membership() else { return };
        let (role, now_ms) = (ROLES[self.random.usize(0..3)], self.now_ms);
        let membership = self.memberships.get_mut(&id).expect("the membership");
        (membership.role, membership.updated_at) = (role, now_ms);
        self.emit_membership("organizationMembership.updated", &id);
    }

    fn leave(&mut self) {
        if let Some(id) = self.live_membership() {
            self.tell_end(&id);
        }
    }

    /// The event holds the whole organization or only its id.
    fn emit_membership(&mut self, kind: &str, id: &str) {
        let is_whole = self.random.bool();
        let Membership { organization, person, role, created_at, updated_at, .. } = &self.memberships[id];
        let whole = if is_whole { self.organization(organization) } else { json!({ "id": organization }) };
        let data = json!({
            "id": id, "object": "organization_membership", "organization": whole, "role": role,
            "public_user_data": { "user_id": person, "identifier": "ada@example.org" },
            "created_at": created_at, "updated_at": updated_at,
        });
        self.emit(kind, &data);
    }
}
