//! What one object keeps in memory between two calls.
//!
//! Invariant: the memory holds nothing that the SQL does not, except the tokens between the bucket and its
//! high-water mark. The core drops the memory whenever a transaction fails.

use super::audit;
use super::change_log::{Affected, ChangeLog, Subject};
use super::closing;
use super::copies::Copies;
use super::erasure;
use super::keys::KnownKeys;
use super::limiter::Limiter;
use super::protocol::Settings;
use super::quotas;
use super::schema;
use super::settings;
use super::sql::{Sql, SqlError};
use crate::directory::event::EventType;
use crate::directory::organization::Limits;
use crate::directory::timestamp::Timestamp;

/// The state of an open object.
#[derive(Debug)]
pub struct Memory {
    pub settings: Option<Settings>,
    /// Present when there are settings, which hold its limits.
    pub limiter: Option<Limiter>,
    pub keys: KnownKeys,
    pub log: ChangeLog,
    pub copies: Copies,
    /// Whether the alarm is set for the next expiry of a kept answer or a reservation.
    pub expiry_is_scheduled: bool,
    /// Whether an erasure is requested and not completed.
    pub erasure_is_pending: bool,
    pub audit_is_running: bool,
}

impl Memory {
    /// What the tenant may hold and do.
    pub fn limits(&self) -> Limits {
        self.settings.as_ref().map_or_else(Limits::default, |settings| settings.limits)
    }

    /// Reads the memory from the SQL and creates missing tables. Returns `None` when the object is closed: a
    /// closed object has no tables but its mark.
    pub fn load(sql: &impl Sql, now: Timestamp) -> Result<Option<Self>, SqlError> {
        if closing::find(sql)?.is_some() {
            return Ok(None);
        }
        schema::migrate(sql)?;
        let settings = settings::load(sql)?;
        let limiter = match &settings {
            Some(settings) => Some(Limiter::load(sql, settings.limits.into(), now)?),
            None => None,
        };
        let log = ChangeLog::load(sql)?;
        Ok(Some(Self {
            settings,
            limiter,
            keys: KnownKeys::default(),
            copies: Copies::load(sql, log.acknowledged(), now)?,
            log,
            expiry_is_scheduled: true,
            erasure_is_pending: erasure::is_pending(sql)?,
            audit_is_running: audit::is_running(sql)?,
        }))
    }

    /// Takes settings over if they are newer than the ones held, so that a late or repeated call cannot bring
    /// older limits back. Takes over a record too that an earlier build has not stored, which is no change.
    pub fn configure(&mut self, sql: &impl Sql, settings: Settings, now: Timestamp) -> Result<(), SqlError> {
        let held = self.settings.as_ref();
        let is_newer = held.is_none_or(|held| settings.version > held.version);
        let completes = held
            .is_some_and(|held| settings.version == held.version && held.record.is_none() && settings.record.is_some());
        if !is_newer && !completes {
            return Ok(());
        }
        settings::store(sql, &settings)?;
        if is_newer {
            let organization = Subject::new(0, settings.tenant.organization);
            self.log.append(sql, EventType::OrganizationUpdated, &organization, Affected::Nothing)?;
            quotas::announce_all(sql, &mut self.log, &settings, now)?;
        }
        match &mut self.limiter {
            Some(limiter) => limiter.set_rate(sql, settings.limits.into(), now)?,
            None => self.limiter = Some(Limiter::load(sql, settings.limits.into(), now)?),
        }
        self.settings = Some(settings);
        Ok(())
    }
}
