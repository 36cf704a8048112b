//! `GET /admin/v1/diagnostics`: what the operator has deployed, and what is wrong with it. It answers also while the
//! configuration is not usable.

use serde::Serialize;

use crate::directory::identifiers::{Mode, OrganizationId, Tenant};
use crate::directory::timestamp::Timestamp;
use crate::edge::exchange::{Exchange, Operator};
use crate::edge::http::reader::Reader;
use crate::edge::http::response::Response;
use crate::edge::http::schema::{Schema, described};
use crate::edge::public_limiter::Client;
use crate::edge::runtime::{ObjectMethod, Runtime, timed};
use crate::edge::settings::{self, SettingView};
use crate::fault::Fault;
use crate::input::QueryFields;
use crate::organization::protocol::{self, ReadSchema};
use crate::organization::schema as object_schema;
use crate::projection::listing::schema as listing_schema;
use crate::projection::{Cache, Database, Statement, StoreError};

const SELECT_CRON: &str = "SELECT json_array(made_at, ran_at) AS text FROM cron";
const SELECT_NEWEST: &str = "SELECT id AS text FROM organizations ORDER BY id DESC LIMIT 1";

#[derive(Serialize, schemars::JsonSchema)]
pub struct Diagnostics {
    build: BuildView,
    settings: Vec<SettingView>,
    /// Whether the request came with the address of its caller (`CF-Connecting-IP`). Without it all callers share one
    /// bucket.
    has_client_address: bool,
    bindings: BindingsView,
    cron: Option<CronView>,
}

/// What this build is, and what it expects of the stores.
#[derive(Serialize, schemars::JsonSchema)]
struct BuildView {
    version: &'static str,
    /// Of the messages between edge and object.
    protocol_version: u8,
    d1_schema_version: i64,
    object_schema_version: i64,
}

