//! Until when a key is good. The simulation of the whole holds the same through leases.

use rollcall::directory::api_key::Scope;
use rollcall::directory::identifiers::KeyId;
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::protocol::{
    Admit, Answer, Command, Denial, IssueKey, KeyRecord, ListKeys, Outcome, Rejection, RevokeKey,
};

use crate::tenant::{Object, START_MS, digest, holder, issue, key, settings};

/// What the holder of the key with a number gets.
fn ask(object: &mut Object, number: u8) -> Outcome {
    object.send(holder(object.tenant, number, Scope::Read), None, Command::Admit(Admit)).outcome
}

fn is_refused(outcome: &Outcome, denial: &Denial) -> bool {
    matches!(outcome, Err(Rejection::Denied(found)) if found == denial)
}

#[test]
fn a_key_is_good_until_the_instant_at_which_it_expires() {
    for is_restarted in [false, true] {
        let mut object = Object::new(1, Limits::default());
        let expires_ms = START_MS + 60_000;
        let key = KeyRecord { expires_at: Some(Timestamp::from_millis(expires_ms)), ..key(2) };
        let (settings, digest) = (settings(object.tenant, Limits::default()), digest(object.tenant, 2));
        object.operator(Command::IssueKey(IssueKey { settings, digest, key })).expect("a key");
        for (now_ms, is_good) in
            [(START_MS, true), (expires_ms - 1, true), (expires_ms, false), (expires_ms + 1, false)]
        {
            object.now_ms = now_ms;
            if is_restarted {
                object.restart();
            }
            let outcome = ask(&mut object, 2);
            assert!(if is_good { outcome.is_ok() } else { is_refused(&outcome, &Denial::ExpiredKey) }, "{outcome:?}");
            assert!(ask(&mut object, 1).is_ok(), "another key has no end");
        }
    }
}

#[test]
fn a_revoked_key_is_refused_from_the_next_call_on_and_no_other_is() {
    let mut object = Object::new(1, Limits::default());
    object.operator(issue(settings(object.tenant, Limits::default()), 2)).expect("a key");
    // The object remembers both.
    assert!(ask(&mut object, 1).is_ok() && ask(&mut object, 2).is_ok());
    let revoke = |number: u8| Command::RevokeKey(RevokeKey { key_id: key(number).key_id });
    object.operator(revoke(2)).expect("an answer");
    for _ in 0..2 {
        let outcome = ask(&mut object, 2);
        assert!(is_refused(&outcome, &Denial::InvalidKey), "{outcome:?}");
        assert!(ask(&mut object, 1).is_ok());
        object.restart();
    }
    // Neither a second revocation nor the same key issued again changes that.
    object.now_ms += 1;
    object.operator(revoke(2)).expect("an answer");
    object.operator(issue(settings(object.tenant, Limits::default()), 2)).expect("an answer");
    assert!(is_refused(&ask(&mut object, 2), &Denial::InvalidKey));
    let list = Command::ListKeys(ListKeys { after: None, limit: 10 });
    let Ok(Answer::ListKeys(keys)) = object.operator(list) else { panic!("another answer") };
    let revoked: Vec<_> = keys.iter().map(|key| key.revoked_at.map(Timestamp::millis)).collect();
    assert_eq!(revoked, [None, Some(START_MS)], "when it was revoked first");
    let unknown = RevokeKey { key_id: KeyId::new(object.now(), [9; 10]) };
    assert!(matches!(object.operator(Command::RevokeKey(unknown)), Err(Rejection::NotFound(_))));
}
