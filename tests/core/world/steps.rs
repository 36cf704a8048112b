//! A history: what clients, the operator and the platform do in a seed, step by step.

use std::fmt;

use serde_json::{Value, json};

use super::clients::{AGENTS, BOTS, PEOPLE, Post, Scope};
use super::state::{HOUR_MS, MINUTE_MS, SECOND_MS, TENANTS};

const DAY_MS: i64 = 24 * HOUR_MS;

/// What a seed is about. Some faults need many steps of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    Everything,
    /// Reads nearby of few people, writes that KV does not answer, and objects that are restored.
    Nearby,
    /// Requests within seconds, on a bucket that they empty.
    Bucket,
    /// Turns over months, within small quotas.
    Quotas,
}

/// The limits of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// No client reaches them.
    Wide,
    /// No client reaches them. Answers from nearby may be so many seconds old.
    Stale(u8),
    /// Clients reach them.
    Small,
    /// Nothing more may be stored.
    Full,
    /// Clients empty the bucket.
    Bucket { per_second: u32, burst: u32 },
    /// Clients use up turns and relationships.
    Quotas { turns: u32, relationships: u32, of_user: u32 },
}

impl Limits {
    pub fn are_small(self) -> bool {
        !matches!(self, Self::Wide | Self::Stale(_))
    }

    pub fn json(self) -> Value {
        let (per_second, burst) = match self {
            Self::Small => (2, 12),
            Self::Bucket { per_second, burst } => (per_second, burst),
            Self::Wide | Self::Stale(_) | Self::Full | Self::Quotas { .. } => (10_000, 100_000),
        };
        let (turns, relationships) = match self {
            Self::Small => (6, 3),
            Self::Quotas { turns, relationships, .. } => (turns, relationships),
            Self::Wide | Self::Stale(_) | Self::Full | Self::Bucket { .. } => (10_000, 1_000),
        };
        let of_user = if let Self::Quotas { of_user, .. } = self { of_user } else { 0 };
        let end_users = if self == Self::Small { 3 } else { 1_000_000 };
        let storage_bytes = if self == Self::Full { 0 } else { 1_000_000_000 };
        let edge_stale_s = if let Self::Stale(seconds) = self { seconds } else { 5 };
        json!({ "requests_per_second": per_second, "burst": burst, "turns_per_period": turns,
                "active_relationships": relationships, "end_users": end_users, "storage_bytes": storage_bytes,
                "edge_stale_s": edge_stale_s, "turns_per_user": of_user })
    }
}

/// What a seed has.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub focus: Focus,
    pub locations: usize,
    /// How far the clocks of isolates are ahead of true time, in milliseconds.
    pub isolates: Vec<i64>,
    /// How far the clocks of objects are ahead of true time, in milliseconds.
    pub objects: Vec<i64>,
    /// Whether the platform ends objects that do nothing.
    pub evicts: bool,
    /// The limits of the organizations at first.
    pub limits: Limits,
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
    Create { tenant: Tenant, user: User },
    PostOnce { tenant: Tenant, what: Post, slot: usize },
    Batch { tenant: Tenant, users: Vec<User> },
    Read { tenant: Tenant, user: User },
    ReadAgain { tenant: Tenant, user: User },
    ReadNearby { tenant: Tenant, user: User, times: usize, stale_s: i64 },
    Burst { tenant: Tenant, user: User, times: usize, is_nearby: bool },
    Update { tenant: Tenant, user: User, form: u8 },
    UpdateIfMatch { tenant: Tenant, user: User, is_stale: bool },
    Erase { tenant: Tenant, user: User, scope: Scope },
    Receipts { tenant: Tenant },
    Walk { tenant: Tenant, by_creation: bool, descending: bool, limit: usize },
    Export { tenant: Tenant, user: User },
    SaveAgent { tenant: Tenant, agent: usize },
    UpdateAgent { tenant: Tenant, agent: usize },
    ReadAgent { tenant: Tenant, agent: usize },
    EraseAgent { tenant: Tenant, agent: usize },
    ListAgents { tenant: Tenant },
    ListAgentUsers { tenant: Tenant, agent: usize },
    TakeTurn(Turn),
    ReadUsage { tenant: Tenant },
    ReadUsageOf { tenant: Tenant, user: User },
    ListRelationships { tenant: Tenant, user: Option<User>, agent: Option<usize> },
    ReadRelationship { tenant: Tenant, which: usize },
    EraseRelationship { tenant: Tenant, which: usize, scope: Scope },
    CreatePrincipal { tenant: Tenant, user: User },
    ReadPrincipal { tenant: Tenant, user: User },
    CreateBot { tenant: Tenant, bot: usize },
    ReadBot { tenant: Tenant, bot: usize },
    OwnBot { tenant: Tenant, bot: usize, owner: Option<User> },
    EraseBot { tenant: Tenant, bot: usize },
    ListPrincipals { tenant: Tenant, by_offset: bool },
    IssueKey { tenant: Tenant, lasts_ms: Option<i64> },
    RevokeKey { tenant: Tenant, which: usize },
    ListKeys { organization: usize },
    ListOrganizations,
    ReadOrganization { organization: usize },
    ChangeLimits { organization: usize, limits: Limits },
    Repair { organization: usize },
    Close { organization: usize },
    Snapshot { tenant: Tenant },
    Restore { tenant: Tenant },
    SnapshotListing,
    RestoreListing,
    Reset { tenant: Tenant },
    DropAlarm { tenant: Tenant },
    SetClock { tenant: Tenant, millis: i64 },
    SetIsolateClock { number: usize, millis: i64 },
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
    let focus = match random.u8(0..16) {
        0..4 => Focus::Nearby,
        4 => Focus::Bucket,
        5 | 6 => Focus::Quotas,
        _ => Focus::Everything,
    };
    let (locations, evicts) = (random.usize(1..=3), random.bool());
    let limits = limits(&mut random, focus);
    let plan = Plan { seed, focus, locations, isolates, objects, evicts, limits };
    let steps = match (random.u8(0..8), focus) {
        (0, _) | (1..5, Focus::Nearby) => random.usize(60..160),
        _ => random.usize(10..60),
    };
    let tenant = random.usize(0..TENANTS);
    // Without a person and an agent most requests would find nothing.
    let begun = [Action::Create { tenant, user: 0 }, Action::SaveAgent { tenant, agent: 0 }];
    let mut done: Vec<Step> =
        begun.into_iter().map(|action| Step { action, pause_ms: 100, seed: random.u64(..) }).collect();
    while done.len() < steps {
        if focus == Focus::Nearby && random.u8(0..40) == 0 {
            done.extend(lost_writes(&mut random, tenant));
        }
        done.push(step(&mut random, focus, tenant));
    }
    (plan, done)
}

