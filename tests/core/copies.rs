//! The rules by which users are copied to KV, one by one. The simulation of the whole holds them together.

use rollcall::directory::api_key::Scope;
use rollcall::directory::deletion::Cascade;
use rollcall::directory::end_user::Version;
use rollcall::directory::epoch::Epoch;
use rollcall::directory::identifiers::DeletionId;
use rollcall::directory::metadata::Metadata;
use rollcall::directory::names::UserId;
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::copies::{BACKOFF_MAX_MS, COPIED_MS, Copy, LISTED_MAX, Outage, REWRITE_MS, SPREAD_MS};
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    Command, DeleteEndUser, EdgeCall, EndUserChange, Lease, NewEndUser, ReadEndUser, Reply, Settings, StartAudit,
    UpdateEndUser,
};
use rollcall::organization::sql::{Row, Sql, SqlError};
use rollcall::projection::cache;

use crate::position;
use crate::sqlite::Sqlite;
use crate::tenant::{self, Object, START_MS};

/// Most users of a tenant who are copied.
const COPIES_MAX: i64 = 10_000;
/// Most users whom readers missed once, and whom the object remembers.
const MISSES_MAX: usize = 10_000;

struct World {
    object: Object,
}

fn id(text: &str) -> UserId {
    UserId::new(text).expect("an id")
}

impl World {
    fn new() -> Self {
        Self { object: Object::new(1, tenant::wide()) }
    }

    /// A world with a user who is copied, and whose copy KV shows everywhere.
    fn with_copy(user_id: &UserId) -> Self {
        let mut world = Self::new();
        world.create(user_id);
        world.miss(user_id);
        world.miss(user_id);
        assert_eq!(world.write(), [user_id.digest()]);
        world.pass(SPREAD_MS);
        world
    }

    fn now(&self) -> Timestamp {
        self.object.now()
    }

    fn pass(&mut self, millis: i64) {
        self.object.now_ms += millis;
    }

    fn transact<T>(
        &mut self,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite, Timestamp) -> Result<T, SqlError>,
    ) -> T {
        self.object.transact(body)
    }

    fn operator(&mut self, command: Command) {
        self.object.operator(command).expect("an answer");
    }

    fn create(&mut self, user_id: &UserId) {
        let new = NewEndUser { user_id: user_id.clone(), display_name: None, metadata: Metadata::default() };
        self.operator(Command::CreateEndUser(new));
    }

    /// Changes a user, and returns the new version.
    fn update(&mut self, user_id: &UserId) -> Version {
        let metadata = Metadata::from_stored(format!("{{\"n\":{}}}", self.object.random.u64(..))).expect("JSON");
        let change = EndUserChange::Replace { display_name: None, metadata: Some(metadata) };
        self.operator(Command::UpdateEndUser(UpdateEndUser { user_id: user_id.clone(), change, if_match: None }));
        Version::of_sequence(self.object.core.last_sequence().expect("a sequence"))
    }

    fn erase(&mut self, user_id: &UserId) -> Version {
        let deletion_id = DeletionId::new(self.now(), self.object.bytes());
        self.operator(Command::DeleteEndUser(DeleteEndUser {
            user_id: user_id.clone(),
            deletion_id,
            cascade: Cascade::All,
            reason: None,
            if_match: None,
        }));
        Version::of_sequence(self.object.core.last_sequence().expect("a sequence"))
    }

    fn read(&mut self, user_id: &UserId, edge: EdgeCall) -> Reply {
        let caller = self.object.holder(Scope::Read);
        self.object.send(caller, Some(edge), Command::ReadEndUser(ReadEndUser { user_id: user_id.clone() }))
    }

    /// A reader at the edge finds no copy of a user.
    fn miss(&mut self, user_id: &UserId) {
        self.read(user_id, EdgeCall { missed: Some(user_id.clone()), used: None });
    }

    /// What an edge gets that asks for a lease.
    fn lease(&mut self) -> Option<Lease> {
        self.read(&id("anybody"), EdgeCall { missed: None, used: Some(0) }).lease
    }

    /// The users whom a lease names.
    fn listed(&mut self) -> Vec<(String, Version)> {
        self.object.core.listing_is_ours();
        self.lease().expect("a lease").changed
    }

    /// The listing confirms every change. KV follows it.
    fn list(&mut self) {
        let last = self.object.core.last_sequence().expect("a sequence");
        self.transact(|core, sql, now| core.acknowledge(sql, position(last), now));
    }

    fn due(&mut self) -> Vec<Copy> {
        self.list();
        self.transact(OrganizationCore::due_copies)
    }

    fn confirm(&mut self, copies: &[Copy], began_ms: i64) -> Option<Outage> {
        let began_at = Timestamp::from_millis(began_ms);
        self.transact(|core, sql, now| core.confirm_copies(sql, copies, began_at, now))
    }

    fn fail(&mut self, copies: &[Copy]) -> Option<Outage> {
        self.transact(|core, sql, now| core.fail_copies(sql, copies, now))
    }

    /// Writes what is due now, and KV confirms it at once. Returns of whom.
    fn write(&mut self) -> Vec<String> {
        let copies = self.due();
        self.confirm(&copies, self.object.now_ms);
        copies.into_iter().map(|copy| copy.digest).collect()
    }

    fn due_in_ms(&mut self) -> Option<i64> {
        self.list();
        self.object.core.copies_due_at().map(|at| at.millis() - self.object.now_ms)
    }

    fn restart(&mut self) {
        self.object.restart();
    }

    fn rows(&self) -> i64 {
        self.object.storage.find("SELECT count(*) FROM copies", &[], Row::integer).expect("a count").expect("a row")
    }

    /// Copies so many more users, who are none, all of them changed or none.
    fn fill(&mut self, count: i64, are_listed: bool) {
        let listed_until = if are_listed { i64::MAX >> 10 } else { 0 };
        self.object.storage.execute(&format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             INSERT INTO copies (epoch, digest, user, version, sequence, due_at, written_at, settles_at, is_sent,
               listed_until, ends_at)
             SELECT 0, 'd' || n, -n, 1, 0, NULL, 0, 0, 0, {listed_until}, {} FROM n",
            self.object.now_ms + COPIED_MS
        ));
        self.restart();
    }
}

