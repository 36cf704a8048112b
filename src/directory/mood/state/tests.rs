use super::*;
use crate::directory::mood::level::ONE;

const DAY_MS: u64 = 86_400_000;
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn after(elapsed_ms: u64) -> Timestamp {
    Timestamp::from_millis(START.millis() + i64::try_from(elapsed_ms).unwrap())
}

fn level(value: f64) -> Level {
    Level::from_f64(value).unwrap()
}

fn affect(valence: f64, arousal: f64) -> Affect {
    Affect { valence: level(valence), arousal: level(arousal), tension: None, affiliation: None }
}

fn any_level(random: &mut fastrand::Rng) -> Level {
    // The ends and the middle more often than chance would have them.
    match random.u8(..8) {
        0 => Level::MIN,
        1 => Level::MAX,
        2 => Level::ZERO,
        _ => Level::from_millionths(random.i32(-ONE..=ONE)),
    }
}

fn any_levels(random: &mut fastrand::Rng) -> Levels {
    let mut any = || any_level(random);
    Levels { valence: any(), arousal: any(), tension: any(), affiliation: any() }
}

fn any_affect(random: &mut fastrand::Rng) -> Affect {
    let levels = any_levels(random);
    Affect {
        valence: levels.valence,
        arousal: levels.arousal,
        tension: random.bool().then_some(levels.tension),
        affiliation: random.bool().then_some(levels.affiliation),
    }
}

fn any_mood(random: &mut fastrand::Rng) -> Mood {
    Mood { levels: any_levels(random), ..Mood::new(any_levels(random), START) }
}

/// From a millisecond to a century, each order of magnitude as often.
fn any_duration_ms(random: &mut fastrand::Rng) -> u64 {
    let magnitude = 10_u64.pow(random.u32(0..=12));
    random.u64(1..=magnitude * 3)
}

fn each(levels: Levels) -> [i32; 4] {
    [levels.valence, levels.arousal, levels.tension, levels.affiliation].map(Level::millionths)
}

/// Each level's distance from its baseline, with its sign.
fn distances(mood: &Mood) -> [i32; 4] {
    let (levels, baselines) = (each(mood.levels), each(mood.baselines));
    std::array::from_fn(|index| levels[index] - baselines[index])
}

fn assert_bounded(mood: &Mood) {
    for level in each(mood.levels).into_iter().chain(each(mood.baselines)) {
        assert!((-ONE..=ONE).contains(&level), "{mood:?}");
    }
}

