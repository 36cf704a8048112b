//! The clients that read nearby, and those that read as much as they can.

use std::rc::Rc;

use super::PEOPLE;
use crate::simulation::{Violation, ensure};
use crate::world::state::{SECOND_MS, World};
use crate::world::time::Owner;

/// The oldest answer from nearby, in seconds.
const STALE_MAX_S: i64 = 5;
/// An isolate whose clock was set back cannot tell how old its leases are. They end within this time, in milliseconds.
const UNSURE_MS: i64 = 30 * SECOND_MS;

impl World {
    pub async fn read_nearby(
        self: &Rc<Self>,
        tenant: usize,
        user: usize,
        times: usize,
        stale_s: i64,
    ) -> Result<(), Violation> {
        // One isolate, as leases are of an isolate.
        let isolate = self.pick(self.isolates.len());
        for _ in 0..times {
            self.read_nearby_once(isolate, tenant, user, stale_s).await?;
            self.time.sleep(self.below(1_200)).await;
        }
        Ok(())
    }

    /// Returns whether the answer came from KV.
    pub async fn read_nearby_once(
        self: &Rc<Self>,
        isolate: usize,
        tenant: usize,
        user: usize,
        stale_s: i64,
    ) -> Result<bool, Violation> {
        let asked = self.asks(tenant, user);
        let request = self.api(tenant, "GET", &format!("/v1/end-users/{}", PEOPLE[user].1));
        let request = request.with("Cache-Control", format!("max-stale={stale_s}"));
        let Some(answer) = self.ask_at(isolate, request).await else { return Ok(false) };
        let now_ms = self.time.now_ms();
        let is_from_kv = answer.header("X-Rollcall-Source") == Some("edge");
        match answer.status {
            200 if is_from_kv => {
                self.tally("reads answered from KV");
                let age_s = answer.header("Age").and_then(|age| age.parse::<i64>().ok());
                let Some(age_s) = age_s.filter(|age_s| *age_s <= STALE_MAX_S.min(stale_s)) else {
                    return Err(Violation(format!("the age is {age_s:?}, and may be {stale_s} s")));
                };
                if now_ms - self.isolates[isolate].set_back_ms.get() > UNSURE_MS {
                    self.oracle.borrow_mut().hears_nearby(&asked, &answer, now_ms, age_s * 1_000)?;
                }
            }
            200 => self.oracle.borrow_mut().hears_record(&asked, &answer, &answer.json())?,
            404 => self.oracle.borrow_mut().hears_absent(&asked, &answer)?,
            _ => self.hear_refusal(&asked, &answer)?,
        }
        ensure!(answer.status == 200 || !is_from_kv, "KV answers {}", answer.status);
        Ok(is_from_kv)
    }

    /// Many reads at once, at all isolates and with all keys.
    pub fn burst(self: &Rc<Self>, tenant: usize, user: usize, times: usize, is_nearby: bool) {
        for _ in 0..times {
            let (world, wait_ms) = (Rc::clone(self), self.below(1_500));
            self.time.spawn(Owner::Client, async move {
                world.time.sleep(wait_ms).await;
                let checked = if is_nearby {
                    let isolate = world.pick(world.isolates.len());
                    world.read_nearby_once(isolate, tenant, user, STALE_MAX_S).await.map(drop)
                } else {
                    world.read(tenant, user).await
                };
                world.report(checked);
            });
        }
    }
}