#[test]
fn a_user_is_copied_at_the_second_miss_and_not_at_the_first() {
    let (mut world, ada, bob) = (World::new(), id("ada"), id("bob"));
    world.create(&ada);
    world.create(&bob);
    world.miss(&ada);
    world.miss(&bob);
    assert_eq!((world.due_in_ms(), world.rows()), (None, 0));
    world.miss(&ada);
    assert_eq!(world.due_in_ms(), Some(0));
    let copies = world.due();
    assert_eq!(copies.len(), 1, "ada alone");
    let user = copies[0].user.as_ref().expect("a user");
    assert_eq!((&user.user.user_id, user.user.version), (&ada, copies[0].version));
    assert_eq!(copies[0].ends_at, Timestamp::from_millis(world.object.now_ms + COPIED_MS));
    world.confirm(&copies, world.object.now_ms);
    // Readers far away find nothing for a while. The copy is not begun again.
    for _ in 0..4 {
        world.miss(&ada);
    }
    assert_eq!((world.due_in_ms(), world.rows()), (None, 1));
    assert_eq!(world.listed(), [], "there is no older copy");
}

/// A restored object can hold a copy for written that it has removed in the future that it lost.
#[test]
fn a_copy_that_kv_has_lost_is_written_again() {
    let user = id("ada");
    let mut world = World::with_copy(&user);
    world.miss(&user);
    assert_eq!(world.write(), [""; 0], "once may be chance");
    world.miss(&user);
    assert_eq!(world.write(), [user.digest()]);
    world.pass(SPREAD_MS - 1);
    world.miss(&user);
    world.miss(&user);
    assert_eq!(world.write(), [""; 0], "KV may not show it yet");
    world.pass(1);
    world.miss(&user);
    world.miss(&user);
    assert_eq!(world.write(), [user.digest()]);
}

#[test]
fn nobody_is_copied_who_is_not_there_or_is_being_erased() {
    let (mut world, ada) = (World::new(), id("ada"));
    for _ in 0..4 {
        world.miss(&id("nobody"));
    }
    world.create(&ada);
    world.miss(&ada);
    world.erase(&ada);
    for _ in 0..4 {
        world.miss(&ada);
    }
    assert_eq!((world.due_in_ms(), world.rows()), (None, 0));
}

