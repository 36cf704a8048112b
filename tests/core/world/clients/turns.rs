//! The clients that take turns, and ask how many were taken.

use std::rc::Rc;

use rollcall::directory::timestamp::Timestamp;
use serde_json::json;

use super::{AGENTS, FIRST_AGENT, KEPT_MS, KeptTurn, PEOPLE};
use crate::calendar;
use crate::simulation::{Violation, ensure};
use crate::world::edge::Answer;
use crate::world::oracle::Asked;
use crate::world::state::World;
use crate::world::steps::Turn;

/// A turn without a person.
const NOBODY: usize = 200;

impl World {
    pub async fn take_turn(self: &Rc<Self>, turn: Turn) -> Result<(), Violation> {
        let Turn { tenant, agent, user, key, hangs_up_ms, .. } = turn;
        let about = user.unwrap_or(NOBODY);
        let kept = self.kept_turn(&turn, about);
        let (asked, agent_asked) = (self.asks(tenant, about), self.asks(tenant, FIRST_AGENT + agent));
        let mut request = self.api(tenant, "POST", "/v1/respond").json(kept.body.clone());
        request.hangs_up_ms = hangs_up_ms;
        if key.is_some() {
            request = request.with("Idempotency-Key", format!("turn-{tenant}-{}", kept.text));
        }
        self.oracle.borrow_mut().asks_turn(&asked, &agent_asked, kept.text);
        let Some(answer) = self.ask(request).await else { return Ok(()) };
        let is_streamed = kept.body.contains("\"stream\":true");
        let is_answered = answer.status == 200 && (!is_streamed || answer.body.contains("event: completion"));
        if is_answered {
            self.tally("turns answered");
            self.check_repeated_turn(&asked, key, &kept, &answer)?;
            return self.hear_turn(&asked, &agent_asked, &kept, &answer);
        }
        if answer.status != 200 {
            self.oracle.borrow_mut().hears_no_turn(&asked, kept.text, &answer, key.is_some());
        }
        let is_alone = self.is_asked_once(tenant, key, &kept);
        self.hear_no_turn(&asked, &agent_asked, is_alone, &answer)
    }

    /// Whether no other request with the key was sent so far. The first one may arrive after the second.
    fn is_asked_once(&self, tenant: usize, key: Option<usize>, kept: &KeptTurn) -> bool {
        let tenancies = self.tenancies.borrow();
        let held = key.and_then(|key| tenancies[tenant].kept_turns.get(&key));
        held.is_some_and(|held| held.text == kept.text && held.times == 1)
    }

    fn hear_no_turn(&self, asked: &Asked, agent: &Asked, is_alone: bool, answer: &Answer) -> Result<(), Violation> {
        match answer.status {
            // The stream tells of a failure.
            200 => Ok(()),
            404 => self.oracle.borrow_mut().hears_absent(agent, answer),
            409 if answer.is_of_erased() => self.oracle.borrow().hears_of_erased(asked, agent),
            409 if answer.is_error("idempotency_in_flight") => {
                ensure!(!is_alone || answer.is_muddled, "the only request with a key is in flight already");
                Ok(())
            }
            409 => self.oracle.borrow_mut().hears_absent(asked, answer),
            403 if answer.is_error("relationship_limit_reached") => self.check_quota(asked, answer, true),
            429 if answer.is_error("quota_exhausted") => self.check_quota(asked, answer, false),
            429 if answer.is_error("user_quota_exhausted") => self.check_user_quota(asked, answer),
            _ => self.hear_refusal(asked, answer),
        }
    }

    /// A quota that is used up was used by somebody.
    fn check_quota(&self, asked: &Asked, answer: &Answer, is_of_relationships: bool) -> Result<(), Violation> {
        let body = answer.json();
        let details = &body["error"]["details"];
        let (used, limit) = (details["used"].as_u64(), details["limit"].as_u64());
        let period = details["resets_at"].as_str().unwrap_or_default();
        ensure!(self.has_small_limits() && used >= limit, "a quota is exhausted: {}", answer.body);
        let oracle = self.oracle.borrow();
        let (_, most) = if is_of_relationships { oracle.active(asked, period) } else { oracle.turns(asked, period) };
        ensure!(used <= Some(most), "{used:?} are used until {period}, and at most {most} were: {}", answer.body);
        Ok(())
    }

