//! The organization's row in D1, and what its objects do for it.
//!
//! Invariant: D1 decides what an organization is. An object holds a copy of the record, which is never newer, unless D1
//! was restored to an earlier moment. Only then it replaces a row, or brings one back. It brings none back of an
//! organization whose deletion D1 knows.

use super::stores::{Database, Statement, StoreError};
use crate::directory::identifiers::{Mode, Tenant};
use crate::directory::organization::{Organization, Slug};
use crate::directory::timestamp::Timestamp;
use crate::json;

const VERSION: &str = "SELECT CAST(version AS TEXT) AS text FROM organizations WHERE id = ?1";

const UPDATE: &str = "
    UPDATE OR IGNORE organizations SET slug = ?2, clerk_org_id = ?3, version = ?4, document = ?5
    WHERE id = ?1 AND version < ?4";

const INSERT: &str = "
    INSERT INTO organizations (id, slug, clerk_org_id, version, document) SELECT ?1, ?2, ?3, ?4, ?5
    WHERE NOT EXISTS (SELECT 1 FROM organization_deletions WHERE organization_id = ?1)
    ON CONFLICT DO NOTHING";

const NOTE_LIVE: &str = "UPDATE organizations SET live_audited_at = ?2 WHERE id = ?1";
const NOTE_TEST: &str = "UPDATE organizations SET test_audited_at = ?2 WHERE id = ?1";

/// Brings the row up to date with the object's record, and notes that the object's audit begins.
pub async fn restore_and_note(
    database: &impl Database,
    tenant: Tenant,
    record: Option<&json::Text>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = tenant.organization.to_string();
    if let Some(record) = record {
        let organization: Organization =
            serde_json::from_str(record.as_str()).map_err(|error| StoreError(error.to_string()))?;
        let texts = database.query(&Statement::new(VERSION, [id.as_str().into()])).await?;
        let held = texts.rows.first().and_then(|version| version.parse::<i64>().ok());
        if held.is_none_or(|version| version < organization.version) && !put(database, &organization).await? {
            put(database, &without_claims(organization)?).await?;
        }
    }
    let note = match tenant.mode {
        Mode::Live => NOTE_LIVE,
        Mode::Test => NOTE_TEST,
    };
    database.batch(&[Statement::new(note, [id.as_str().into(), now.into()])]).await.map(drop)
}

/// Writes the row, and says whether it is there now. It is not if another organization has its slug or its Clerk
/// organization, or if the organization is deleted.
async fn put(database: &impl Database, organization: &Organization) -> Result<bool, StoreError> {
    let document = serde_json::to_string(organization).map_err(|error| StoreError(error.to_string()))?;
    let statement = |sql: &'static str| {
        let (slug, clerk_org_id) = (organization.slug.as_str(), organization.clerk_org_id.as_deref());
        let parameters = [
            organization.id.to_string().into(),
            slug.into(),
            clerk_org_id.into(),
            organization.version.into(),
            document.as_str().into(),
        ];
        Statement::new(sql, parameters)
    };
    let changed = database.batch(&[statement(UPDATE), statement(INSERT)]).await?;
    Ok(changed.iter().any(|rows| *rows > 0))
}

/// The organization without what another one may have taken since the moment to which D1 was restored.
fn without_claims(organization: Organization) -> Result<Organization, StoreError> {
    let slug = Slug::derived(&organization.name, organization.id).map_err(|refusal| StoreError(refusal.0))?;
    Ok(Organization { slug, clerk_org_id: None, ..organization })
}