#[test]
fn a_tenant_copies_a_bounded_number_of_users() {
    for (others, is_copied) in [(COPIES_MAX - 1, true), (COPIES_MAX, false)] {
        let (mut world, ada) = (World::new(), id("ada"));
        world.create(&ada);
        world.fill(others, false);
        for _ in 0..4 {
            world.miss(&ada);
        }
        assert_eq!(world.rows(), COPIES_MAX);
        assert_eq!(world.due().len(), usize::from(is_copied), "beside {others} others");
    }
}

/// The object forgets all misses when it has as many as it may remember. Then a user has to be missed twice again.
#[test]
fn an_object_remembers_a_bounded_number_of_misses() {
    for (others, is_copied) in [(MISSES_MAX - 1, true), (MISSES_MAX, false)] {
        let (mut world, ada) = (World::new(), id("ada"));
        world.create(&ada);
        world.miss(&ada);
        for other in 0..others {
            world.miss(&id(&format!("nobody {other}")));
        }
        world.miss(&ada);
        assert_eq!(world.rows(), i64::from(is_copied), "after {others} others");
    }
}

/// An operator who forbids reads at the edge has nobody copied.
#[test]
fn nobody_is_copied_and_no_lease_given_where_reads_at_the_edge_are_off() {
    let (mut world, ada) = (World::new(), id("ada"));
    world.create(&ada);
    let settings = tenant::settings(world.object.tenant, tenant::wide());
    let limits = Limits { edge_stale_s: 0, ..settings.limits };
    world.operator(Command::Configure(Settings { version: 2, limits, ..settings }));
    world.object.core.listing_is_ours();
    for _ in 0..4 {
        world.miss(&ada);
    }
    assert_eq!((world.rows(), world.lease()), (0, None));
}

#[test]
fn no_copy_is_written_twice_within_a_minute() {
    let ada = id("ada");
    let mut world = World::with_copy(&ada);
    let mut writes: Vec<(i64, Version)> = Vec::new();
    for _ in 0..3_600 {
        world.pass(1_000);
        let version = world.update(&ada);
        let copies = world.due();
        if let Some(copy) = copies.first() {
            assert_eq!((copies.len(), copy.version), (1, version), "the latest state");
            writes.push((world.object.now_ms, copy.version));
            world.confirm(&copies, world.object.now_ms);
        }
    }
    let shortest = writes.windows(2).map(|pair| pair[1].0 - pair[0].0).min();
    assert_eq!((shortest, writes.len()), (Some(REWRITE_MS), 60), "one a minute, and no fewer");
    // A failed write counts as one too: it may have arrived.
    world.pass(REWRITE_MS);
    world.update(&ada);
    let copies = world.due();
    world.fail(&copies);
    assert_eq!(world.due_in_ms(), Some(REWRITE_MS));
}

#[test]
fn a_changed_user_is_listed_until_five_minutes_after_kv_confirmed_the_change() {
    let (ada, bob) = (id("ada"), id("bob"));
    let mut world = World::with_copy(&ada);
    world.create(&bob);
    world.update(&bob);
    assert_eq!(world.listed(), [], "bob is not copied");
    let changed = world.update(&ada);
    assert_eq!(world.listed(), [(ada.digest(), changed)], "from the commit on");
    // KV takes ten minutes for the write, and ada changes meanwhile.
    let (copies, began_ms) = (world.due(), world.object.now_ms);
    world.pass(2 * SPREAD_MS);
    let again = world.update(&ada);
    world.confirm(&copies, began_ms);
    world.pass(2 * SPREAD_MS);
    assert_eq!(world.listed(), [(ada.digest(), again)], "what KV confirmed is older");
    // What counts is the confirmation of the last change, not when its write began.
    let (copies, began_ms) = (world.due(), world.object.now_ms);
    world.pass(60_000);
    world.confirm(&copies, began_ms);
    world.pass(SPREAD_MS - 1);
    assert_eq!(world.listed(), [(ada.digest(), again)]);
    world.pass(1);
    assert_eq!(world.listed(), []);
}

