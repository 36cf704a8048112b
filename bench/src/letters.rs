//! Kinds of texts: each takes another way through the readers and writers of JSON, or another width in memory.

use serde::{Deserialize, Serialize};

/// What a text consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Letters {
    Plain,
    /// `\"`, which grows each time that a text is put into another one.
    Quotes,
    /// `\u0001`, six bytes for one.
    Control,
    /// Four bytes in UTF-8, two units in JavaScript.
    Astral,
    /// Two bytes in UTF-8, one in JavaScript.
    Accents,
    /// An array of numbers of one digit.
    Digits,
    /// Many short members.
    Members,
}

impl Letters {
    pub const ALL: [Self; 7] =
        [Self::Quotes, Self::Control, Self::Astral, Self::Accents, Self::Digits, Self::Members, Self::Plain];
    /// Kinds that a name can have.
    pub const OF_NAMES: [Self; 3] = [Self::Quotes, Self::Control, Self::Astral];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Quotes => "quotes",
            Self::Control => "control characters",
            Self::Astral => "astral",
            Self::Accents => "accents",
            Self::Digits => "digits",
            Self::Members => "members",
        }
    }

    /// The kind of a name that comes next to this one.
    #[must_use]
    pub const fn of_name(self) -> Self {
        match self {
            Self::Quotes | Self::Digits | Self::Plain => Self::Quotes,
            Self::Control | Self::Members => Self::Control,
            Self::Astral | Self::Accents => Self::Astral,
        }
    }

    /// A character that a name may have. Names have no control characters.
    pub const fn character(self) -> char {
        match self {
            Self::Plain | Self::Members => 'a',
            Self::Quotes => '"',
            Self::Control => '\\',
            Self::Astral => '🦀',
            Self::Accents => 'é',
            Self::Digits => '1',
        }
    }

    /// A text that begins so and has 255 characters.
    pub fn filled(self, begin: &str) -> String {
        let left = 255_usize.saturating_sub(begin.chars().count());
        begin.chars().chain(std::iter::repeat_n(self.character(), left)).collect()
    }

    /// A text of this many characters.
    pub fn characters(self, count: usize) -> String {
        std::iter::repeat_n(self.character(), count).collect()
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Plain | Self::Digits | Self::Members => "a",
            Self::Quotes => "\\\"",
            Self::Control => "\\u0001",
            Self::Astral => "🦀",
            Self::Accents => "é",
        }
    }

    /// A JSON string of at most this many bytes.
    pub fn string(self, bytes: usize) -> String {
        format!("\"{}\"", self.unit().repeat(bytes.saturating_sub(2) / self.unit().len()))
    }

    /// A JSON object of at most this many bytes.
    pub fn object(self, bytes: usize) -> String {
        let room = bytes.saturating_sub(8);
        match self {
            Self::Digits => format!("{{\"a\":[{}1]}}", "1,".repeat(room.saturating_sub(1) / 2)),
            Self::Members => {
                let members: Vec<String> = (0..room / 9).map(|number| format!("\"{number:04x}\":1")).collect();
                format!("{{{}}}", members.join(","))
            }
            Self::Plain | Self::Quotes | Self::Control | Self::Astral | Self::Accents => {
                format!("{{\"a\":{}}}", self.string(room))
            }
        }
    }
}