/// Runs a property for many seeds, and names the one that fails.
fn for_seeds(property: impl Fn(&mut fastrand::Rng) + std::panic::RefUnwindSafe) {
    for seed in 0..20_000 {
        let outcome = std::panic::catch_unwind(|| property(&mut fastrand::Rng::with_seed(seed)));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn moods_survive_being_sent() {
    for_seeds(|random| {
        let mood = any_mood(random);
        let bytes = postcard::to_allocvec(&mood).unwrap();
        assert_eq!(postcard::from_bytes::<Mood>(&bytes).unwrap(), mood);
        let affect = any_affect(random);
        let bytes = postcard::to_allocvec(&affect).unwrap();
        assert_eq!(postcard::from_bytes::<Affect>(&bytes).unwrap(), affect);
    });
}

#[test]
fn golden_decay() {
    let levels = Levels { valence: level(0.8), arousal: level(-0.6), tension: level(1.0), affiliation: Level::ZERO };
    let baselines = Levels { affiliation: level(0.5), tension: level(-1.0), ..Levels::default() };
    let mood = Mood { levels, ..Mood::new(baselines, START) };
    for (elapsed_ms, expected) in [
        (1, [800_000, -600_000, 1_000_000, 0]),
        (60_000, [799_615, -599_711, 999_038, 241]),
        (DAY_MS / 2, [565_685, -424_264, 414_214, 146_447]),
        (DAY_MS, [400_000, -300_000, 0, 250_000]),
        (DAY_MS * 3 / 2, [282_843, -212_132, -292_893, 323_223]),
        (DAY_MS * 2, [200_000, -150_000, -500_000, 375_000]),
        (DAY_MS * 365, [0, 0, -1_000_000, 500_000]),
    ] {
        let decayed = mood.decayed(after(elapsed_ms), DAY_MS);
        assert_eq!(each(decayed.levels), expected, "{elapsed_ms} ms");
        assert_eq!(decayed.last_decay_at, after(elapsed_ms));
        assert_eq!(Mood { levels, last_decay_at: START, ..decayed }, mood, "nothing else changes");
    }
}

#[test]
fn golden_move() {
    let mood = Mood::new(Levels::default(), START);
    let once = mood.moved(&affect(0.8, -0.4), after(5), DAY_MS);
    assert_eq!(each(once.levels), [200_000, -100_000, 0, 0]);
    assert_eq!(once.label(), Label::Content);
    assert_eq!((once.created_at, once.updated_at), (START, after(5)));
    assert_eq!((once.last_decay_at, once.last_interaction_at), (after(5), after(5)));
    let told = Affect { tension: Some(Level::MAX), affiliation: Some(Level::MIN), ..affect(0.8, -0.4) };
    let twice = once.moved(&told, after(5 + DAY_MS), DAY_MS);
    assert_eq!(each(twice.levels), [275_000, -137_500, 250_000, -250_000], "decayed first");
}

#[test]
fn the_same_affect_again_and_again_becomes_the_mood() {
    let mut mood = Mood::new(Levels::default(), START);
    for turn in 1..=8 {
        mood = mood.moved(&affect(1.0, -1.0), after(turn), DAY_MS);
    }
    assert!(mood.levels.valence > level(0.89), "{mood:?}");
    for turn in 9..=100 {
        mood = mood.moved(&affect(1.0, -1.0), after(turn), DAY_MS);
    }
    assert!(mood.levels.valence > level(0.999_99), "{mood:?}");
}

#[test]
fn decay_is_bounded_monotone_and_never_overshoots() {
    for_seeds(|random| {
        let (mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
        let mut instants = [any_duration_ms(random), any_duration_ms(random), any_duration_ms(random)];
        instants.sort_unstable();
        let mut before = distances(&mood);
        for elapsed_ms in instants {
            let decayed = mood.decayed(after(elapsed_ms), half_life_ms);
            assert_bounded(&decayed);
            let now = distances(&decayed);
            for (before, now) in before.into_iter().zip(now) {
                assert!(now.abs() <= before.abs() && now * before.signum() >= 0, "{before} {now}");
            }
            before = now;
        }
    });
}

/// Where the factor changes least: from each millisecond to the next.
#[test]
fn decay_is_monotone_from_one_millisecond_to_the_next() {
    let mood =
        Mood { levels: Levels { valence: Level::MAX, ..Levels::default() }, ..Mood::new(Levels::default(), START) };
    for half_life_ms in [1, 1_000, DAY_MS, 36_525 * DAY_MS] {
        let mut before = ONE;
        for elapsed_ms in 0..100_000 {
            let now = mood.decayed(after(elapsed_ms), half_life_ms).levels.valence.millionths();
            assert!(now <= before);
            before = now;
        }
    }
}

#[test]
fn decay_in_two_steps_is_decay_in_one() {
    for_seeds(|random| {
        let (mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
        let (first_ms, second_ms) = (any_duration_ms(random), any_duration_ms(random));
        let end = after(first_ms + second_ms);
        let stepped = mood.decayed(after(first_ms), half_life_ms).decayed(end, half_life_ms);
        let direct = mood.decayed(end, half_life_ms);
        for (stepped, direct) in each(stepped.levels).into_iter().zip(each(direct.levels)) {
            assert!((stepped - direct).abs() <= 2, "{stepped} {direct}");
        }
        assert_eq!(Mood { levels: direct.levels, ..stepped }, direct);
    });
}

#[test]
fn no_time_is_no_change_and_much_time_is_the_baseline() {
    for_seeds(|random| {
        let (mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
        assert_eq!(mood.decayed(START, half_life_ms), mood);
        let earlier = Timestamp::from_millis(START.millis() - i64::try_from(any_duration_ms(random)).unwrap());
        assert_eq!(mood.decayed(earlier, half_life_ms), mood);
        let half_life_ms = half_life_ms.min(DAY_MS);
        assert_eq!(mood.decayed(Timestamp::from_millis(i64::MAX), half_life_ms).levels, mood.baselines);
        assert_eq!(mood.decayed(after(1_000), 0).levels, mood.baselines, "0 counts as 1 ms");
        assert_bounded(&mood.decayed(after(1), u64::MAX));
    });
}

#[test]
fn a_turn_moves_toward_its_affect_and_stays_in_bounds() {
    for_seeds(|random| {
        let (mut mood, half_life_ms) = (any_mood(random), any_duration_ms(random));
        let mut now = START;
        for _ in 0..20 {
            // Now and then the clock is set back.
            let step_ms = i64::try_from(any_duration_ms(random)).unwrap().min(1_000_000_000);
            now = Timestamp::from_millis(now.millis() + if random.u8(..4) == 0 { -step_ms } else { step_ms });
            let affect = any_affect(random);
            let decayed = mood.decayed(now, half_life_ms);
            let moved = mood.moved(&affect, now, half_life_ms);
            assert_bounded(&moved);
            let targets = [Some(affect.valence), Some(affect.arousal), affect.tension, affect.affiliation];
            for ((from, to), target) in each(decayed.levels).into_iter().zip(each(moved.levels)).zip(targets) {
                match target.map(Level::millionths) {
                    None => assert_eq!(from, to),
                    Some(target) => assert!((to - from) * 4 == (target - from) / 4 * 4, "{from} {to} {target}"),
                }
            }
            for (before, after) in [
                (mood.updated_at, moved.updated_at),
                (mood.last_decay_at, moved.last_decay_at),
                (mood.last_interaction_at, moved.last_interaction_at),
            ] {
                assert!(after >= before.max(now) || after == before, "no instant goes back");
            }
            assert_eq!((moved.baselines, moved.created_at), (mood.baselines, mood.created_at));
            mood = moved;
        }
    });
}

#[test]
fn golden_body() {
    let mood = Mood::new(Levels { affiliation: level(0.25), ..Levels::default() }, START);
    let mood = mood.moved(&affect(1.0, 0.5), after(7), DAY_MS);
    let decay = Decay { now: after(8), half_life_ms: DAY_MS };
    let agent_id = "07070707-0707-4707-8707-070707070707".parse().unwrap();
    assert_eq!(
        serde_json::to_string(&mood.body(agent_id, &UserId::new("a/b 🦀").unwrap(), decay)).unwrap(),
        "{\"agent_id\":\"07070707-0707-4707-8707-070707070707\",\"user_id\":\"a/b 🦀\",\"valence\":0.25,\"arousal\":0.125,\"tension\":0.0,\
         \"affiliation\":0.25,\"baseline_valence\":0.0,\"baseline_arousal\":0.0,\"baseline_tension\":0.0,\
         \"baseline_affiliation\":0.25,\"label\":\"excited\",\"created_at\":\"2023-11-14T22:13:20.000Z\",\
         \"updated_at\":\"2023-11-14T22:13:20.007Z\",\"last_decay_at\":\"2023-11-14T22:13:20.007Z\",\
         \"last_interaction_at\":\"2023-11-14T22:13:20.007Z\"}"
    );
}