fn step(random: &mut fastrand::Rng, focus: Focus, tenant: Tenant) -> Step {
    let action = action(random, focus, tenant);
    Step { action, pause_ms: pause_ms(random, focus), seed: random.u64(..) }
}

/// An object writes while D1 is down, and is restored to a point before, at which D1 still is.
fn lost_writes(random: &mut fastrand::Rng, tenant: Tenant) -> Vec<Step> {
    let read = Action::ReadNearby { tenant, user: 0, times: 7, stale_s: 5 };
    let actions = [
        (Action::Create { tenant, user: 0 }, SECOND_MS),
        (read.clone(), 20 * SECOND_MS),
        (Action::Snapshot { tenant }, 0),
        (Action::D1Down { millis: 10 * MINUTE_MS }, SECOND_MS),
        (Action::Update { tenant, user: 0, form: 5 }, 4 * MINUTE_MS),
        (Action::Restore { tenant }, SECOND_MS),
        (Action::D1Down { millis: 0 }, SECOND_MS),
        (read.clone(), 20 * SECOND_MS),
        (read, MINUTE_MS),
    ];
    let steps = actions.into_iter();
    steps.map(|(action, while_ms)| Step { action, pause_ms: random.i64(0..=while_ms), seed: random.u64(..) }).collect()
}

/// The limits of a seed at first, or small ones later.
fn limits(random: &mut fastrand::Rng, focus: Focus) -> Limits {
    match focus {
        Focus::Everything if random.u8(0..5) == 0 => Limits::Small,
        Focus::Everything | Focus::Nearby => Limits::Wide,
        Focus::Bucket => Limits::Bucket { per_second: random.u32(1..6), burst: random.u32(20..120) },
        Focus::Quotas => {
            let (turns, relationships, of_user) = (random.u32(3..12), random.u32(2..6), random.u32(0..6));
            Limits::Quotas { turns, relationships, of_user }
        }
    }
}

fn pause_ms(random: &mut fastrand::Rng, focus: Focus) -> i64 {
    match (random.u16(0..1_000), focus) {
        (0..900, Focus::Bucket) => random.i64(0..800),
        (0..30, Focus::Quotas) => random.i64(0..20 * DAY_MS),
        (0..200, Focus::Nearby) => random.i64(0..9 * MINUTE_MS),
        (0..600, _) => random.i64(0..300),
        (600..800, _) => random.i64(0..3 * SECOND_MS),
        (800..930, _) => random.i64(0..30 * SECOND_MS),
        (930..985, _) => random.i64(0..6 * MINUTE_MS),
        (985..995, _) => random.i64(0..40 * MINUTE_MS),
        _ => random.i64(0..26 * HOUR_MS),
    }
}

