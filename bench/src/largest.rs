//! The largest state that callers can bring about: users with metadata at the limit, full of what takes most room, agents and
//! keys with the longest names, users with many relationships and kept answers, people of many organizations.

use std::collections::HashMap;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use xtask::admin::Admin;
use xtask::session::SigningKey;
use xtask::{Result, step, webhooks};

use crate::host::ADMIN_TOKEN;
use crate::letters::Letters;
use crate::raw::{Ask, encoded};
use crate::setup::UNREACHED;

/// Connections that prepare the state.
const CONNECTIONS: usize = 8;
const BATCH_BYTES_MAX: usize = 1_000_000;
const BATCH_ROWS_MAX: usize = 500;
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// More than the longest page of what is listed has.
const AGENTS: usize = 510;
const MANY: usize = 220;
const KEPT_ANSWERS: usize = 200;
/// An organization's record at Clerk, so that 500 of them reach the bound of an answer.
const CLERK_NAME_BYTES: usize = 3_900;

pub const ISSUER: &str = "https://clerk.rollcall.localhost";

/// The users of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Users {
    /// With metadata at the limit: few of them fill a page.
    Full,
    /// So that the rows and the bytes of a page are at their bounds together.
    Middle,
    Short,
}

impl Users {
    pub const ALL: [Self; 3] = [Self::Full, Self::Middle, Self::Short];

    /// Those whose metadata has about so many bytes.
    pub const fn of_bytes(bytes: usize) -> Self {
        match bytes {
            8_192.. => Self::Full,
            1_024.. => Self::Middle,
            _ => Self::Short,
        }
    }

    /// An agent has users of two kinds.
    #[must_use]
    pub fn or_middle(self) -> Self {
        if self == Self::Full { Self::Full } else { Self::Middle }
    }

    const fn metadata_bytes(self) -> usize {
        match self {
            Self::Full => METADATA_BYTES_MAX,
            Self::Middle => 3_000,
            Self::Short => 2,
        }
    }

    pub const fn count(self) -> usize {
        match self {
            Self::Full => 130,
            Self::Middle => 510,
            Self::Short => 210,
        }
    }
}

/// The state, and who may ask for it.
#[derive(Debug)]
pub struct Largest {
    pub authority: String,
    pub organization_id: String,
    pub bearer: String,
    pub service_key: String,
    pub webhook_secret: String,
    pub signing_key: SigningKey,
    /// What a query adds so that the list of principals begins with the users of a kind. See
    /// [`crate::principals::places`].
    pub principals_from: HashMap<(Letters, Users), String>,
    /// How many agents come before those whose names are of a kind.
    pub agents_before: HashMap<Letters, usize>,
    /// The agents with these names, and the one with the largest metadata.
    pub agents: HashMap<Letters, Vec<String>>,
    pub full_agent: HashMap<Letters, String>,
    /// The agents with these users.
    pub agent_of: HashMap<(Letters, Users), String>,
    pub deletion: HashMap<Letters, String>,
    pub full_principal: HashMap<Letters, String>,
    pub relationship: HashMap<Letters, String>,
}

/// The id of a user of a list. `%` and `_` in it are no patterns to the store.
pub fn user_id(letters: Letters, users: Users, number: usize) -> String {
    letters.filled(&format!("{}{number:04}", prefix(letters, users)))
}

pub fn prefix(letters: Letters, users: Users) -> String {
    format!("{letters:?}-{users:?}-")
}

/// The user with many relationships.
pub fn many_id(letters: Letters) -> String {
    letters.filled(&format!("many-{letters:?}-"))
}

/// The user with many kept answers.
pub fn kept_id(letters: Letters) -> String {
    letters.filled(&format!("kept-{letters:?}-"))
}

pub fn person_id(letters: Letters) -> String {
    format!("user_{letters:?}")
}

pub fn new_user(user_id: &str, letters: Letters, metadata_bytes: usize) -> String {
    let name = Value::from(letters.filled(""));
    let id = Value::from(user_id);
    format!("{{\"user_id\":{id},\"display_name\":{name},\"metadata\":{}}}", letters.object(metadata_bytes))
}

