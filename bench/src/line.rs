//! The workloads: one line of the table each.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::response::Parts;
use hyper::{Method, Request};
use serde_json::json;

use crate::contender::Contender;
use crate::load::Work;
use crate::setup::Directory;

/// The header that says where an answer comes from.
const SOURCE: &str = "x-rollcall-source";

/// A workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    CreateNew,
    CreateExisting,
    Get,
    Edge,
    List100,
    List200,
    AgentUsers100,
    AgentUsers500,
    CreatePrincipal,
    RateLimited,
    ForgedKey,
    Invalid,
    Update,
    Turn,
}

/// Users of all organizations who are read at the edge, in turn.
pub const WARM: usize = 100;

/// Numbers for the ids that benchmarks make, so that no id repeats.
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Line {
    /// Requests that only Rollcall serves. They are counted, and compared with nothing.
    pub const OWN: [Self; 2] = [Self::Update, Self::Turn];
    pub const ALL: [Self; 12] = [
        Self::CreateNew,
        Self::CreateExisting,
        Self::Get,
        Self::Edge,
        Self::List100,
        Self::List200,
        Self::AgentUsers100,
        Self::AgentUsers500,
        Self::CreatePrincipal,
        Self::RateLimited,
        Self::ForgedKey,
        Self::Invalid,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreateNew => "create-new",
            Self::CreateExisting => "create-existing",
            Self::Get => "get",
            Self::Edge => "edge",
            Self::List100 => "list-100",
            Self::List200 => "list-200",
            Self::AgentUsers100 => "agent-users-100",
            Self::AgentUsers500 => "agent-users-500",
            Self::CreatePrincipal => "create-principal",
            Self::RateLimited => "rate-limited",
            Self::ForgedKey => "forged-key",
            Self::Invalid => "invalid",
            Self::Update => "update",
            Self::Turn => "turn",
        }
    }

    /// Its name in the tables.
    pub const fn title(self) -> &'static str {
        match self {
            Self::CreateNew => "register a new user (201)",
            Self::CreateExisting => "register one who is there (200)",
            Self::Get => "read a user",
            Self::Edge => "read a user at the edge",
            Self::List100 => "list 100 users",
            Self::List200 => "list 200 users",
            Self::AgentUsers100 => "list 100 of an agent's users",
            Self::AgentUsers500 => "list 500 of an agent's users",
            Self::CreatePrincipal => "create a principal (201)",
            Self::RateLimited => "refuse: rate limited (429)",
            Self::ForgedKey => "refuse: forged key (401)",
            Self::Invalid => "refuse: invalid body (422)",
            Self::Update => "update a user",
            Self::Turn => "a turn with a user who is there",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|line| line.name() == name)
    }

    pub fn is_served_by(self, contender: &Contender) -> bool {
        !Self::OWN.contains(&self) || contender.is_rollcall()
    }

    pub const fn status(self) -> u16 {
        match self {
            Self::CreateNew | Self::CreatePrincipal => 201,
            Self::RateLimited => 429,
            Self::ForgedKey => 401,
            Self::Invalid => 422,
            _ => 200,
        }
    }

    const fn is_list(self) -> bool {
        matches!(self, Self::List100 | Self::List200 | Self::AgentUsers100 | Self::AgentUsers500)
    }

    /// Whether it writes data.
    pub const fn writes(self) -> bool {
        matches!(self, Self::CreateNew | Self::CreatePrincipal | Self::Update | Self::Turn)
    }
}

/// A line as a workload for some organizations of one contender.
#[derive(Debug)]
pub struct LineWork {
    pub line: Line,
    pub directories: Vec<Directory>,
    /// The position of each client in the list that it walks, by the client's number.
    cursors: RefCell<Vec<Option<String>>>,
    answered: Cell<u64>,
    /// Answers that say that they come from a copy.
    from_copies: Cell<u64>,
}

impl LineWork {
    pub fn new(line: Line, directories: Vec<Directory>, clients: usize) -> Self {
        let cursors = RefCell::new(vec![None; clients]);
        Self { line, directories, cursors, answered: Cell::new(0), from_copies: Cell::new(0) }
    }

    /// The part of the answers since the last time that came from a copy.
    pub fn take_share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
        let share = self.from_copies.take() as f64 / self.answered.take().max(1) as f64;
        share
    }

    fn page(&self, client: usize, path: &str) -> String {
        match self.cursors.borrow().get(client).and_then(Option::as_deref) {
            Some(cursor) => format!("{path}&cursor={cursor}"),
            None => path.to_owned(),
        }
    }
}

fn registration(user_id: &str) -> String {
    json!({ "user_id": user_id, "display_name": "Ada Lovelace", "metadata": { "plan": "pro", "seats": 3 } }).to_string()
}