fn action(random: &mut fastrand::Rng, focus: Focus, usual: Tenant) -> Action {
    // Mostly one tenant, so that its clients collide.
    let is_usual = focus == Focus::Nearby || random.u8(0..4) > 0;
    let tenant = if is_usual { usual } else { random.usize(0..TENANTS) };
    // Mostly one person, and one agent.
    let user = if random.bool() { 0 } else { random.usize(0..PEOPLE.len()) };
    let agent = if random.bool() { 0 } else { random.usize(0..AGENTS.len()) };
    let most = match focus {
        Focus::Everything => 0,
        Focus::Nearby => 90,
        Focus::Bucket => 80,
        Focus::Quotas => 70,
    };
    if random.u8(0..100) < most {
        return match focus {
            Focus::Nearby => of_readers_nearby(random, tenant, user),
            Focus::Bucket => of_a_small_bucket(random, tenant, user),
            Focus::Quotas | Focus::Everything => of_turns(random, tenant, user, agent),
        };
    }
    match random.u8(0..100) {
        0..40 => of_people(random, tenant, user),
        40..65 => of_turns(random, tenant, user, agent),
        65..73 => of_principals(random, tenant, user),
        73..84 => of_operator(random, tenant),
        _ => of_platform(random, tenant),
    }
}

fn of_readers_nearby(random: &mut fastrand::Rng, tenant: Tenant, user: User) -> Action {
    let user = user % 2;
    match random.u8(0..100) {
        0..44 => read_nearby(random, tenant, user),
        44..60 => Action::Update { tenant, user, form: random.u8(0..6) },
        60..67 => Action::Create { tenant, user },
        67..71 => Action::Erase { tenant, user, scope: Scope::All },
        71..74 => Action::Receipts { tenant },
        74..76 => Action::Repair { organization: tenant / 2 },
        76..81 => Action::Snapshot { tenant },
        81..86 => Action::Restore { tenant },
        86..90 => Action::KvDown { millis: random.i64(0..5 * MINUTE_MS) },
        90..94 => Action::D1Down { millis: random.i64(0..5 * MINUTE_MS) },
        94..98 => Action::Reset { tenant },
        98 => Action::RestartIsolate { number: random.usize(0..4) },
        _ => {
            let limits = if random.bool() { Limits::Wide } else { Limits::Stale(random.u8(0..6)) };
            Action::ChangeLimits { organization: tenant / 2, limits }
        }
    }
}

fn read_nearby(random: &mut fastrand::Rng, tenant: Tenant, user: User) -> Action {
    let stale_s = [1, 2, 5, 60][random.usize(0..4)];
    Action::ReadNearby { tenant, user, times: random.usize(1..8), stale_s }
}

fn of_a_small_bucket(random: &mut fastrand::Rng, tenant: Tenant, user: User) -> Action {
    match random.u8(0..100) {
        0..70 => {
            let (times, is_nearby) = (random.usize(4..60), random.bool());
            Action::Burst { tenant, user: user % 2, times, is_nearby }
        }
        70..75 => Action::Create { tenant, user },
        75..80 => Action::IssueKey { tenant, lasts_ms: None },
        80..92 => Action::Reset { tenant },
        92..94 => Action::RestartIsolate { number: random.usize(0..4) },
        94..96 => Action::ChangeLimits { organization: tenant / 2, limits: limits(random, Focus::Bucket) },
        96..98 => Action::Snapshot { tenant },
        _ => Action::Restore { tenant },
    }
}

fn of_people(random: &mut fastrand::Rng, tenant: Tenant, user: User) -> Action {
    match random.u8(0..100) {
        0..14 => Action::Create { tenant, user },
        14..23 => {
            let what = post(random, user);
            Action::PostOnce { tenant, what, slot: random.usize(0..4) }
        }
        23..28 => Action::Batch { tenant, users: people(random) },
        28..34 => Action::Read { tenant, user },
        34..37 => Action::ReadAgain { tenant, user },
        37..49 => read_nearby(random, tenant, user),
        49..62 => Action::Update { tenant, user, form: random.u8(0..7) },
        62..66 => Action::UpdateIfMatch { tenant, user, is_stale: random.u8(0..3) == 0 },
        66..77 => {
            let scope = [Scope::All, Scope::All, Scope::All, Scope::Memory, Scope::Model][random.usize(0..5)];
            Action::Erase { tenant, user, scope }
        }
        77..83 => Action::Receipts { tenant },
        83..94 => {
            let (by_creation, descending, limit) = (random.bool(), random.bool(), random.usize(1..4));
            Action::Walk { tenant, by_creation, descending, limit }
        }
        _ => Action::Export { tenant, user },
    }
}