impl Largest {
    pub fn make(authority: &str, webhook_secret: String, signing_key: SigningKey) -> Result<Self> {
        let admin = Admin::new(&format!("http://{authority}"), ADMIN_TOKEN);
        let limits = json!({ "requests_per_second": UNREACHED.requests_per_second, "burst": UNREACHED.burst,
                             "turns_per_period": 1_000_000, "active_relationships": 1_000_000,
                             "end_users": 1_000_000, "storage_bytes": 10_000_000_000_u64 });
        let organization_id = admin.create_organization("Largest", &limits)?;
        let key = |kind: &str| {
            let request = json!({ "kind": kind, "mode": "live", "scope": "read_write", "name": kind });
            admin.issue_key(&organization_id, &request)
        };
        let mut largest = Self {
            authority: authority.to_owned(),
            bearer: format!("Bearer {}", key("api")?),
            service_key: key("service")?,
            organization_id,
            webhook_secret,
            signing_key,
            principals_from: HashMap::new(),
            agents_before: HashMap::new(),
            agents: HashMap::new(),
            full_agent: HashMap::new(),
            agent_of: HashMap::new(),
            deletion: HashMap::new(),
            full_principal: HashMap::new(),
            relationship: HashMap::new(),
        };
        step("Making users");
        largest.make_users()?;
        step("Making agents, relationships and kept answers");
        largest.make_agents()?;
        largest.make_relationships()?;
        largest.make_kept_answers()?;
        largest.make_deletions()?;
        step("Making organizations, keys and people");
        largest.make_operators_records()?;
        largest.make_people()?;
        Ok(largest)
    }

    pub fn api(&self, method: &'static str, path: impl Into<String>) -> Ask {
        Ask::new(method, path).with("authorization", &self.bearer)
    }

    pub fn service(&self, method: &'static str, path: impl Into<String>) -> Ask {
        Ask::new(method, path).with("x-assistant-service-key", &self.service_key)
    }

    pub fn operator(method: &'static str, path: impl Into<String>) -> Ask {
        Ask::new(method, path).with("authorization", &format!("Bearer {ADMIN_TOKEN}"))
    }

    pub fn turn(&self, user_id: &str, agent: &str) -> Ask {
        let body = json!({ "message": "Hello", "user_id": user_id, "personality_id": agent,
                           "affect": { "valence": 0.123_456, "arousal": -0.123_456, "tension": 0.1, "affiliation": 0.9 } });
        self.api("POST", "/v1/respond").json(body.to_string())
    }

    /// An event of Clerk, signed now.
    pub fn event(&self, id: &str, body: String) -> Result<Ask> {
        let now_s = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let signature = webhooks::sign(&self.webhook_secret, id, now_s, body.as_bytes());
        let ask = Ask::new("POST", "/webhooks/clerk").with("svix-id", id).with("svix-signature", &signature);
        Ok(ask.with("svix-timestamp", &now_s.to_string()).json(body))
    }