#[derive(Serialize, schemars::JsonSchema)]
struct BindingsView {
    objects: BindingView,
    kv: BindingView,
    d1: TablesView,
    /// The object of the newest organization, in mode live; `null` if there is none, or D1 cannot tell.
    organization: Option<OrganizationView>,
    /// Workers AI, which is optional.
    ai: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
struct BindingView {
    /// `null` if it was reached.
    error: Option<BindingError>,
    latency_ms: i64,
}

#[derive(Serialize, schemars::JsonSchema)]
struct TablesView {
    #[serde(flatten)]
    binding: BindingView,
    /// The version of the tables, if they say one.
    schema_version: Option<i64>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct OrganizationView {
    id: OrganizationId,
    #[serde(flatten)]
    tables: TablesView,
}

impl BindingView {
    const MISSING: Self = Self { error: Some(BindingError::Missing), latency_ms: 0 };
}

/// Why a binding is of no use. What the platform said of it is in no answer, as nobody bounds what that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BindingError {
    /// There is no such binding.
    Missing,
    /// It does not answer, or it refuses. Objects also without their binding, and while the configuration is not usable.
    Failed,
    /// D1 has no tables: no migration is applied.
    NoTables,
    /// D1 lacks migrations of this build.
    OldTables,
    /// A newer build has changed the tables, and this one may not use them.
    NewTables,
}

#[derive(Serialize, schemars::JsonSchema)]
struct CronView {
    /// When the trigger ran last; `null` before its first run.
    ran_at: Option<Timestamp>,
    ran_s_ago: Option<i64>,
    /// For how long its runs have been noted.
    noted_for_s: i64,
}

pub async fn get(exchange: &mut Exchange<'_, impl Runtime>, operator: Operator) -> Result<Response, Fault> {
    QueryFields::none(exchange.target.query)?;
    let runtime = exchange.runtime;
    let (d1, cron) = d1(runtime).await;
    let diagnostics = Diagnostics {
        build: BuildView {
            version: env!("CARGO_PKG_VERSION"),
            protocol_version: protocol::VERSION,
            d1_schema_version: listing_schema::VERSION,
            object_schema_version: object_schema::VERSION,
        },
        settings: settings::examine(|name| runtime.setting(name), runtime.has_ai()),
        has_client_address: exchange.client() != Client::Unknown,
        bindings: BindingsView {
            objects: objects(runtime).await,
            kv: kv(runtime).await,
            organization: if d1.binding.error.is_none() { organization(exchange, operator).await } else { None },
            d1,
            ai: runtime.has_ai(),
        },
        cron,
    };
    described(200, Schema::Diagnostics, Reader::Any, diagnostics)
}

async fn objects(runtime: &impl Runtime) -> BindingView {
    let (pinged, latency_ms) = timed(runtime, runtime.ping_object()).await;
    BindingView { error: pinged.err().map(|_| BindingError::Failed), latency_ms }
}

async fn kv(runtime: &impl Runtime) -> BindingView {
    let Ok(cache) = runtime.cache() else { return BindingView::MISSING };
    let (read, latency_ms) = timed(runtime, cache.get("readiness")).await;
    BindingView { error: read.err().map(|_| BindingError::Failed), latency_ms }
}

async fn d1(runtime: &impl Runtime) -> (TablesView, Option<CronView>) {
    let Ok(database) = runtime.database() else {
        return (TablesView { binding: BindingView::MISSING, schema_version: None }, None);
    };
    let (found, latency_ms) = timed(runtime, tables(&database)).await;
    let (error, schema_version) = found.unwrap_or((Some(BindingError::Failed), None));
    let cron = if error.is_none() { cron(&database, runtime.now()).await } else { None };
    (TablesView { binding: BindingView { error, latency_ms }, schema_version }, cron)
}

/// Whether this build may use the tables of D1, and their version.
async fn tables(database: &impl Database) -> Result<(Option<BindingError>, Option<i64>), StoreError> {
    let is_there = Statement::new(listing_schema::SELECT_IS_THERE, []);
    if database.query_unchecked(&is_there).await?.rows.is_empty() {
        return Ok((Some(BindingError::NoTables), None));
    }
    let rows = database.query_unchecked(&Statement::new(listing_schema::SELECT, [])).await?.rows;
    let version = listing_schema::versions(rows.first()).map(|(version, _)| version);
    let error = match (listing_schema::check(rows.first()), version) {
        (Ok(()), _) => None,
        (Err(_), Some(version)) if version > listing_schema::VERSION => Some(BindingError::NewTables),
        (Err(_), _) => Some(BindingError::OldTables),
    };
    Ok((error, version))
}

async fn cron(database: &impl Database, now: Timestamp) -> Option<CronView> {
    let rows = database.query(&Statement::new(SELECT_CRON, [])).await.ok()?.rows;
    let (made_at, ran_at): (i64, Option<i64>) = serde_json::from_str(rows.first()?).ok()?;
    let since_s = |at_ms: i64| now.millis().saturating_sub(at_ms).div_euclid(1_000);
    Some(CronView {
        ran_at: ran_at.map(Timestamp::from_millis),
        ran_s_ago: ran_at.map(since_s),
        noted_for_s: since_s(made_at),
    })
}

/// Asks the object of the newest organization.
async fn organization(exchange: &mut Exchange<'_, impl Runtime>, operator: Operator) -> Option<OrganizationView> {
    let newest = exchange.query(&Statement::new(SELECT_NEWEST, [])).await.ok()?;
    let id: OrganizationId = newest.rows.first()?.parse().ok()?;
    let tenant = Tenant { organization: id, mode: Mode::Live };
    let runtime = exchange.runtime;
    let (answer, latency_ms) =
        timed(runtime, exchange.call_as(operator, tenant, ObjectMethod::Handle, ReadSchema)).await;
    let error = answer.as_ref().err().map(|_| BindingError::Failed);
    let tables = TablesView { binding: BindingView { error, latency_ms }, schema_version: answer.ok() };
    Some(OrganizationView { id, tables })
}