/// An erased person is listed beyond their purge, and a new user under the id too.
#[test]
fn an_erased_user_is_listed_as_long_as_a_changed_one() {
    let ada = id("ada");
    let mut world = World::with_copy(&ada);
    let erased = world.erase(&ada);
    assert_eq!(world.listed(), [(ada.digest(), erased)]);
    let copies = world.due();
    assert_eq!(copies.iter().map(|copy| &copy.user).collect::<Vec<_>>(), [&None], "a tombstone");
    world.confirm(&copies, world.object.now_ms);
    world.list();
    world.transact(OrganizationCore::purge);
    world.create(&ada);
    let made = Version::of_sequence(world.object.core.last_sequence().expect("a sequence"));
    world.miss(&ada);
    world.miss(&ada);
    assert_eq!(world.listed(), [(ada.digest(), made)], "KV may show the erased user");
    world.pass(REWRITE_MS);
    assert_eq!(world.write(), [ada.digest()]);
    world.pass(SPREAD_MS - 1);
    assert_eq!(world.listed(), [(ada.digest(), made)]);
    world.pass(1);
    assert_eq!(world.listed(), []);
}

#[test]
fn a_lease_names_a_bounded_number_of_users() {
    let most = i64::try_from(LISTED_MAX).expect("a few");
    for (changed, is_given) in [(most, true), (most + 1, false)] {
        let mut world = World::new();
        world.fill(changed, true);
        world.object.core.listing_is_ours();
        let lease = world.lease();
        assert_eq!(lease.is_some(), is_given, "{changed} have changed");
        assert!(lease.is_none_or(|lease| lease.changed.len() == LISTED_MAX));
    }
}

/// A write that KV did not answer may arrive over the one that replaced it.
#[test]
fn a_confirmation_does_not_count_while_an_earlier_write_may_arrive() {
    let ada = id("ada");
    let mut world = World::with_copy(&ada);
    let changed = world.update(&ada);
    let copies = world.due();
    world.fail(&copies);
    let settles_ms = world.object.now_ms + SPREAD_MS;
    // Confirmed in time, or begun in time and confirmed later: neither counts.
    for (begins_ms, takes_ms) in [(settles_ms - 200_000, 0), (settles_ms - 1, 10)] {
        world.object.now_ms = begins_ms;
        let copies = world.due();
        world.object.now_ms += takes_ms;
        // The second is not due any more, as the first was confirmed. The flush may have been under way since.
        let copies = if copies.is_empty() { copies_of(&world, changed) } else { copies };
        world.confirm(&copies, begins_ms);
        let again_ms = settles_ms.max(begins_ms + REWRITE_MS);
        assert_eq!(world.due_in_ms(), Some(again_ms - world.object.now_ms), "it is written once more");
        assert_eq!(world.listed(), [(ada.digest(), changed)]);
    }
    world.object.now_ms = settles_ms + SPREAD_MS;
    assert_eq!(world.listed(), [(ada.digest(), changed)], "nothing has counted yet");
    assert_eq!(world.write(), [ada.digest()]);
    assert_eq!(world.due_in_ms(), None);
    world.pass(SPREAD_MS);
    assert_eq!(world.listed(), []);
}

/// The copy that a flush holds which began before.
fn copies_of(world: &World, version: Version) -> Vec<Copy> {
    let mut other = OrganizationCore::default();
    let late = Timestamp::from_millis(world.object.now_ms + SPREAD_MS);
    let copies = world
        .object
        .storage
        .trial(|| world.object.storage.transaction(|sql| other.due_copies(sql, late)).expect("the copies"));
    assert_eq!(copies.iter().map(|copy| copy.version).collect::<Vec<_>>(), [version]);
    copies
}

#[test]
fn after_a_restart_an_unconfirmed_write_counts_as_unanswered() {
    let (ada, bob) = (id("ada"), id("bob"));
    let mut world = World::with_copy(&ada);
    world.create(&bob);
    world.miss(&bob);
    world.miss(&bob);
    assert_eq!(world.write(), [bob.digest()]);
    let changed = world.update(&ada);
    // The flush has taken the copy, and may have sent it.
    assert_eq!(world.due().len(), 1);
    world.restart();
    let settles_ms = world.object.now_ms + SPREAD_MS;
    assert_eq!(world.write(), [ada.digest()], "bob's was confirmed");
    assert_eq!(world.due_in_ms(), Some(settles_ms - world.object.now_ms));
    world.object.now_ms = settles_ms;
    assert_eq!(world.listed(), [(ada.digest(), changed)]);
    assert_eq!(world.write(), [ada.digest()]);
    world.pass(SPREAD_MS);
    assert_eq!((world.listed(), world.due_in_ms()), (Vec::new(), None));
}

