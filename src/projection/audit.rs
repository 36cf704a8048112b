//! One step of an audit: what the stores hold against what the object expects. See
//! [`crate::organization::audit`].

use super::{Cache, Database, StoreError, cache, flush, listing};
use crate::directory::identifiers::Tenant;
use crate::directory::names::{self, UserId};
use crate::organization::audit::{Difference, Expected, Finding, Flaw, OnTheirWay, Step};

/// Rows of the listing that one step looks at.
pub const LISTING_ROWS_MAX: u32 = 500;
/// Keys of the cache that one step looks at: KV gives as many values at once.
const CACHE_KEYS_MAX: u32 = 100;

/// The object, as an audit sees it.
pub trait Subject: flush::Source {
    fn tenant(&self) -> Result<Tenant, StoreError>;
    /// What is to be compared next, and who must not be judged.
    fn next_step(&self) -> Result<Option<(Step, OnTheirWay)>, StoreError>;
    /// Those of the digests that belong to no user, and where the listing stands
    /// that is true of.
    fn strangers(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError>;
    fn record(&self, before: &OnTheirWay, finding: Finding) -> Result<(), StoreError>;
}

/// Takes one step and says whether there may be more. What waits in the outbox should
/// have been flushed before.
pub async fn step<S: Subject, D: Database, C: Cache>(subject: &S, database: &D, store: &C) -> Result<bool, StoreError> {
    let Some((step, before)) = subject.next_step()? else { return Ok(false) };
    let tenant = subject.tenant()?;
    let finding = match step {
        Step::Fence { acknowledged } => check_fence(subject, database, tenant, acknowledged).await?,
        Step::Users(users) => compare(database, store, tenant, &users).await?,
        Step::Listing { from_ms } => clear_listing(subject, database, tenant, from_ms).await?,
        Step::Cache { cursor } => clear_cache(subject, store, tenant, &cursor).await?,
    };
    subject.record(&before, finding)?;
    Ok(true)
}

/// Brings the fence back to where the object is, if the listing was lost or restored.
async fn check_fence<S: Subject, D: Database>(
    subject: &S,
    database: &D,
    tenant: Tenant,
    acknowledged: i64,
) -> Result<Finding, StoreError> {
    let tenant = tenant.to_string();
    let position = listing::position(database, &tenant).await?;
    let reset = !listing::is_ours(position, acknowledged, subject.last_sequence()?);
    if reset || position.is_none() {
        database.batch(&[listing::reset_fence(&tenant, position, acknowledged)]).await?;
    }
    Ok(Finding::Fence { reset })
}

async fn compare<D: Database, C: Cache>(
    database: &D,
    store: &C,
    tenant: Tenant,
    users: &[Expected],
) -> Result<Finding, StoreError> {
    let Some(last) = users.last() else {
        return Ok(Finding::Users { differences: Vec::new(), compared: 0, last: None });
    };
    let ids: Vec<&UserId> = users.iter().map(|user| &user.user_id).collect();
    let rows = listing::find(database, tenant, &ids).await?;
    let keys: Vec<String> = users.iter().map(|user| cache::key(tenant, &user.user_id)).collect();
    let values = store.get_many(&keys).await?;
    let mut differences = Vec::new();
    for (user, value) in users.iter().zip(values) {
        let listed = rows.iter().find(|row| row.user_id == user.user_id.as_str());
        let listing = match (&user.document, listed) {
            (None, None) => None,
            (None, Some(_)) => Some(Flaw::Foreign),
            (Some(_), None) => Some(Flaw::Missing),
            (Some(document), Some(row)) => (!row.is(user.revision, document.as_str())).then_some(Flaw::Outdated),
        };
        let cache = match (&user.document, value.as_deref().filter(|value| !cache::is_tombstone(value))) {
            (None, None) => None,
            (None, Some(_)) => Some(Flaw::Foreign),
            (Some(_), None) => Some(Flaw::Missing),
            (Some(document), Some(value)) => {
                let current = cache::read(value, user.revision).is_some_and(|held| held.get() == document.as_str());
                (!current).then_some(Flaw::Outdated)
            }
        };
        if listing.is_some() || cache.is_some() {
            differences.push(Difference { number: user.number, revision: user.revision, listing, cache });
        }
    }
    let compared = i64::try_from(users.len()).unwrap_or(i64::MAX);
    Ok(Finding::Users { differences, compared, last: Some(last.number) })
}

/// Removes rows of the listing that no user of the object accounts for.
async fn clear_listing<S: Subject, D: Database>(
    subject: &S,
    database: &D,
    tenant: Tenant,
    from_ms: i64,
) -> Result<Finding, StoreError> {
    let (mut after, mut foreign) = (None, 0_i64);
    loop {
        let page = listing::by_creation(database, tenant, from_ms, after.as_ref()).await?;
        let digests: Vec<String> = page.iter().map(|place| names::digest(&place.user_id)).collect();
        let (strangers, sequence) = subject.strangers(&digests)?;
        if !strangers.is_empty() {
            let foreign_ids = page.iter().zip(&digests).filter(|(_, digest)| strangers.contains(digest));
            let ids: Vec<&str> = foreign_ids.map(|(place, _)| place.user_id.as_str()).collect();
            let removed = listing::remove_foreign(database, tenant, &ids, sequence).await?;
            foreign = foreign.saturating_add(i64::try_from(removed).unwrap_or_default());
        }
        let full = u32::try_from(page.len()).is_ok_and(|length| length >= LISTING_ROWS_MAX);
        let Some(last) = page.into_iter().last().filter(|_| full) else {
            return Ok(Finding::Listing { foreign, next_ms: None });
        };
        // The durable position is an instant only; a page of one instant is followed
        // by another at once.
        if last.created_at_ms > from_ms {
            return Ok(Finding::Listing { foreign, next_ms: Some(last.created_at_ms) });
        }
        after = Some(last);
    }
}

/// Removes keys of the cache that no user of the object accounts for.
async fn clear_cache<S: Subject, C: Cache>(
    subject: &S,
    store: &C,
    tenant: Tenant,
    cursor: &str,
) -> Result<Finding, StoreError> {
    let prefix = cache::prefix(tenant);
    let (keys, next) = store.list(&prefix, cursor, CACHE_KEYS_MAX).await?;
    let digests: Vec<String> =
        keys.iter().map(|key| key.strip_prefix(&prefix).unwrap_or_default().to_owned()).collect();
    let (strangers, _) = subject.strangers(&digests)?;
    let keys: Vec<String> = strangers.iter().map(|digest| format!("{prefix}{digest}")).collect();
    let values = if keys.is_empty() { Vec::new() } else { store.get_many(&keys).await? };
    // A tombstone goes by itself.
    let held = keys.into_iter().zip(values).filter(|(_, value)| !value.as_deref().is_none_or(cache::is_tombstone));
    let foreign: Vec<String> = held.map(|(key, _)| key).collect();
    for keys in foreign.chunks(flush::PUTS_AT_ONCE) {
        store.delete_all(keys).await?;
    }
    Ok(Finding::Cache { foreign: i64::try_from(foreign.len()).unwrap_or(i64::MAX), next })
}
