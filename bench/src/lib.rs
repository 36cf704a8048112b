//! The benchmarks: the workloads, the contenders and the method.

pub mod attack;
pub mod bills;
pub mod contender;
pub mod costs;
pub mod counts;
pub mod distance;
pub mod edge;
pub mod host;
pub mod hostile;
pub mod hot;
pub mod isolate;
pub mod largest;
pub mod letters;
pub mod line;
pub mod load;
pub mod measure;
pub mod memory;
pub mod model;
pub mod options;
pub mod plot;
pub mod prices;
pub mod principals;
pub mod probes;
pub mod profile;
pub mod raw;
pub mod records;
pub mod report;
pub mod seed;
pub mod setup;
pub mod sizes;
pub mod start;
pub mod worst;

/// The object's SQL and D1's over SQLite, as in the tests of the core.
#[path = "../../tests/core/sqlite.rs"]
#[expect(clippy::missing_panics_doc, clippy::new_without_default, reason = "it is a module of the tests")]
pub mod sqlite;