fn people(random: &mut fastrand::Rng) -> Vec<User> {
    (0..random.usize(1..5)).map(|_| random.usize(0..PEOPLE.len())).collect()
}

fn post(random: &mut fastrand::Rng, user: User) -> Post {
    match random.u8(0..10) {
        0..4 => Post::User(user),
        4..6 => Post::Batch(people(random)),
        6..8 => Post::Agent(random.usize(0..AGENTS.len())),
        8 => Post::Principal(user),
        _ => Post::Bot(random.usize(0..BOTS.len())),
    }
}

fn of_turns(random: &mut fastrand::Rng, tenant: Tenant, user: User, agent: usize) -> Action {
    match random.u8(0..100) {
        0..12 => Action::SaveAgent { tenant, agent },
        12..15 => Action::UpdateAgent { tenant, agent },
        15..18 => Action::ReadAgent { tenant, agent },
        18..20 => Action::EraseAgent { tenant, agent },
        20..22 => Action::ListAgents { tenant },
        22..27 => Action::ListAgentUsers { tenant, agent },
        27..29 => Action::ReadUsage { tenant },
        29..31 => Action::ReadUsageOf { tenant, user },
        31..36 => {
            let user = random.bool().then_some(user);
            Action::ListRelationships { tenant, user, agent: random.bool().then_some(agent) }
        }
        36..40 => Action::ReadRelationship { tenant, which: random.usize(0..8) },
        40..45 => {
            let scope = if random.bool() { Scope::All } else { Scope::Memory };
            Action::EraseRelationship { tenant, which: random.usize(0..8), scope }
        }
        _ => Action::TakeTurn(Turn {
            tenant,
            agent,
            user: (random.u8(0..6) > 0).then_some(user),
            key: random.bool().then(|| random.usize(0..2)),
            is_streamed: random.u8(0..5) == 0,
            hangs_up_ms: (random.u8(0..8) == 0).then(|| random.i64(0..3_000)),
        }),
    }
}

fn of_principals(random: &mut fastrand::Rng, tenant: Tenant, user: User) -> Action {
    let bot = random.usize(0..BOTS.len());
    match random.u8(0..100) {
        0..20 => Action::CreatePrincipal { tenant, user },
        20..32 => Action::ReadPrincipal { tenant, user },
        32..50 => Action::CreateBot { tenant, bot },
        50..60 => Action::ReadBot { tenant, bot },
        60..80 => Action::OwnBot { tenant, bot, owner: (random.u8(0..4) > 0).then_some(user) },
        80..86 => Action::EraseBot { tenant, bot },
        _ => Action::ListPrincipals { tenant, by_offset: random.u8(0..3) == 0 },
    }
}

fn of_operator(random: &mut fastrand::Rng, tenant: Tenant) -> Action {
    let organization = tenant / 2;
    match random.u8(0..100) {
        0..28 => {
            let lasts_ms = random.bool().then(|| random.i64(MINUTE_MS..3 * HOUR_MS));
            Action::IssueKey { tenant, lasts_ms }
        }
        28..46 => Action::RevokeKey { tenant, which: random.usize(0..4) },
        46..52 => Action::ListKeys { organization },
        52..56 => Action::ListOrganizations,
        56..60 => Action::ReadOrganization { organization },
        60..70 => {
            let limits = match random.u8(0..6) {
                0 => Limits::Full,
                1 | 2 => Limits::Small,
                _ => Limits::Wide,
            };
            Action::ChangeLimits { organization, limits }
        }
        70..82 => Action::Repair { organization },
        // The first organization stays.
        82..86 => Action::Close { organization: 1 },
        _ => Action::Tick,
    }
}

fn of_platform(random: &mut fastrand::Rng, tenant: Tenant) -> Action {
    match random.u8(0..100) {
        0..28 => Action::Reset { tenant },
        28..39 => Action::DropAlarm { tenant },
        39..48 => Action::SetClock { tenant, millis: random.i64(-20 * SECOND_MS..20 * SECOND_MS) },
        48..53 => {
            let millis = random.i64(-20 * SECOND_MS..20 * SECOND_MS);
            Action::SetIsolateClock { number: random.usize(0..4), millis }
        }
        53..62 => Action::KvDown { millis: random.i64(0..10 * MINUTE_MS) },
        62..71 => Action::D1Down { millis: random.i64(0..3 * MINUTE_MS) },
        71..79 => Action::RestartIsolate { number: random.usize(0..4) },
        79..87 => Action::Snapshot { tenant },
        87..93 => Action::Restore { tenant },
        93..97 => Action::SnapshotListing,
        _ => Action::RestoreListing,
    }
}
