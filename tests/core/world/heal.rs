//! The end of a seed: faults cease, time passes, and everything comes to rest.

use std::rc::Rc;

use rollcall::organization::copies::SPREAD_MS;

use super::clients::PEOPLE;
use super::oracle::{state_of, texts_in};
use super::state::{HOUR_MS, MINUTE_MS, TENANTS, World};
use super::steps::{Focus, Limits};
use super::time::Owner;
use crate::simulation::{Violation, ensure};

/// After faults have ceased, the time until everything is as it should be: KV's longest pause, and twice until KV shows
/// a write everywhere, and some more.
const QUIET_MS: i64 = 30 * MINUTE_MS;
/// How often the cron trigger comes, in milliseconds.
const TICK_MS: i64 = 5 * MINUTE_MS;
/// Most alarms of an object in as much time without any cause. Some come for what expires, and one for an audit.
const IDLE_ALARMS_MAX: u64 = 40;

impl World {
    pub fn heal(self: &Rc<Self>) -> Result<(), Violation> {
        self.settle_clients()?;
        self.cease_faults();
        // What was late arrives.
        self.pass(2 * MINUTE_MS)?;
        // The platform ends every object at some time. Whoever is started looks at the alarm.
        (0..TENANTS).for_each(|number| self.reset(number));
        // The buckets fill, so that nobody is refused.
        for organization in self.open_organizations() {
            self.client(move |world| async move { world.change_limits(organization, Limits::Wide).await })?;
        }
        self.pass(MINUTE_MS)?;
        for organization in self.open_organizations() {
            // Nothing shows that an object was restored if D1 was restored to the same point.
            if self.oracle.borrow().tenants[organization * 2].is_listing_restored {
                self.client(move |world| async move { world.repair(organization).await })?;
            }
        }
        for tenant in self.open() {
            // A restored object finds out about it when it has a change to list.
            self.client(move |world| async move { world.save_agent(tenant, 0).await })?;
            self.client(move |world| async move { world.read(tenant, 0).await })?;
        }
        self.rest()?;
        self.check_closed()?;
        for tenant in self.open() {
            self.client(move |world| async move { world.read_usage(tenant).await })?;
            self.client(move |world| async move { world.read_receipts(tenant).await })?;
            let open = self.oracle.borrow().open_receipts(tenant);
            ensure!(open.is_empty(), "erasures of tenant {tenant} are never completed: {open:?}");
            self.client(move |world| async move { world.check_lists(tenant).await })?;
            self.client(move |world| async move { world.check_copies(tenant).await })?;
        }
        self.check_idleness()?;
        self.check_stores()?;
        if self.plan.focus != Focus::Nearby {
            return Ok(());
        }
        for tenant in self.open() {
            self.client(move |world| async move { world.check_nearby(tenant).await })?;
        }
        self.check_end_of_copies()
    }

    async fn check_lists(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        self.check_listing(tenant).await?;
        self.list_agents(tenant).await?;
        self.list_principals(tenant, false).await?;
        self.list_relationships(tenant, None, None).await
    }

    fn open(&self) -> Vec<usize> {
        (0..TENANTS).filter(|tenant| !self.oracle.borrow().is_closing(*tenant)).collect()
    }

    fn open_organizations(&self) -> Vec<usize> {
        self.open().into_iter().filter(|tenant| tenant.is_multiple_of(2)).map(|tenant| tenant / 2).collect()
    }

    /// An organization whose deletion was requested is gone from every store.
    fn check_closed(self: &Rc<Self>) -> Result<(), Violation> {
        if self.tenancies.borrow()[2].closed_by.is_none() {
            return Ok(());
        }
        self.client(|world| async move {
            let is_closed = world.is_closed(1).await?;
            ensure!(is_closed, "the deletion of an organization is never completed");
            Ok(())
        })?;
        self.tally("organizations deleted");
        self.pass(SPREAD_MS + MINUTE_MS)?;
        for number in [2, 3] {
            let own = self.tenant_of(number).to_string();
            let rows = "SELECT count(*) FROM end_users WHERE tenant = ?1 UNION ALL
                        SELECT count(*) FROM agent_users WHERE tenant = ?1";
            let rows = format!("{:?}", self.listing.rows(rows, &[own.as_str().into()])?);
            ensure!(!rows.contains(|digit: char| ('1'..='9').contains(&digit)), "D1 holds rows of {own}: {rows}");
            let held = self.kv.borrow().held(self.time.now_ms()).any(|(key, _)| key.starts_with(&own));
            ensure!(!held, "KV holds keys of {own}");
            let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'closing%'";
            let tables = format!("{:?}", self.places[number].storage.rows(tables, &[])?);
            ensure!(tables.contains("(0)"), "object {number} holds tables, and is closed: {tables}");
        }
        Ok(())
    }