    /// Whoever has used up their turns took them, or is taking them.
    fn check_user_quota(&self, asked: &Asked, answer: &Answer) -> Result<(), Violation> {
        let body = answer.json();
        let details = &body["error"]["details"];
        let (used, limit) = (details["used"].as_u64(), details["limit"].as_u64());
        let period = details["resets_at"].as_str().unwrap_or_default();
        ensure!(self.has_small_limits() && used >= limit, "a person's quota is exhausted: {}", answer.body);
        let (_, most) = self.oracle.borrow().turns_of(asked, period);
        ensure!(used <= Some(most), "{used:?} are used until {period}, and at most {most} were: {}", answer.body);
        Ok(())
    }

    /// The answer to a turn with a key is the same each time, unless it is streamed: the events tell more at first.
    fn check_repeated_turn(
        &self,
        asked: &Asked,
        key: Option<usize>,
        kept: &KeptTurn,
        answer: &Answer,
    ) -> Result<(), Violation> {
        // An object that was restored may take the turn anew.
        if !self.oracle.borrow().is_current(asked) || kept.body.contains("\"stream\":true") {
            return Ok(());
        }
        let mut tenancies = self.tenancies.borrow_mut();
        let held = key.and_then(|key| tenancies[asked.tenant].kept_turns.get_mut(&key));
        let Some(held) = held.filter(|held| held.text == kept.text) else { return Ok(()) };
        let first = held.answer.get_or_insert_with(|| answer.body.clone());
        ensure!(*first == answer.body, "a repeated turn is answered {}, not {first}", answer.body);
        Ok(())
    }

    /// A turn with a key is asked for again with the same body.
    fn kept_turn(&self, turn: &Turn, about: usize) -> KeptTurn {
        let Turn { tenant, agent, user, key, is_streamed, .. } = *turn;
        let (now_ms, era) = (self.time.now_ms(), self.oracle.borrow().tenants[tenant].era);
        let known = key.and_then(|key| self.tenancies.borrow()[tenant].kept_turns.get(&key).cloned());
        let is_same = |kept: &KeptTurn| {
            kept.sent_ms + KEPT_MS > now_ms && kept.era == era && kept.user == about && kept.agent == agent
        };
        let mut kept = known.filter(is_same).unwrap_or_else(|| {
            let (text, mark) = self.oracle.borrow_mut().text(tenant, about);
            let affect = json!({ "valence": 0.5, "arousal": -0.25 });
            let mut body = json!({ "message": mark, "personality_id": AGENTS[agent], "affect": affect });
            if let Some(user) = user {
                body["user_id"] = PEOPLE[user].0.into();
            }
            if is_streamed {
                body["stream"] = true.into();
            }
            let body = body.to_string();
            KeptTurn { user: about, agent, text, body, sent_ms: now_ms, era, times: 0, answer: None }
        });
        kept.times += 1;
        if let Some(key) = key {
            self.oracle.borrow_mut().sends_again(tenant, kept.text);
            self.tenancies.borrow_mut()[tenant].kept_turns.insert(key, kept.clone());
        }
        kept
    }

    /// The end of the billing period that contains an instant of the object's clock.
    fn period_end(&self, tenant: usize, true_ms: i64) -> String {
        let anchor_day = self.tenancies.borrow()[tenant].anchor_day;
        let (_, end_ms) = calendar::period(anchor_day, true_ms + self.places[tenant].skew_ms.get());
        Timestamp::from_millis(end_ms).to_string()
    }