    /// Sends all, on a few connections at a time, and returns the answers in the same order.
    fn all(&self, asks: &[Ask]) -> Result<Vec<Value>> {
        let send = |asks: &[Ask]| {
            // The local runtime now and then loses a connection to the model.
            let send = |ask: &Ask| {
                let again = |_| ask.expect(&self.authority);
                ask.expect(&self.authority).or_else(again).or_else(again).map_err(|error| error.to_string())
            };
            asks.iter().map(send).collect::<std::result::Result<Vec<_>, _>>()
        };
        let mut answers = Vec::with_capacity(asks.len());
        thread::scope(|scope| {
            let parts = asks.chunks(asks.len().div_ceil(CONNECTIONS).max(1));
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || send(part))).collect();
            for thread in threads {
                answers.extend(thread.join().map_err(|_| "a request panicked")??);
            }
            Ok(answers)
        })
    }

    fn make_users(&mut self) -> Result<()> {
        for letters in Letters::ALL {
            for users in Users::ALL {
                let rows = (0..users.count())
                    .map(|number| new_user(&user_id(letters, users, number), letters, users.metadata_bytes()));
                for batch in batches(rows) {
                    self.api("POST", "/v1/end-users/batch").json(batch).expect(&self.authority)?;
                }
            }
            let principal = self.create_principal(letters)?;
            self.full_principal.insert(letters, principal);
        }
        Ok(())
    }

    fn create_principal(&self, letters: Letters) -> Result<String> {
        let external_id = Value::from(letters.filled(&format!("principal-{letters:?}-")));
        let name = Value::from(letters.filled(""));
        let metadata = letters.object(METADATA_BYTES_MAX);
        let body =
            format!("{{\"type\":\"human\",\"external_id\":{external_id},\"name\":{name},\"metadata\":{metadata}}}");
        let answer = self.service("POST", "/api/v1/principals").json(body).expect(&self.authority)?;
        text(&answer, "/result/id")
    }

    fn make_agents(&mut self) -> Result<()> {
        let new = |name: &str, metadata: &str| {
            let body = format!("{{\"name\":{},\"metadata\":{metadata}}}", Value::from(name));
            self.api("POST", "/api/v1/agents").json(body)
        };
        let (mut agents, mut full, mut agent_of) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut agents_before = HashMap::new();
        let mut before = 0;
        for letters in Letters::OF_NAMES {
            agents_before.insert(letters, before);
            before += AGENTS;
            let names = (0..AGENTS).map(|number| letters.filled(&format!("{letters:?} {number:04}")));
            let asks: Vec<Ask> = names.map(|name| new(&name, "{}")).collect();
            let ids = self.all(&asks)?.iter().map(|agent| text(agent, "/agent_id")).collect::<Result<Vec<_>>>()?;
            agents.insert(letters, ids);
        }
        for letters in Letters::ALL {
            let ask = new(&letters.filled(&format!("full {letters:?}")), &letters.object(METADATA_BYTES_MAX));
            full.insert(letters, text(&ask.expect(&self.authority)?, "/agent_id")?);
        }
        for letters in Letters::OF_NAMES {
            for users in [Users::Full, Users::Middle] {
                let ask = new(&letters.filled(&format!("of {letters:?} {users:?}")), "{}");
                agent_of.insert((letters, users), text(&ask.expect(&self.authority)?, "/agent_id")?);
            }
        }
        (self.agents, self.full_agent, self.agent_of, self.agents_before) = (agents, full, agent_of, agents_before);
        Ok(())
    }

    fn make_relationships(&mut self) -> Result<()> {
        for ((letters, users), agent) in &self.agent_of {
            let turns = (0..users.count()).map(|number| self.turn(&user_id(*letters, *users, number), agent));
            self.all(&turns.collect::<Vec<_>>())?;
        }
        for letters in Letters::OF_NAMES {
            let id = many_id(letters);
            let body = new_user(&id, letters, METADATA_BYTES_MAX);
            self.api("POST", "/v1/end-users").json(body).expect(&self.authority)?;
            let agents = self.agents.get(&letters).map(Vec::as_slice).unwrap_or_default();
            let turns: Vec<Ask> = agents.iter().take(MANY).map(|agent| self.turn(&id, agent)).collect();
            self.all(&turns)?;
            let relationship = self.relationship_of(&id)?;
            self.relationship.insert(letters, relationship);
        }
        Ok(())
    }

    /// The id of a relationship of a user.
    pub fn relationship_of(&self, user_id: &str) -> Result<String> {
        let user_id = encoded(user_id);
        let page = self.api("GET", format!("/v1/relationships?limit=1&user_id={user_id}")).expect(&self.authority)?;
        text(&page, "/data/0/id")
    }

    fn make_kept_answers(&self) -> Result<()> {
        for letters in Letters::ALL {
            let body = new_user(&kept_id(letters), letters, METADATA_BYTES_MAX);
            let ask = |number| {
                let key = format!("kept-{letters:?}-{number}");
                self.api("POST", "/v1/end-users").with("idempotency-key", &key).json(body.clone())
            };
            self.all(&(0..KEPT_ANSWERS).map(ask).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn make_deletions(&mut self) -> Result<()> {
        for letters in Letters::ALL {
            let body = new_user(&format!("erased-{letters:?}"), letters, METADATA_BYTES_MAX);
            self.api("POST", "/v1/end-users").json(body).expect(&self.authority)?;
            let reason = json!({ "reason": letters.characters(500) }).to_string();
            let path = format!("/v1/end-users/erased-{letters:?}");
            let receipt = self.api("DELETE", path).json(reason).expect(&self.authority)?;
            self.deletion.insert(letters, text(&receipt, "/deletion_id")?);
        }
        Ok(())
    }

    fn make_operators_records(&self) -> Result<()> {
        let letters = |number: usize| Letters::OF_NAMES[number % Letters::OF_NAMES.len()];
        let organization = |number: usize| {
            let body = json!({ "name": letters(number).filled(""), "clerk_org_id": format!("org_{number:0>250}") });
            Self::operator("POST", "/admin/v1/organizations").json(body.to_string())
        };
        self.all(&(0..MANY).map(organization).collect::<Vec<_>>())?;
        let key = |number: usize| {
            let body = json!({ "kind": "api", "mode": "live", "scope": "read", "name": letters(number).filled("") });
            Self::operator("POST", format!("/admin/v1/organizations/{}/keys", self.organization_id))
                .json(body.to_string())
        };
        self.all(&(0..MANY).map(key).collect::<Vec<_>>())?;
        let operator = |number: usize| {
            let body = json!({ "name": letters(number).filled("") });
            Self::operator("POST", "/admin/v1/operators").json(body.to_string())
        };
        self.all(&(0..MANY).map(operator).collect::<Vec<_>>())?;
        Ok(())
    }

    /// People with 500 organizations each.
    fn make_people(&self) -> Result<()> {
        for letters in Letters::OF_NAMES {
            let id = person_id(letters);
            let email = json!({ "id": "idn_1", "email_address": "ada@example.com" });
            let person = json!({ "type": "user.created", "data": { "id": id, "primary_email_address_id": "idn_1",
                                 "email_addresses": [email], "created_at": 1, "updated_at": 1 } });
            self.event(&format!("{id}-made"), person.to_string())?.expect(&self.authority)?;
            let join = |number: usize| {
                let organization = format!("org_{letters:?}_{number}");
                let name = letters.string(CLERK_NAME_BYTES);
                let body = format!(
                    "{{\"type\":\"organizationMembership.created\",\"data\":{{\"id\":\"mem_{organization}\",\
                     \"organization\":{{\"id\":\"{organization}\",\"name\":{name},\"slug\":\"{organization}\",\
                     \"created_at\":1,\"updated_at\":1}},\"public_user_data\":{{\"user_id\":\"{id}\"}},\
                     \"role\":\"org:admin\",\"created_at\":1,\"updated_at\":1}}}}"
                );
                self.event(&format!("{organization}-joined"), body)
            };
            self.all(&(0..500).map(join).collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }
}

/// Bodies of batches with these rows.
pub fn batches(rows: impl Iterator<Item = String>) -> Vec<String> {
    let mut batches: Vec<Vec<String>> = vec![Vec::new()];
    let mut bytes = 0;
    for row in rows {
        let is_full = batches.last().is_some_and(|batch| batch.len() == BATCH_ROWS_MAX);
        if is_full || bytes + row.len() > BATCH_BYTES_MAX {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += row.len() + 1;
        if let Some(batch) = batches.last_mut() {
            batch.push(row);
        }
    }
    batches.iter().map(|rows| format!("{{\"users\":[{}]}}", rows.join(","))).collect()
}

fn text(document: &Value, pointer: &str) -> Result<String> {
    let text = document.pointer(pointer).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("there is no {pointer} in {document:.300}"))?.to_owned())
}