/// The misses are only remembered. The copies are stored.
#[test]
fn a_restart_forgets_misses_and_no_copies() {
    let (ada, bob) = (id("ada"), id("bob"));
    let mut world = World::with_copy(&ada);
    world.create(&bob);
    world.miss(&bob);
    world.restart();
    world.miss(&bob);
    assert_eq!(world.rows(), 1);
    let changed = world.update(&ada);
    world.restart();
    assert_eq!(world.listed(), [(ada.digest(), changed)]);
    assert_eq!(world.write(), [ada.digest()]);
}

/// An object that starts knows neither whether it was restored, nor where its listing stands.
#[test]
fn there_is_no_lease_before_the_listing_was_looked_at() {
    let (mut world, ada) = (World::new(), id("ada"));
    world.create(&ada);
    assert!(world.object.core.wants_listing_checked());
    assert_eq!(world.lease(), None);
    world.transact(|core, sql, now| core.acknowledge(sql, position(1), now));
    assert!(!world.object.core.wants_listing_checked());
    assert!(world.lease().is_some(), "a confirmed batch says so too");
    world.restart();
    // Half of the bucket counts as out after a start, and then as used.
    world.pass(20_000);
    assert_eq!(world.lease(), None);
    world.object.core.listing_is_ours();
    assert!(world.lease().is_some());
}

#[test]
fn a_copy_ends_after_a_day_and_its_row_five_minutes_later() {
    let ada = id("ada");
    let mut world = World::with_copy(&ada);
    let ends_ms = START_MS + COPIED_MS;
    // It is written for the last time two minutes before.
    world.object.now_ms = ends_ms - 120_000;
    let changed = world.update(&ada);
    let copies = world.due();
    assert_eq!(copies.len(), 1);
    let put = cache::put(world.object.tenant, &copies[0], world.now()).expect("a put");
    assert_eq!(put.expires_at, Timestamp::from_millis(ends_ms));
    world.pass(1);
    assert_eq!((world.due(), world.due_in_ms()), (Vec::new(), None), "and the alarm does not come for it");
    // KV may show it for some minutes more.
    for now_ms in [ends_ms, ends_ms + SPREAD_MS - 1] {
        world.object.now_ms = now_ms;
        assert_eq!(world.transact(OrganizationCore::sweep), Some(Timestamp::from_millis(ends_ms + SPREAD_MS)));
        assert_eq!(world.listed(), [(ada.digest(), changed)]);
    }
    world.pass(1);
    world.transact(OrganizationCore::sweep);
    assert_eq!((world.rows(), world.listed()), (0, Vec::new()));
    world.miss(&ada);
    world.miss(&ada);
    assert_eq!((world.write(), world.rows()), (vec![ada.digest()], 1));
    assert_eq!(world.listed(), [], "there is no former copy");
}

/// A reader asks again while KV may show a copy that has ended.
#[test]
fn a_copy_that_follows_another_is_listed() {
    let ada = id("ada");
    let mut world = World::with_copy(&ada);
    let made = world.object.create(&ada).version;
    world.object.now_ms = START_MS + COPIED_MS - 1;
    world.miss(&ada);
    world.miss(&ada);
    assert_eq!(world.due_in_ms(), None, "the copy has not ended");
    world.pass(1);
    world.miss(&ada);
    world.miss(&ada);
    assert_eq!((world.write(), world.rows()), (vec![ada.digest()], 1));
    world.pass(SPREAD_MS - 1);
    world.transact(OrganizationCore::sweep);
    // The user has not changed since.
    assert_eq!(world.listed(), [(ada.digest(), made)]);
    world.pass(1);
    assert_eq!((world.listed(), world.rows()), (Vec::new(), 1), "the new copy lasts for a day of its own");
}

