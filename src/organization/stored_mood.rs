//! The stored form of a mood: a JSON array of the four levels and the four baselines, in millionths, and four
//! instants, in milliseconds. An agent's page holds hundreds of moods, and the shown form is three times as long.

use serde::{Deserialize, Serialize};

use super::sql::SqlError;
use crate::directory::mood::{Level, Levels, Mood};
use crate::directory::timestamp::Timestamp;

#[derive(Debug, Serialize, Deserialize)]
pub struct StoredMood([i32; 4], [i32; 4], [i64; 4]);

impl From<&Mood> for StoredMood {
    fn from(mood: &Mood) -> Self {
        let levels = |levels: &Levels| {
            [levels.valence, levels.arousal, levels.tension, levels.affiliation].map(Level::millionths)
        };
        let instants = [mood.created_at, mood.updated_at, mood.last_decay_at, mood.last_interaction_at];
        Self(levels(&mood.levels), levels(&mood.baselines), instants.map(Timestamp::millis))
    }
}

impl From<&StoredMood> for Mood {
    fn from(StoredMood(held, baselines, instants): &StoredMood) -> Self {
        let levels = |millionths: [i32; 4]| {
            let [valence, arousal, tension, affiliation] = millionths.map(Level::from_millionths);
            Levels { valence, arousal, tension, affiliation }
        };
        let [created_at, updated_at, last_decay_at, last_interaction_at] = instants.map(Timestamp::from_millis);
        Self {
            levels: levels(*held),
            baselines: levels(*baselines),
            created_at,
            updated_at,
            last_decay_at,
            last_interaction_at,
        }
    }
}

pub fn write_mood(mood: &Mood) -> Result<String, SqlError> {
    serde_json::to_string(&StoredMood::from(mood)).map_err(|error| SqlError::corrupt("mood", error))
}

pub fn read_mood(text: Option<String>) -> Result<Option<Mood>, SqlError> {
    let read = |text: String| serde_json::from_str(&text).map(|stored: StoredMood| Mood::from(&stored));
    text.map(read).transpose().map_err(|error| SqlError::corrupt("mood", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_form() {
        let levels = |first: i32| {
            let level = |step: i32| Level::from_millionths(first + step);
            Levels { valence: level(0), arousal: level(1), tension: level(2), affiliation: level(3) }
        };
        let mood = Mood {
            levels: levels(-250_000),
            baselines: levels(0),
            updated_at: Timestamp::from_millis(9),
            ..Mood::new(levels(0), Timestamp::from_millis(7))
        };
        let text = write_mood(&mood).unwrap();
        assert_eq!(text, "[[-250000,-249999,-249998,-249997],[0,1,2,3],[7,9,7,7]]");
        assert_eq!(read_mood(Some(text)), Ok(Some(mood)));
        for bad in [
            "",
            "[]",
            "[[0,0,0],[0,0,0,0],[0,0,0,0]]",
            "[[0,0,0,0.5],[0,0,0,0],[0,0,0,0]]",
            "[[0,0,0,0],[0,0,0,0],[0,0,0,0",
        ] {
            assert!(read_mood(Some(bad.to_owned())).is_err(), "{bad}");
        }
    }
}
