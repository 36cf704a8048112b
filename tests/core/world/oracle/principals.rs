//! What callers may see of the ids of principals. An id names one person or agent for good, so it goes with them.

use std::collections::BTreeMap;

use super::{Asked, Erasure, Moment, Oracle};
use crate::simulation::{Violation, ensure};

#[derive(Debug, Clone)]
struct Known {
    subject: usize,
    first: Moment,
    era: u32,
    /// No later answer shows it.
    gone: Option<Moment>,
}

#[derive(Debug, Clone, Default)]
pub struct PrincipalIds(BTreeMap<String, Known>);

impl PrincipalIds {
    /// A request to erase a person or an agent was accepted.
    pub(super) fn are_erased(&mut self, asked: &Asked, heard: Moment) {
        let is_theirs = |known: &&mut Known| known.subject == asked.user && known.first < asked.sent;
        for known in self.0.values_mut().filter(is_theirs) {
            known.gone.get_or_insert(heard);
        }
    }

    /// What is left after the object was restored: everybody may be back.
    pub(super) fn restored(mut self) -> Self {
        self.0.values_mut().for_each(|known| known.gone = None);
        self
    }
}

impl Oracle {
    /// An answer shows the id of a person or an agent.
    pub fn hears_principal_id(&mut self, asked: &Asked, subject: usize, id: &str) -> Result<(), Violation> {
        let heard = self.heard();
        if !self.is_current(asked) {
            return Ok(());
        }
        let ids = &mut self.tenants[asked.tenant].principals.0;
        let known = ids.entry(id.to_owned()).or_insert(Known { subject, first: heard, era: asked.era, gone: None });
        ensure!(known.subject == subject, "{id} is the id of {} and of {subject}", known.subject);
        ensure!(known.gone.is_none_or(|gone| gone > asked.sent), "{id} of {subject} is erased, and shown");
        Ok(())
    }

    /// An answer names the owner of an agent. Nobody who is being erased owns one.
    pub fn hears_owner(&self, asked: &Asked, id: &str) -> Result<(), Violation> {
        let known = self.tenants[asked.tenant].principals.0.get(id).filter(|_| self.is_current(asked));
        let is_gone = known.and_then(|known| known.gone).is_some_and(|gone| gone < asked.sent);
        ensure!(!is_gone, "{id} is erased, and owns an agent");
        Ok(())
    }

    /// Whether an id may be of somebody who was erased, or be lost.
    pub fn is_id_unsure(&self, asked: &Asked, id: &str) -> bool {
        let held = &self.tenants[asked.tenant];
        held.principals.0.get(id).is_none_or(|known| {
            let is_later = |erasure: &Erasure| erasure.ends(known.subject) && erasure.may_come(known.first);
            known.era != held.era || held.erasures.iter().any(is_later)
        })
    }

    /// An id of somebody, the newest that was heard.
    pub fn principal_id(&self, tenant: usize, subject: usize) -> Option<String> {
        let ids = self.tenants[tenant].principals.0.iter().filter(|(_, known)| known.subject == subject);
        ids.max_by_key(|(_, known)| known.first).map(|(id, _)| id.clone())
    }
}
