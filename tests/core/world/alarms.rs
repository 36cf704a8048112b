//! The alarm of an object while a caller's request audits it, in a world without faults.

use std::rc::Rc;

use rollcall::organization::sql::Sql;

use super::clients::admin;
use super::edge::Request;
use super::state::{Bench, HOUR_MS, SECOND_MS, World};
use super::steps::{Focus, Limits, Plan};
use super::time::Owner;
use crate::simulation::{Violation, ensure};

/// How long the edge waits for D1, until the object of the repair is called.
const EDGE_MS: i64 = 9 * SECOND_MS;

/// A world in which a repair of the first organization has just begun. The object has asked D1 where the listing stands, and
/// gets its answer `late_ms` later.
fn in_repair(late_ms: i64, then: impl Fn(&Rc<World>) -> Result<(), Violation>) {
    let (focus, limits) = (Focus::Everything, Limits::Wide);
    let plan = Plan { seed: 1, focus, locations: 1, isolates: vec![0], objects: vec![0; 4], evicts: false, limits };
    let ran = Bench::ready().within(&plan, false, |world| {
        world.provide()?;
        let id = world.tenancies.borrow()[0].organization.clone();
        let caller = Rc::clone(world);
        world.d1_late_ms.set(EDGE_MS);
        world.time.spawn(Owner::Client, async move {
            // The object goes on without its caller.
            let request = admin("POST", &format!("/{id}/repair")).json("{}".to_owned());
            drop(caller.ask(Request { hangs_up_ms: Some(EDGE_MS + 2 * SECOND_MS), ..request }).await);
        });
        // The edge asks D1 for the organization.
        world.pass(SECOND_MS)?;
        world.d1_late_ms.set(late_ms);
        world.pass(EDGE_MS)?;
        world.d1_late_ms.set(0);
        then(world)
    });
    assert!(ran.is_ok(), "{:?}", ran.err());
}

/// The request has set an alarm for five seconds later, which cannot audit now. It looks again after a second.
#[test]
fn an_alarm_waits_while_a_caller_audits() {
    in_repair(9 * SECOND_MS, |world| {
        let before = world.places[0].alarms.get();
        world.pass(8 * SECOND_MS)?;
        let alarms = world.places[0].alarms.get() - before;
        ensure!((2..=5).contains(&alarms), "{alarms} alarms in four seconds");
        Ok(())
    });
}

/// An audit runs for five seconds, and its last step for a minute at most. One that hangs holds nobody off for longer.
#[test]
fn an_audit_that_hangs_is_taken_over_after_65_seconds() {
    in_repair(HOUR_MS, |world| {
        let is_completed = || {
            let completed = "SELECT 1 FROM audit WHERE completed_at IS NOT NULL";
            world.places[0].storage.exists(completed, &[])
        };
        world.pass(62 * SECOND_MS)?;
        ensure!(!is_completed()?, "another audit has not waited");
        world.pass(8 * SECOND_MS)?;
        ensure!(is_completed()?, "no other audit has begun");
        Ok(())
    });
}