    fn hear_turn(&self, asked: &Asked, agent: &Asked, kept: &KeptTurn, answer: &Answer) -> Result<(), Violation> {
        let number = |name: &str| answer.header(name).and_then(|text| text.parse::<u64>().ok());
        for quota in [
            (number("X-Quota-Turns-Used"), number("X-Quota-Turns-Limit")),
            (number("X-Quota-Relationships-Used"), number("X-Quota-Relationships-Limit")),
        ] {
            let (used, limit) = quota;
            ensure!(used.is_some() && limit.is_some(), "a turn without its quota");
            let is_replayed = answer.header("Idempotency-Replayed").is_some();
            ensure!(is_replayed || self.limits_change() || used <= limit, "{used:?} of {limit:?} are used");
        }
        let shown = answer.header("X-Quota-Reset").unwrap_or_default();
        let (begun, over) =
            (self.period_end(asked.tenant, asked.sent.ms), self.period_end(asked.tenant, self.time.now_ms()));
        let was_set = self.places[asked.tenant].set_ms.get() >= asked.sent.ms;
        ensure!(was_set || shown == begun || shown == over, "a period ends at {shown}, not at {begun} or {over}");
        // At the turn of a month it is not known in which one the turn counts.
        let until = (!was_set && begun == over).then_some(begun);
        let mut oracle = self.oracle.borrow_mut();
        oracle.hears_texts(asked, Some(asked.user), &answer.body, false)?;
        if answer.header("Idempotency-Replayed").is_some() {
            self.tally("turns replayed");
        } else if kept.times > 1 {
            oracle.hears_first(asked, kept.text)?;
        }
        oracle.hears_turn(asked, agent, kept.text, until, answer)
    }

    /// What is counted is what was answered, and may be what was never heard of.
    pub async fn read_usage(self: &Rc<Self>, tenant: usize) -> Result<(), Violation> {
        for is_of_relationships in [false, true] {
            let asked = self.asks(tenant, NOBODY);
            let path = if is_of_relationships { "/v1/usage/active-relationships" } else { "/v1/usage/turns" };
            let Some(answer) = self.ask(self.api(tenant, "GET", path)).await else { return Ok(()) };
            if answer.status != 200 {
                self.hear_refusal(&asked, &answer)?;
                continue;
            }
            let usage = answer.json();
            let used = usage["used"].as_u64().unwrap_or_default();
            let period = usage["resets_at"].as_str().unwrap_or_default();
            self.check_usage(&asked, used, period, is_of_relationships)?;
        }
        Ok(())
    }

    /// The turns of a person are what was heard of, and with those in progress within the limit.
    pub async fn read_usage_of(self: &Rc<Self>, tenant: usize, user: usize) -> Result<(), Violation> {
        let asked = self.asks(tenant, user);
        let path = format!("/v1/end-users/{}/usage", PEOPLE[user].1);
        let Some(answer) = self.ask(self.api(tenant, "GET", &path)).await else { return Ok(()) };
        match answer.status {
            200 => {}
            404 => return self.oracle.borrow_mut().hears_absent(&asked, &answer),
            _ => return self.hear_refusal(&asked, &answer),
        }
        let usage = answer.json();
        let number = |name: &str| usage["turns"][name].as_u64();
        let (counted, reserved) = (number("used").unwrap_or_default(), number("reserved").unwrap_or_default());
        let is_within = number("limit").is_none_or(|limit| counted + reserved <= limit);
        ensure!(is_within || self.limits_change(), "more than the limit is used: {}", answer.body);
        let (least, most) = self.oracle.borrow().turns_of(&asked, usage["resets_at"].as_str().unwrap_or_default());
        ensure!((least..=most).contains(&counted), "{counted} turns are not {least} to {most}: {}", answer.body);
        ensure!(counted + reserved <= most, "{reserved} turns are in progress, of {most} with {counted}");
        if least == most && least > 0 {
            self.tally("exact counts of a person's turns");
        }
        Ok(())
    }

    /// The number of turns, or of active relationships, is what was heard of.
    pub(super) fn check_usage(
        &self,
        asked: &Asked,
        used: u64,
        period: &str,
        is_of_relationships: bool,
    ) -> Result<(), Violation> {
        let oracle = self.oracle.borrow();
        let (least, most, what) = if is_of_relationships {
            let (least, most) = oracle.active(asked, period);
            (least, most, "relationships")
        } else {
            let (least, most) = oracle.turns(asked, period);
            (least, most, "turns")
        };
        ensure!(used >= least, "{used} {what} are counted until {period}, and at least {least} were heard of");
        ensure!(used <= most, "{used} {what} are counted until {period}, and at most {most} were asked for");
        if least == most && least > 0 {
            self.tally(if is_of_relationships { "exact counts of relationships" } else { "exact counts of turns" });
        }
        Ok(())
    }
}
