//! The steps of an audit: each compares what the stores hold with what the object expects. See
//! [`crate::organization::audit`].

use std::collections::{HashMap, HashSet};

use super::cache;
use super::flush;
use super::listing::comparison::{self, ListedUser};
use super::listing::fence;
use super::organization;
use super::stores::{Cache, Database, StoreError};
use crate::directory::end_user::Version;
use crate::directory::epoch::Epoch;
use crate::directory::identifiers::Tenant;
use crate::directory::names::{self, UserId};
use crate::json;
use crate::organization::audit::{AuditFinding, AuditStep, Difference, ExpectedUser, Flaw, PendingUsers};
use crate::organization::batches::ProjectedRecord;
use crate::organization::change_log::ListingPosition;
use crate::organization::copies::CopiedUser;

/// Keys of the cache that one step reads: KV returns at most 100 values at once.
const CACHE_KEYS_MAX: u32 = 100;

/// How long an audit runs in one invocation, whose calls the platform limits, in milliseconds. The next alarm goes on.
pub const RUN_MS: i64 = 5_000;

/// The object, as an audit uses it.
pub trait AuditSource: flush::CopySource {
    /// The organization's record, if the object has it.
    fn organization_record(&self) -> Result<Option<json::Text>, StoreError>;
    /// Where the listing stood when it last confirmed.
    fn listing_position(&self) -> Result<ListingPosition, StoreError>;
    /// Begins an epoch, and returns where the listing is to be set.
    fn diverge(&self) -> Result<ListingPosition, StoreError>;
    /// The next step, and the users that the step must not judge.
    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError>;
    /// The digests among these that belong to no user, and the position of the listing for which
    /// that is true.
    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError>;
    /// The places of copies among these, each an epoch and a digest, that the object does not know.
    fn foreign_copies(&self, places: &[(Epoch, String)]) -> Result<Vec<(Epoch, String)>, StoreError>;
    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError>;
}

/// Takes steps for at most [`RUN_MS`], and ends the one that has begun by then. `flush` brings the listing up to date before
/// each, so that as few changes as possible are on their way.
pub async fn run(
    source: &impl AuditSource,
    database: &impl Database,
    store: &impl Cache,
    flush: impl AsyncFn(),
) -> Result<(), StoreError> {
    let until = source.now().plus_ms(RUN_MS);
    while source.now() < until {
        flush().await;
        if !step(source, database, store).await? {
            break;
        }
    }
    Ok(())
}

/// Takes one step and returns whether there may be more. The caller flushes first.
pub async fn step(source: &impl AuditSource, database: &impl Database, store: &impl Cache) -> Result<bool, StoreError> {
    let Some((step, before)) = source.next_step()? else { return Ok(false) };
    let tenant = source.tenant()?;
    let finding = match step {
        AuditStep::Fence => {
            let record = source.organization_record()?;
            organization::restore_and_note(database, tenant, record.as_ref(), source.now()).await?;
            check_fence(source, database, tenant).await?
        }
        AuditStep::Users(users) => compare(database, store, tenant, &users).await?,
        AuditStep::Listing { from_ms } => clear_listing(source, database, tenant, from_ms).await?,
        AuditStep::Cache { cursor } => clear_cache(source, store, tenant, &cursor).await?,
    };
    source.record(&before, finding)?;
    Ok(true)
}

/// Looks whether the listing stands where the object left it. If it does not, one of the two was lost or restored, and
/// an audit sees to it.
pub async fn look(source: &impl AuditSource, database: &impl Database) -> Result<bool, StoreError> {
    let (_, is_ours) = find_fence(source, database, &source.tenant()?.to_string()).await?;
    if !is_ours {
        source.suspect_listing()?;
    }
    Ok(is_ours)
}

/// Where the listing stands, and whether the object has moved it there.
async fn find_fence(
    source: &impl AuditSource,
    database: &impl Database,
    tenant: &str,
) -> Result<(Option<ListingPosition>, bool), StoreError> {
    let since = source.listing_position()?;
    let found = fence::position(database, tenant).await?;
    let is_ours = source.owns(found.as_ref(), &since)? || found.as_ref() == Some(&source.listing_position()?);
    if !is_ours && source.listing_position()? != since {
        return Err(StoreError("the listing moved while it was asked where it stands".to_owned()));
    }
    Ok((found, is_ours))
}