    /// Runs a client to its end.
    fn client<F: Future<Output = Result<(), Violation>> + 'static>(
        self: &Rc<Self>,
        work: impl FnOnce(Rc<Self>) -> F,
    ) -> Result<(), Violation> {
        let (world, work) = (Rc::clone(self), work(Rc::clone(self)));
        self.time.spawn(Owner::Client, async move {
            let checked = work.await;
            world.report(checked);
        });
        self.settle_clients()
    }

    fn rest(self: &Rc<Self>) -> Result<(), Violation> {
        for _ in 0..QUIET_MS / TICK_MS {
            self.tick();
            self.pass(TICK_MS)?;
        }
        Ok(())
    }

    /// The list is what strong reads say.
    async fn check_listing(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        for by_creation in [false, true] {
            let listed = self.walk(tenant, by_creation, false, 3).await?;
            let Some(listed) = listed else { return Err(Violation("no list when all is well".to_owned())) };
            for (user, (_, path)) in PEOPLE.iter().enumerate() {
                let request = self.api(tenant, "GET", &format!("/v1/end-users/{path}"));
                let Some(answer) = self.ask(request).await else { return Err(Violation("no answer".to_owned())) };
                let records: Vec<&str> =
                    listed.iter().filter(|(other, _)| *other == user).map(|(_, state)| state.as_str()).collect();
                let state = state_of(&answer.json());
                let is_right = match (answer.status, records.as_slice()) {
                    (200, [record]) => *record == state,
                    (404, []) => true,
                    _ => false,
                };
                ensure!(
                    is_right,
                    "user {user} of tenant {tenant} is read as {} {state}, and listed as {records:?}",
                    answer.status
                );
            }
        }
        Ok(())
    }

    /// Without a cause no alarm comes, but the one for the next audit is set.
    fn check_idleness(self: &Rc<Self>) -> Result<(), Violation> {
        let before: Vec<u64> = self.places.iter().map(|place| place.alarms.get()).collect();
        self.rest()?;
        for (number, (place, before)) in self.places.iter().zip(before).enumerate() {
            let alarms = place.alarms.get() - before;
            ensure!(alarms <= IDLE_ALARMS_MAX, "object {number}: {alarms} alarms without a cause");
            if self.oracle.borrow().is_closing(number) {
                continue;
            }
            let until_ms = self.object_now(number).millis() + 25 * HOUR_MS;
            let is_set = place.alarm_at_ms().is_some_and(|at_ms| at_ms <= until_ms);
            ensure!(is_set, "object {number} has no next alarm: {:?}", place.alarm_at_ms());
        }
        Ok(())
    }

    /// No store holds a text of another tenant, or of whoever was erased: neither in a row nor in a free page.
    fn check_stores(self: &Rc<Self>) -> Result<(), Violation> {
        self.pass(SPREAD_MS + MINUTE_MS)?;
        let oracle = self.oracle.borrow();
        // The platform deletes the file of a closed object, which the simulation does not.
        for number in self.open() {
            for (tenant, text) in texts_in(&self.bytes_of(Some(number))?) {
                ensure!(tenant == number, "object {number} holds a text of tenant {tenant}");
                ensure!(!oracle.is_erased(tenant, text), "object {number} holds bytes of text {text}, which is erased");
            }
        }
        for (tenant, text) in texts_in(&self.bytes_of(None)?) {
            ensure!(
                !oracle.is_erased(tenant, text),
                "D1 holds bytes of text {text} of tenant {tenant}, which is erased"
            );
        }
        for (key, value) in self.kv.borrow().held(self.time.now_ms()) {
            for (tenant, text) in texts_in(value.as_bytes()) {
                let own = self.tenant_of(tenant).to_string();
                ensure!(key.starts_with(&own), "KV holds a text of tenant {tenant} under {key}");
                // A restored object may not know of a copy under a lost epoch, which ends within a day.
                let is_known = oracle.is_erased(tenant, text) && !oracle.was_restored(tenant);
                ensure!(!is_known, "KV holds text {text}, which is erased");
            }
        }
        let rows = "SELECT tenant, document FROM end_users UNION ALL SELECT tenant, entry FROM agent_users";
        for row in self.listing.rows(rows, &[])? {
            let row = format!("{row:?}");
            for (tenant, _) in texts_in(row.as_bytes()) {
                let own = self.tenant_of(tenant).to_string();
                ensure!(row.contains(&own), "D1 holds a text of tenant {tenant} in {row}");
            }
        }
        Ok(())
    }
}
