//! Events in calls and replies.

use std::fmt;
use std::str::FromStr;

use super::agents::AgentView;
use super::keys::KeyRecord;
use crate::directory::end_user::EndUser;
use crate::directory::event::EventType;
use crate::directory::identifiers::{EventId, KeyId, OperatorId, RequestId};
use crate::directory::organization::Limits;
use crate::directory::quota::Component;
use crate::directory::relationship::Relationship;
use crate::directory::timestamp::Timestamp;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// A row of the change log, by its number and by its mark, which says which row has the number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    pub sequence: i64,
    pub mark: i64,
}

/// The place at which a reader of events goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPlace {
    /// The last event that the reader is past, shown or filtered out.
    pub event: LogPlace,
    /// A later row, up to which there was no event. Such rows are deleted early.
    pub beyond: Option<LogPlace>,
}

/// The form in which a cursor holds the place.
impl fmt::Display for EventPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.event.sequence, self.event.mark)?;
        match &self.beyond {
            Some(beyond) => write!(formatter, " {} {}", beyond.sequence, beyond.mark),
            None => Ok(()),
        }
    }
}

impl FromStr for EventPlace {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let refusal = || Refusal::new("must be a place among the events");
        let numbers: Result<Vec<i64>, _> = text.split(' ').map(str::parse).collect();
        match *numbers.map_err(|_| refusal())?.as_slice() {
            [sequence, mark] => Ok(Self { event: LogPlace { sequence, mark }, beyond: None }),
            [sequence, mark, later, its_mark] => Ok(Self {
                event: LogPlace { sequence, mark },
                beyond: Some(LogPlace { sequence: later, mark: its_mark }),
            }),
            _ => Err(refusal()),
        }
    }
}

/// Reads a page of events.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadEvents {
    /// `None` begins with the oldest event that is kept.
    pub after: Option<EventPlace>,
    /// Only events of these types; of all types when there is none.
    pub types: Vec<EventType>,
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum EventsRead {
    Page(EventPage),
    /// The log does not know the place.
    Expired {
        oldest: EventPlace,
    },
}

impl EventsRead {
    /// Whether a reader who waits has waited long enough.
    pub const fn has_something(&self) -> bool {
        match self {
            Self::Page(EventPage { events, has_more, .. }) => !events.is_empty() || *has_more,
            Self::Expired { .. } => true,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EventPage {
    pub events: Vec<EventRecord>,
    /// Where the reader goes on.
    pub next: EventPlace,
    /// Whether more may follow.
    pub has_more: bool,
}

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    Key(KeyId),
    /// A named operator, or the one who has `ADMIN_TOKEN`.
    Operator(Option<OperatorId>),
    /// The object itself.
    System,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventRecord {
    pub id: EventId,
    pub place: LogPlace,
    pub r#type: EventType,
    pub created_at: Timestamp,
    pub request_id: Option<RequestId>,
    pub actor: Actor,
    /// The random id of the subject, which names no person.
    pub reference: String,
    /// The subject as it is now; `None` when it is gone.
    pub subject: Option<EventSubject>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum EventSubject {
    EndUser(EndUser),
    Agent(AgentView),
    Relationship(Relationship),
    Key(KeyRecord),
    Organization {
        limits: Limits,
        version: i64,
    },
    /// A quota of the billing period of the event.
    Quota {
        component: Component,
        used: u64,
        limit: u64,
        period_start: Timestamp,
        resets_at: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_its_text() {
        let (event, beyond) = (LogPlace { sequence: 7, mark: 1 << 47 }, LogPlace { sequence: 300, mark: 0 });
        for place in [EventPlace { event, beyond: None }, EventPlace { event, beyond: Some(beyond) }] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        assert_eq!(EventPlace { event, beyond: Some(beyond) }.to_string(), "7 140737488355328 300 0");
        for bad in ["", "7", "7 1 2", "7 1 2 3 4", "a b", "7  1"] {
            assert!(bad.parse::<EventPlace>().is_err(), "{bad}");
        }
    }
}