impl Work for LineWork {
    fn request(&self, client: usize) -> Request<Full<Bytes>> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Every client spreads its requests over all organizations. Clients of a list stay with one organization.
        let turn = if self.line.is_list() { client } else { usize::try_from(number).unwrap_or_default() };
        let count = self.directories.len();
        let place = turn % count;
        let directory = &self.directories[place];
        let known = || fastrand::choice(&directory.known).map(String::as_str).unwrap_or_default();
        let nth = |index| directory.known.get(index).map(String::as_str).unwrap_or_default();
        let warm = || nth(turn / count % WARM.div_ceil(count));
        // Nobody reads these users at the edge, so they have no copies in KV.
        let other = || nth(WARM + turn / count % WARM);
        let mut key = ("authorization", directory.bearer.as_str());
        let (method, path, body) = match self.line {
            Line::CreateNew => (Method::POST, "/v1/end-users".to_owned(), registration(&format!("new-{number:09}"))),
            Line::CreateExisting => (Method::POST, "/v1/end-users".to_owned(), registration(known())),
            Line::Get => (Method::GET, format!("/v1/end-users/{}", known()), String::new()),
            Line::Edge => (Method::GET, format!("/v1/end-users/{}", warm()), String::new()),
            Line::Update => {
                let body = json!({ "metadata": { "plan": "pro", "seats": number } });
                (Method::PATCH, format!("/v1/end-users/{}", other()), body.to_string())
            }
            Line::Turn => {
                let body = json!({ "message": "Hello!", "personality_id": directory.agent_id, "user_id": other() });
                (Method::POST, "/v1/respond".to_owned(), body.to_string())
            }
            Line::List100 => (Method::GET, self.page(client, "/v1/end-users?limit=100"), String::new()),
            Line::List200 => (Method::GET, self.page(client, "/v1/end-users?limit=200"), String::new()),
            Line::AgentUsers100 | Line::AgentUsers500 => {
                let size = if self.line == Line::AgentUsers100 { 100 } else { 500 };
                let path = format!("/api/v1/agents/{}/users?page_size={size}", directory.agent_id);
                (Method::GET, self.page(client, &path), String::new())
            }
            Line::CreatePrincipal => {
                key = ("x-assistant-service-key", directory.service_key.as_str());
                let body = json!({ "external_id": format!("p-{number:09}"), "type": "human", "name": "Ada Lovelace" });
                (Method::POST, "/api/v1/principals".to_owned(), body.to_string())
            }
            Line::RateLimited => {
                key.1 = &directory.exhausted;
                (Method::GET, format!("/v1/end-users/{}", known()), String::new())
            }
            Line::ForgedKey => {
                key.1 = &directory.forged;
                (Method::GET, format!("/v1/end-users/{}", known()), String::new())
            }
            Line::Invalid => {
                let body = json!({ "user_id": 7, "display_name": "", "colour": "red" });
                (Method::POST, "/v1/end-users".to_owned(), body.to_string())
            }
        };
        let mut request = Request::builder().method(&method).uri(path).header("host", "bench").header(key.0, key.1);
        if method != Method::GET {
            request = request.header("content-type", "application/json");
        }
        if self.line == Line::Edge {
            request = request.header("cache-control", "max-stale=5");
        }
        request.body(Full::new(Bytes::from(body))).unwrap_or_default()
    }

    fn answered(&self, client: usize, head: &Parts, body: &[u8]) -> Result<(), String> {
        let status = head.status.as_u16();
        self.answered.set(self.answered.get() + 1);
        if head.headers.get(SOURCE).is_some_and(|source| source == "edge") {
            self.from_copies.set(self.from_copies.get() + 1);
        }
        // Once a second there is a token. That request is admitted, and its answer is that the user does not exist.
        let is_admitted = self.line == Line::RateLimited && status == 404;
        if status != self.line.status() && !is_admitted {
            let body = String::from_utf8_lossy(body);
            return Err(format!("{}: {status} in the place of {}: {body}", self.line.name(), self.line.status()));
        }
        if self.line.is_list()
            && let Some(cursor) = self.cursors.borrow_mut().get_mut(client)
        {
            *cursor = next_cursor(body);
        }
        Ok(())
    }
}

/// The cursor of a page, found without parsing the page, which takes longer.
fn next_cursor(body: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"\"next_cursor\":\"";
    // The cursor stands before the rows or after them.
    let from = body
        .windows(NAME.len())
        .take(400)
        .position(|window| window == NAME)
        .or_else(|| body.windows(NAME.len()).rposition(|window| window == NAME))?;
    let rest = body.get(from + NAME.len()..)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    String::from_utf8(rest.get(..end)?.to_vec()).ok()
}