/// Whoever restores an object or its listing has copies in KV of which the object does not know.
#[test]
fn a_new_epoch_begins_with_no_copies() {
    let (ada, bob) = (id("ada"), id("bob"));
    let mut world = World::with_copy(&ada);
    world.create(&bob);
    world.miss(&bob);
    world.object.core.listing_is_ours();
    let before = world.lease().expect("a lease").epoch;
    let changed = world.update(&ada);
    let under_way = world.due();
    let settings = tenant::settings(world.object.tenant, tenant::wide());
    world.operator(Command::StartAudit(StartAudit { settings, is_repair: true }));
    let lease = world.lease().expect("a lease");
    assert_ne!(lease.epoch, before);
    assert_eq!(lease.changed, [], "nobody reads the former copies");
    // A flush that was under way has written into the former epoch. That is to be removed as well.
    world.confirm(&under_way, world.object.now_ms);
    world.pass(2_000);
    let copies = world.due();
    assert_eq!(copies.iter().map(|copy| (copy.epoch, &copy.user)).collect::<Vec<_>>(), [(before, &None)]);
    world.confirm(&copies, world.object.now_ms);
    assert_eq!(world.due_in_ms(), None);
    // Misses of before do not count.
    world.miss(&bob);
    world.miss(&ada);
    assert_eq!(world.due(), []);
    world.miss(&ada);
    let copies = world.due();
    assert_eq!(copies.iter().map(|copy| (copy.epoch, copy.version)).collect::<Vec<_>>(), [(lease.epoch, changed)]);
    world.confirm(&copies, world.object.now_ms);
    assert_eq!(world.rows(), 2);
    world.pass(SPREAD_MS);
    world.transact(OrganizationCore::sweep);
    assert_eq!(world.rows(), 1, "the former row has gone");
}

/// A call that is repeated begins no second epoch, and takes nobody from the list.
#[test]
fn an_epoch_begins_once() {
    let ada = id("ada");
    let mut world = World::with_copy(&ada);
    let epoch = Epoch::of_number(7);
    world.transact(|core, sql, now| core.diverge(sql, epoch, now).map(drop));
    world.write();
    world.miss(&ada);
    world.miss(&ada);
    world.write();
    world.pass(SPREAD_MS);
    let changed = world.update(&ada);
    world.transact(|core, sql, now| core.diverge(sql, epoch, now).map(drop));
    assert_eq!(world.listed(), [(ada.digest(), changed)], "KV shows the older copy");
    assert_eq!(world.lease().map(|lease| lease.epoch), Some(epoch));
}

/// KV is left alone for longer after each failure, and the log has one line where an outage begins and one where it ends.
#[test]
fn kv_is_left_alone_while_it_fails() {
    let (ada, bob) = (id("ada"), id("bob"));
    let mut world = World::with_copy(&ada);
    world.update(&ada);
    let (mut pauses, mut outages) = (Vec::new(), Vec::new());
    for failure in 0..14 {
        if failure == 5 {
            world.create(&bob);
            world.miss(&bob);
            world.miss(&bob);
        }
        if failure == 7 {
            // An outage goes on through a restart.
            world.restart();
        }
        let copies = world.due();
        assert!(!copies.is_empty());
        outages.extend(world.fail(&copies).map(|outage| (failure, outage)));
        pauses.push(world.due_in_ms().expect("it is tried again"));
        let wait_ms = pauses[failure];
        world.pass(wait_ms - 1);
        assert_eq!(world.due(), [], "not before");
        world.pass(1);
    }
    // A copy waits for a minute at least.
    let expected = [60, 60, 60, 60, 60, 60, 64, 128, 256, 512, 900, 900, 900, 900].map(|seconds| seconds * 1_000);
    assert_eq!(pauses, expected);
    assert_eq!(pauses.last(), Some(&BACKOFF_MAX_MS));
    assert_eq!(outages, [(0, Outage::Begins)]);
    let copies = world.due();
    assert_eq!(copies.len(), 2);
    assert_eq!(world.confirm(&copies, world.object.now_ms), Some(Outage::Ends));
    assert_eq!(world.confirm(&[], world.object.now_ms), None, "once");
    world.pass(SPREAD_MS);
    let copies = world.due();
    assert_eq!(world.fail(&copies), Some(Outage::Begins), "the next one");
}

/// A new copy does not call KV while it is left alone.
#[test]
fn nothing_new_is_written_while_kv_is_left_alone() {
    let (ada, bob) = (id("ada"), id("bob"));
    let mut world = World::with_copy(&ada);
    for _ in 0..11 {
        world.fail(&[]);
    }
    world.create(&bob);
    world.miss(&bob);
    world.miss(&bob);
    assert_eq!((world.due(), world.due_in_ms()), (Vec::new(), Some(BACKOFF_MAX_MS)));
    world.restart();
    assert_eq!((world.due(), world.due_in_ms()), (Vec::new(), Some(BACKOFF_MAX_MS)));
}
