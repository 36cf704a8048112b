//! The stored form of a mood: twelve integers with a blank between two. They are the four levels and
//! the four baselines in millionths, then four instants in milliseconds.

use super::sql::SqlError;
use crate::directory::mood::{Level, Levels, Mood};
use crate::directory::timestamp::Timestamp;
use crate::json::Unreadable;

/// The most numbers that a stored text has: the two instants of an entry and the twelve of a mood.
const NUMBERS_MAX: usize = 14;

pub fn write_mood(mood: &Mood) -> String {
    let levels = |levels: &Levels| {
        [levels.valence, levels.arousal, levels.tension, levels.affiliation].map(|level| i64::from(level.millionths()))
    };
    let instants = [mood.created_at, mood.updated_at, mood.last_decay_at, mood.last_interaction_at];
    let numbers = [levels(&mood.levels), levels(&mood.baselines), instants.map(Timestamp::millis)].concat();
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}

pub fn read_mood(text: Option<String>) -> Result<Option<Mood>, SqlError> {
    let Some(text) = text else { return Ok(None) };
    let mood = read_numbers(&text).and_then(|numbers| mood_of(&numbers));
    mood.map(Some).ok_or_else(|| SqlError::corrupt("mood", Unreadable))
}

/// Reads integers with a blank between two.
pub fn read_numbers(text: &str) -> Option<Vec<i64>> {
    let mut numbers = Vec::with_capacity(NUMBERS_MAX);
    for number in text.split(' ') {
        numbers.push(number.parse().ok()?);
    }
    Some(numbers)
}

/// The mood of twelve numbers.
pub fn mood_of(numbers: &[i64]) -> Option<Mood> {
    let (held, baselines, instants) = (four(numbers, 0)?, four(numbers, 4)?, four(numbers, 8)?);
    let level = |number: i64| Level::from_millionths(i32::try_from(number).unwrap_or_default());
    let levels = |[valence, arousal, tension, affiliation]: [i64; 4]| Levels {
        valence: level(valence),
        arousal: level(arousal),
        tension: level(tension),
        affiliation: level(affiliation),
    };
    let [created_at, updated_at, last_decay_at, last_interaction_at] = instants.map(Timestamp::from_millis);
    Some(Mood {
        levels: levels(held),
        baselines: levels(baselines),
        created_at,
        updated_at,
        last_decay_at,
        last_interaction_at,
    })
}

fn four(numbers: &[i64], from: usize) -> Option<[i64; 4]> {
    numbers.get(from..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_are_written_and_nothing_else_does() {
        for numbers in [vec![0], vec![-1, 0, 1], vec![i64::MAX, i64::MIN]] {
            let texts: Vec<_> = numbers.iter().map(i64::to_string).collect();
            assert_eq!(read_numbers(&texts.join(" ")), Some(numbers));
        }
        for text in ["", " ", "1 ", " 1", "1  2", "-", "- 1", "--1", "1-2", "1.0", "x", "9223372036854775808"] {
            assert_eq!(read_numbers(text), None, "{text}");
        }
    }
}
