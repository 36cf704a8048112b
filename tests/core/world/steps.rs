//! A history: what clients, the operator and the platform do in a seed, step by step.

use std::fmt;

use serde_json::json;

use super::clients::{AGENTS, PEOPLE};
use super::state::{HOUR_MS, MINUTE_MS, SECOND_MS, TENANTS};

/// What a seed has.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub locations: usize,
    /// How far the clocks of isolates are ahead of true time, in milliseconds.
    pub isolates: Vec<i64>,
    /// How far the clocks of objects are ahead of true time, in milliseconds.
    pub objects: Vec<i64>,
    /// Whether the platform ends objects that do nothing.
    pub evicts: bool,
    /// Whether the limits are so small that clients reach them.
    pub is_small: bool,
}

impl Plan {
    /// The limits of the organizations.
    pub fn limits(&self) -> serde_json::Value {
        if self.is_small {
            json!({ "requests_per_second": 2, "burst": 12, "end_users": 3, "turns_per_period": 6,
                    "active_relationships": 3, "storage_bytes": 260_000 })
        } else {
            json!({ "requests_per_second": 10_000, "burst": 100_000 })
        }
    }
}

/// People, as a number below [`PEOPLE`](super::clients::PEOPLE).
type User = usize;
type Tenant = usize;

#[derive(Debug, Clone, Copy)]
pub struct Turn {
    pub tenant: Tenant,
    pub agent: usize,
    pub user: Option<User>,
    pub key: Option<usize>,
    pub is_streamed: bool,
    pub hangs_up_ms: Option<i64>,
}

#[derive(Debug, Clone)]
pub enum Action {
    Create { tenant: Tenant, user: User, key: Option<usize> },
    Batch { tenant: Tenant, users: Vec<User> },
    Read { tenant: Tenant, user: User },
    ReadNearby { tenant: Tenant, user: User, times: usize },
    Update { tenant: Tenant, user: User, form: u8 },
    Erase { tenant: Tenant, user: User },
    Receipts { tenant: Tenant },
    Walk { tenant: Tenant, by_creation: bool, descending: bool, limit: usize },
    Export { tenant: Tenant, user: User },
    SaveAgent { tenant: Tenant, agent: usize },
    ReadAgent { tenant: Tenant, agent: usize },
    EraseAgent { tenant: Tenant, agent: usize },
    ListAgentUsers { tenant: Tenant, agent: usize },
    TakeTurn(Turn),
    ReadUsage { tenant: Tenant },
    CreatePrincipal { tenant: Tenant, user: User },
    ReadPrincipal { tenant: Tenant, user: User },
    IssueKey { tenant: Tenant, lasts_ms: Option<i64> },
    RevokeKey { tenant: Tenant, which: usize },
    ChangeLimits { organization: usize, is_small: bool },
    Repair { organization: usize },
    Close { organization: usize },
    Snapshot { tenant: Tenant },
    Restore { tenant: Tenant },
    Reset { tenant: Tenant },
    DropAlarm { tenant: Tenant },
    SetClock { tenant: Tenant, millis: i64 },
    KvDown { millis: i64 },
    D1Down { millis: i64 },
    RestartIsolate { number: usize },
    Tick,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub action: Action,
    pub pause_ms: i64,
    pub seed: u64,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}, then {} ms", self.action, self.pause_ms)
    }
}

/// What a seed is made of.
pub fn history(seed: u64) -> (Plan, Vec<Step>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut skew_ms = || if random.bool() { 0 } else { random.i64(-5 * HOUR_MS..=5 * HOUR_MS) };
    let objects = (0..TENANTS).map(|_| skew_ms()).collect();
    let isolates = (0..4).map(|_| skew_ms()).collect::<Vec<_>>();
    let isolates = isolates[..random.usize(1..=4)].to_vec();
    let plan = Plan {
        seed,
        locations: random.usize(1..=3),
        isolates,
        objects,
        evicts: random.bool(),
        is_small: random.u8(0..5) == 0,
    };
    let is_long = random.u8(0..8) == 0;
    let steps = if is_long { random.usize(60..160) } else { random.usize(10..60) };
    let focus = random.usize(0..TENANTS);
    let steps = (0..steps).map(|_| Step {
        action: action(&mut random, focus),
        pause_ms: pause_ms(&mut random),
        seed: random.u64(..),
    });
    let steps = steps.collect();
    (plan, steps)
}

