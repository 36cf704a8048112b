//! One step of an audit: compares what the stores hold with what the object expects. See
//! [`crate::organization::audit`].

use std::collections::{HashMap, HashSet};

use super::cache;
use super::flush;
use super::listing::comparison::{self, ListedUser};
use super::listing::fence;
use super::stores::{Cache, Database, StoreError};
use crate::directory::end_user::Version;
use crate::directory::identifiers::Tenant;
use crate::directory::names::{self, UserId};
use crate::organization::audit::{AuditFinding, AuditStep, Difference, ExpectedUser, Flaw, PendingUsers};
use crate::organization::batches::ProjectedRecord;

/// Keys of the cache that one step reads: KV returns at most 100 values at once.
const CACHE_KEYS_MAX: u32 = 100;

/// The object, as an audit uses it.
pub trait AuditSource: flush::Source {
    fn tenant(&self) -> Result<Tenant, StoreError>;
    /// The next step, and the users that the step must not judge.
    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError>;
    /// The digests among these that belong to no user, and the position of the listing for which
    /// that is true.
    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError>;
    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError>;
}

/// Takes one step and returns whether there may be more. The caller flushes first.
pub async fn step(source: &impl AuditSource, database: &impl Database, store: &impl Cache) -> Result<bool, StoreError> {
    let Some((step, before)) = source.next_step()? else { return Ok(false) };
    let tenant = source.tenant()?;
    let finding = match step {
        AuditStep::Fence { acknowledged } => check_fence(source, database, tenant, acknowledged).await?,
        AuditStep::Users(users) => compare(database, store, tenant, &users).await?,
        AuditStep::Listing { from_ms } => clear_listing(source, database, tenant, from_ms).await?,
        AuditStep::Cache { cursor } => clear_cache(source, store, tenant, &cursor).await?,
    };
    source.record(&before, finding)?;
    Ok(true)
}

/// Sets the fence back to the object's position if the listing was lost or restored.
async fn check_fence(
    source: &impl AuditSource,
    database: &impl Database,
    tenant: Tenant,
    acknowledged: i64,
) -> Result<AuditFinding, StoreError> {
    let tenant = tenant.to_string();
    let position = fence::position(database, &tenant).await?;
    let reset = !fence::is_ours(position, acknowledged, source.last_sequence()?);
    if reset || position.is_none() {
        database.batch(&[fence::reset_fence(&tenant, position, acknowledged)]).await?;
    }
    Ok(AuditFinding::Fence { reset })
}

/// Compares both stores with the users that the object expects there.
async fn compare(
    database: &impl Database,
    store: &impl Cache,
    tenant: Tenant,
    users: &[ExpectedUser],
) -> Result<AuditFinding, StoreError> {
    let Some(last) = users.last() else {
        return Ok(AuditFinding::Users { differences: Vec::new(), compared: 0, last: None });
    };
    let ids: Vec<&UserId> = users.iter().map(|user| &user.user_id).collect();
    let rows = comparison::find(database, tenant, &ids).await?;
    let rows: HashMap<&str, &ListedUser> = rows.iter().map(|row| (row.user_id.as_str(), row)).collect();
    let keys: Vec<String> = users.iter().map(|user| cache::key(tenant, &user.user_id)).collect();
    let values = store.get_many(&keys).await?;
    let mut differences = Vec::new();
    for (user, value) in users.iter().zip(values) {
        let record = user.record.as_ref();
        let listing = listing_flaw(record, user.version, rows.get(user.user_id.as_str()).copied());
        let cache = cache_flaw(record, user.version, value.as_deref());
        if listing.is_some() || cache.is_some() {
            differences.push(Difference { number: user.number, version: user.version, listing, cache });
        }
    }
    let compared = i64::try_from(users.len()).unwrap_or(i64::MAX);
    Ok(AuditFinding::Users { differences, compared, last: Some(last.number) })
}