/// Sets the fence to the object's position if the listing was lost or restored.
async fn check_fence(
    source: &impl AuditSource,
    database: &impl Database,
    tenant: Tenant,
) -> Result<AuditFinding, StoreError> {
    let tenant = tenant.to_string();
    let (found, is_ours) = find_fence(source, database, &tenant).await?;
    let to = if is_ours { source.listing_position()? } else { source.diverge()? };
    if !is_ours || found.is_none() {
        let changed = database.batch(&[fence::reset_fence(&tenant, found.as_ref(), &to)]).await?;
        if changed.iter().all(|rows| *rows == 0) {
            return Err(StoreError("the listing moved while it was set back".to_owned()));
        }
    }
    Ok(AuditFinding::Fence { reset: !is_ours })
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
    let copied = users.iter().filter_map(|user| Some((user, user.copy?)));
    let (numbers, keys): (Vec<i64>, Vec<String>) =
        copied.map(|(user, epoch)| (user.number, cache::key(tenant, epoch, &user.user_id.digest()))).unzip();
    let values = if keys.is_empty() { Vec::new() } else { store.get_many(&keys).await? };
    let values: HashMap<i64, Option<String>> = numbers.into_iter().zip(values).collect();
    let mut differences = Vec::new();
    for user in users {
        let record = user.record.as_ref();
        let listing = listing_flaw(user, rows.get(user.user_id.as_str()).copied());
        let cache = values.get(&user.number).and_then(|value| cache_flaw(record, user.version, value.as_deref()));
        if listing.is_some() || cache.is_some() {
            differences.push(Difference { number: user.number, version: user.version, listing, cache });
        }
    }
    let compared = i64::try_from(users.len()).unwrap_or(i64::MAX);
    Ok(AuditFinding::Users { differences, compared, last: Some(last.number) })
}

fn listing_flaw(user: &ExpectedUser, listed: Option<&ListedUser>) -> Option<Flaw> {
    match (&user.record, listed) {
        (None, None) => None,
        (None, Some(_)) => Some(Flaw::Foreign),
        (Some(_), None) => Some(Flaw::Missing),
        (Some(record), Some(row)) => (!row.is(user.version, record, user.relationships)).then_some(Flaw::Outdated),
    }
}

fn cache_flaw(expected: Option<&ProjectedRecord>, version: Version, value: Option<&str>) -> Option<Flaw> {
    match (expected, value) {
        (None, _) => None,
        (Some(_), None) => Some(Flaw::Missing),
        (Some(record), Some(value)) => {
            // The object leaves out whoever has changed since it said what it expects.
            let is_current = cache::read(value).is_some_and(|CopiedUser { user, .. }| {
                user.version == version
                    && serde_json::to_string(&user).is_ok_and(|text| text == record.document.as_str())
            });
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
            // It may have taken a batch without the object's hearing of it. The step then begins anew.
            if usize::try_from(removed).is_ok_and(|removed| removed < ids.len()) {
                return Err(StoreError("the listing moved while it was compared".to_owned()));
            }
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

/// Removes keys of the tenant under which the object has no copy: those of users who are gone and of earlier builds, and
/// what came late to an earlier epoch.
async fn clear_cache(
    source: &impl AuditSource,
    store: &impl Cache,
    tenant: Tenant,
    cursor: &str,
) -> Result<AuditFinding, StoreError> {
    let (keys, next) = store.list(&cache::prefix(tenant), cursor, CACHE_KEYS_MAX).await?;
    let places: Vec<_> = keys.iter().filter_map(|key| cache::place(tenant, key)).collect();
    let strangers: HashSet<_> = source.foreign_copies(&places)?.into_iter().collect();
    let is_foreign = |key: &String| cache::place(tenant, key).is_none_or(|place| strangers.contains(&place));
    let keys: Vec<String> = keys.into_iter().filter(is_foreign).collect();
    let values = if keys.is_empty() { Vec::new() } else { store.get_many(&keys).await? };
    // Tombstones expire.
    let held = keys.into_iter().zip(values).filter(|(_, value)| !value.as_deref().is_none_or(cache::is_tombstone));
    let foreign: Vec<String> = held.map(|(key, _)| key).collect();
    for keys in foreign.chunks(flush::PUTS_AT_ONCE) {
        store.delete_all(keys).await?;
    }
    Ok(AuditFinding::Cache { foreign: i64::try_from(foreign.len()).unwrap_or(i64::MAX), next })
}
