//! Makes a failing history short: removes steps, many at once and then fewer, as long as it still fails (Zeller and
//! Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).

use std::fmt::Write as _;

use super::steps::{Plan, Step};

/// Removes steps while the rest fails.
pub fn shrink(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut size = steps.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut has_shrunk = false;
        while start < steps.len() {
            let end = (start + size).min(steps.len());
            let rest: Vec<Step> = steps[..start].iter().chain(&steps[end..]).cloned().collect();
            if fails(&rest) {
                steps = rest;
                has_shrunk = true;
            } else {
                start = end;
            }
        }
        if size == 1 && !has_shrunk {
            break;
        }
        size = if size == 1 { 1 } else { size / 2 };
    }
    steps
}

/// The history in words.
pub fn describe(plan: &Plan, steps: &[Step]) -> String {
    let mut text = format!("{plan:?}\n{} steps:", steps.len());
    for (number, step) in steps.iter().enumerate() {
        let _ = write!(text, "\n{:>4}. {step}", number + 1);
    }
    text
}

#[test]
fn the_steps_that_matter_are_left() {
    let (_, steps) = super::steps::history(7);
    let steps: Vec<Step> = steps
        .into_iter()
        .cycle()
        .take(100)
        .enumerate()
        .map(|(number, step)| Step { pause_ms: i64::try_from(number).expect("few"), ..step })
        .collect();
    let fails = |steps: &[Step]| [17, 18, 90].iter().all(|wanted| steps.iter().any(|step| step.pause_ms == *wanted));
    let left: Vec<i64> = shrink(steps, fails).iter().map(|step| step.pause_ms).collect();
    assert_eq!(left, [17, 18, 90]);
}