fn listing_flaw(expected: Option<&ProjectedRecord>, version: Version, listed: Option<&ListedUser>) -> Option<Flaw> {
    match (expected, listed) {
        (None, None) => None,
        (None, Some(_)) => Some(Flaw::Foreign),
        (Some(_), None) => Some(Flaw::Missing),
        (Some(record), Some(row)) => (!row.is(version, record)).then_some(Flaw::Outdated),
    }
}

fn cache_flaw(expected: Option<&ProjectedRecord>, version: Version, value: Option<&str>) -> Option<Flaw> {
    match (expected, value.filter(|value| !cache::is_tombstone(value))) {
        (None, None) => None,
        (None, Some(_)) => Some(Flaw::Foreign),
        (Some(_), None) => Some(Flaw::Missing),
        (Some(record), Some(value)) => {
            let is_current = cache::read(value, version).is_some_and(|held| held.get() == record.document.as_str());
            (!is_current).then_some(Flaw::Outdated)
        }
    }
}

/// Removes rows of the listing that belong to no user of the object.
async fn clear_listing(
    source: &impl AuditSource,
    database: &impl Database,
    tenant: Tenant,
    from_ms: i64,
) -> Result<AuditFinding, StoreError> {
    let (mut after, mut foreign) = (None, 0_i64);
    loop {
        let page = comparison::by_creation(database, tenant, from_ms, after.as_ref()).await?;
        let digests: Vec<String> = page.iter().map(|place| names::digest(&place.user_id)).collect();
        let (foreign_digests, sequence) = source.foreign_digests(&digests)?;
        if !foreign_digests.is_empty() {
            let foreign_digests: HashSet<String> = foreign_digests.into_iter().collect();
            let rows = page.iter().zip(&digests).filter(|(_, digest)| foreign_digests.contains(*digest));
            let ids: Vec<&str> = rows.map(|(place, _)| place.user_id.as_str()).collect();
            let removed = comparison::remove_foreign(database, tenant, &ids, sequence).await?;
            foreign = foreign.saturating_add(i64::try_from(removed).unwrap_or_default());
        }
        let is_full = u32::try_from(page.len()).is_ok_and(|length| length >= comparison::ROWS_MAX);
        let Some(last) = page.into_iter().last().filter(|_| is_full) else {
            return Ok(AuditFinding::Listing { foreign, next_ms: None });
        };
        // The stored position is an instant. A page whose rows were all created at that instant
        // does not move it, so the next page follows in the same step.
        if last.created_at_ms > from_ms {
            return Ok(AuditFinding::Listing { foreign, next_ms: Some(last.created_at_ms) });
        }
        after = Some(last);
    }
}

/// Removes keys of the cache that belong to no user of the object.
async fn clear_cache(
    source: &impl AuditSource,
    store: &impl Cache,
    tenant: Tenant,
    cursor: &str,
) -> Result<AuditFinding, StoreError> {
    let prefix = cache::prefix(tenant);
    let (keys, next) = store.list(&prefix, cursor, CACHE_KEYS_MAX).await?;
    let digests: Vec<String> =
        keys.iter().map(|key| key.strip_prefix(&prefix).unwrap_or_default().to_owned()).collect();
    let (foreign_digests, _) = source.foreign_digests(&digests)?;
    let keys: Vec<String> = foreign_digests.iter().map(|digest| format!("{prefix}{digest}")).collect();
    let values = if keys.is_empty() { Vec::new() } else { store.get_many(&keys).await? };
    // Tombstones expire.
    let held = keys.into_iter().zip(values).filter(|(_, value)| !value.as_deref().is_none_or(cache::is_tombstone));
    let foreign: Vec<String> = held.map(|(key, _)| key).collect();
    for keys in foreign.chunks(flush::PUTS_AT_ONCE) {
        store.delete_all(keys).await?;
    }
    Ok(AuditFinding::Cache { foreign: i64::try_from(foreign.len()).unwrap_or(i64::MAX), next })
}
