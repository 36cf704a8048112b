//! How long to leave alone what has failed.

/// The pause after so many failures in a row, in milliseconds: 1 s, 2 s, 4 s … up to the longest; none after a success.
pub fn pause_ms(failures: i64, longest_ms: i64) -> i64 {
    match u32::try_from(failures.saturating_sub(1).min(16)) {
        Ok(doublings) => 1_000_i64.saturating_mul(1_i64 << doublings).min(longest_ms),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_after_each_failure_up_to_the_longest() {
        let seconds = [(i64::MIN, 0), (-1, 0), (0, 0), (1, 1), (2, 2), (3, 4), (10, 512), (11, 900), (i64::MAX, 900)];
        for (failures, seconds) in seconds {
            assert_eq!(pause_ms(failures, 900_000), seconds * 1_000, "{failures}");
        }
    }
}