fn pause_ms(random: &mut fastrand::Rng) -> i64 {
    match random.u16(0..1_000) {
        0..600 => random.i64(0..300),
        600..800 => random.i64(0..3 * SECOND_MS),
        800..930 => random.i64(0..30 * SECOND_MS),
        930..985 => random.i64(0..6 * MINUTE_MS),
        985..995 => random.i64(0..40 * MINUTE_MS),
        _ => random.i64(0..26 * HOUR_MS),
    }
}

fn action(random: &mut fastrand::Rng, focus: usize) -> Action {
    // Mostly one tenant, so that its clients collide.
    let tenant = if random.u8(0..4) > 0 { focus } else { random.usize(0..TENANTS) };
    // Mostly one person, and one agent.
    let user = if random.bool() { 0 } else { random.usize(0..PEOPLE.len()) };
    let agent = if random.bool() { 0 } else { random.usize(0..AGENTS.len()) };
    match random.u8(0..100) {
        0..46 => of_people(random, tenant, user),
        46..72 => of_turns(random, tenant, user, agent),
        72..83 => of_operator(random, tenant),
        _ => of_platform(random, tenant),
    }
}

fn of_people(random: &mut fastrand::Rng, tenant: Tenant, user: User) -> Action {
    match random.u8(0..100) {
        0..20 => Action::Create { tenant, user, key: (random.u8(0..3) == 0).then(|| random.usize(0..3)) },
        20..26 => {
            let users = (0..random.usize(1..5)).map(|_| random.usize(0..PEOPLE.len())).collect();
            Action::Batch { tenant, users }
        }
        26..34 => Action::Read { tenant, user },
        34..48 => Action::ReadNearby { tenant, user, times: random.usize(1..8) },
        48..64 => Action::Update { tenant, user, form: random.u8(0..6) },
        64..73 => Action::Erase { tenant, user },
        73..79 => Action::Receipts { tenant },
        79..89 => {
            let (by_creation, descending, limit) = (random.bool(), random.bool(), random.usize(1..4));
            Action::Walk { tenant, by_creation, descending, limit }
        }
        89..93 => Action::Export { tenant, user },
        93..97 => Action::CreatePrincipal { tenant, user },
        _ => Action::ReadPrincipal { tenant, user },
    }
}

fn of_turns(random: &mut fastrand::Rng, tenant: Tenant, user: User, agent: usize) -> Action {
    match random.u8(0..100) {
        0..25 => Action::SaveAgent { tenant, agent },
        25..30 => Action::ReadAgent { tenant, agent },
        30..36 => Action::EraseAgent { tenant, agent },
        36..46 => Action::ListAgentUsers { tenant, agent },
        46..52 => Action::ReadUsage { tenant },
        _ => Action::TakeTurn(Turn {
            tenant,
            agent,
            user: (random.u8(0..6) > 0).then_some(user),
            key: (random.u8(0..3) == 0).then(|| random.usize(0..2)),
            is_streamed: random.u8(0..5) == 0,
            hangs_up_ms: (random.u8(0..8) == 0).then(|| random.i64(0..3_000)),
        }),
    }
}

fn of_operator(random: &mut fastrand::Rng, tenant: Tenant) -> Action {
    let organization = tenant / 2;
    match random.u8(0..100) {
        0..30 => {
            let lasts_ms = random.bool().then(|| random.i64(MINUTE_MS..3 * HOUR_MS));
            Action::IssueKey { tenant, lasts_ms }
        }
        30..50 => Action::RevokeKey { tenant, which: random.usize(0..4) },
        50..65 => Action::ChangeLimits { organization, is_small: random.u8(0..3) == 0 },
        65..80 => Action::Repair { organization },
        // The first organization stays.
        80..84 => Action::Close { organization: 1 },
        _ => Action::Tick,
    }
}

fn of_platform(random: &mut fastrand::Rng, tenant: Tenant) -> Action {
    match random.u8(0..100) {
        0..32 => Action::Reset { tenant },
        32..44 => Action::DropAlarm { tenant },
        44..56 => Action::SetClock { tenant, millis: random.i64(-20 * SECOND_MS..20 * SECOND_MS) },
        56..66 => Action::KvDown { millis: random.i64(0..10 * MINUTE_MS) },
        66..76 => Action::D1Down { millis: random.i64(0..3 * MINUTE_MS) },
        76..84 => Action::RestartIsolate { number: random.usize(0..4) },
        84..93 => Action::Snapshot { tenant },
        _ => Action::Restore { tenant },
    }
}
