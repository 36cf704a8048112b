//! Reads the stores behind the API. The runtime keeps each in SQLite files below the state's folder.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::erasure::{contains, files};
use crate::wait;

/// Opens a store for reading while the runtime uses it.
fn open(file: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    database.busy_timeout(wait::LIMIT)?;
    Ok(database)
}

/// When the next alarm of any object comes, in milliseconds since the epoch.
pub fn next_alarm_ms(state: &Path) -> Option<i64> {
    let file = state.join(Store::Objects.folder()).join("metadata.sqlite");
    let database = open(&file).ok()?;
    let nanoseconds = database.query_row("SELECT min(scheduled_time) FROM _cf_ALARM", [], |row| row.get(0));
    nanoseconds.ok().flatten().map(|nanoseconds: i64| nanoseconds / 1_000_000)
}

/// The stores, by the folder in which the runtime keeps them, each with a statement that counts one tenant's users, and
/// in KV its keys.
#[derive(Debug, Clone, Copy)]
pub enum Store {
    Objects,
    D1,
    Kv,
}

impl Store {
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Objects => "v3/do/rollcall-Organization",
            Self::D1 => "v3/d1/miniflare-D1DatabaseObject",
            Self::Kv => "v3/kv/miniflare-KVNamespaceObject",
        }
    }

    /// `?1` is the tenant. An object's file holds one tenant only.
    const fn count(self) -> &'static str {
        match self {
            Self::Objects => {
                "SELECT count(*) FROM users WHERE (SELECT organization_id || '/' || mode FROM settings) = ?1"
            }
            Self::D1 => "SELECT count(*) FROM end_users WHERE tenant = ?1",
            Self::Kv => "SELECT count(*) FROM _mf_entries WHERE substr(key, 1, length(?1) + 1) = ?1 || '/'",
        }
    }

    /// The databases in which the runtime keeps this store. There are none before its first use.
    pub fn files(self, state: &Path) -> Vec<PathBuf> {
        let entries = match state.join(self.folder()).read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("{self:?}: {error}"),
        };
        let paths = entries.map(|entry| entry.expect("a file").path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "sqlite")).collect()
    }

    /// Rows of a tenant's users in this store, or keys in KV.
    pub fn users(self, state: &Path, tenant: &str) -> i64 {
        self.sum(state, self.count(), tenant)
    }

    /// The sum of a counting statement over all the files. `?1` is the tenant.
    fn sum(self, state: &Path, count: &str, tenant: &str) -> i64 {
        let count = |file: &Path| {
            let database = open(file).expect("the store");
            let counted = database.query_row(count, [tenant], |row| row.get(0));
            match counted {
                Ok(counted) => counted,
                // The runtime's own files have none of these tables.
                Err(error) if error.to_string().contains("no such table") => 0_i64,
                Err(error) => panic!("{}: {error}", file.display()),
            }
        };
        self.files(state).iter().map(|file| count(file)).sum()
    }

    /// Waits until the store has caught up.
    #[track_caller]
    pub fn assert_users_eventually(self, state: &Path, tenant: &str, expected: i64) {
        self.assert_users_within(wait::LIMIT, state, tenant, expected);
    }

    /// Waits with a longer limit, for many users.
    #[track_caller]
    pub fn assert_users_within(self, limit: Duration, state: &Path, tenant: &str, expected: i64) {
        let what = format!("{expected} users of {tenant} in {self:?}");
        wait::until_within(limit, &what, || self.users(state, tenant), |users| *users == expected);
    }
}

/// The column `text` of a query's rows in D1. `?1` is bound to the text given.
pub fn listed(state: &Path, query: &str, parameter: &str) -> BTreeSet<String> {
    texts(Store::D1, state, query, parameter)
}

/// The keys of a tenant in KV.
pub fn kv_keys(state: &Path, tenant: &str) -> BTreeSet<String> {
    let query = "SELECT key AS text FROM _mf_entries WHERE substr(key, 1, length(?1) + 1) = ?1 || '/'";
    texts(Store::Kv, state, query, tenant)
}

/// Whether a key of a tenant in KV has a value that contains a text.
pub fn has_copy_with(state: &Path, tenant: &str, text: &str) -> bool {
    let query = "SELECT blob_id AS text FROM _mf_entries WHERE substr(key, 1, length(?1) + 1) = ?1 || '/'";
    let blobs = texts(Store::Kv, state, query, tenant);
    let is_value = |path: &PathBuf| path.file_name().is_some_and(|name| blobs.contains(&*name.to_string_lossy()));
    files(&state.join("v3/kv")).iter().filter(|path| is_value(path)).any(|path| {
        // The runtime may have removed an overwritten value by now.
        contains(&std::fs::read(path).unwrap_or_default(), text)
    })
}

fn texts(store: Store, state: &Path, query: &str, parameter: &str) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for file in store.files(state) {
        let database = open(&file).expect("the store");
        match database.prepare(query) {
            Ok(mut statement) => {
                let texts = statement.query_map([parameter], |row| row.get("text")).expect("rows");
                rows.extend(texts.map(|text| text.expect("a text")));
            }
            // The runtime's own files have none of these tables.
            Err(error) if error.to_string().contains("no such table") => {}
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }
    rows
}

/// Opens the database of a tenant's object for writing while the runtime is stopped.
pub fn object_of(state: &Path, tenant: &str) -> Connection {
    let open = |file: &PathBuf| {
        let database = Connection::open(file).expect("the store");
        let named = "SELECT 1 FROM settings WHERE organization_id || '/' || mode = ?";
        let found = database.query_row(named, [tenant], |_| Ok(()));
        found.is_ok().then_some(database)
    };
    Store::Objects.files(state).iter().find_map(open).expect("the object's own file")
}

/// Changes of a tenant that the listing has not confirmed.
pub fn changes_under_way(state: &Path, tenant: &str) -> i64 {
    let count = "SELECT count(*) FROM changes WHERE (SELECT organization_id || '/' || mode FROM settings) = ?1 AND
                 sequence > (SELECT ifnull(max(sequence), 0) FROM listing_position)";
    Store::Objects.sum(state, count, tenant)
}

/// Erasures of a tenant that are not completed.
pub fn pending_erasures(state: &Path, tenant: &str) -> i64 {
    let count = "SELECT count(*) FROM deletions WHERE completed_at IS NULL
                 AND (SELECT organization_id || '/' || mode FROM settings) = ?1";
    Store::Objects.sum(state, count, tenant)
}

/// Turns that a tenant's object has reserved, expired or not.
pub fn reserved_turns(state: &Path, tenant: &str) -> i64 {
    let count = "SELECT count(*) FROM ledger WHERE state = 'reserved'
                 AND (SELECT organization_id || '/' || mode FROM settings) = ?1";
    Store::Objects.sum(state, count, tenant)
}

/// Whether any value in KV, of any tenant, contains a text. The runtime keeps each value in a file of its own.
pub fn kv_holds(state: &Path, text: &str) -> bool {
    fn any_holds(folder: &Path, text: &[u8]) -> bool {
        folder.read_dir().expect("a folder").any(|entry| {
            let path = entry.expect("a file").path();
            if path.is_dir() {
                return any_holds(&path, text);
            }
            // The runtime may have removed an overwritten value by now.
            let value = std::fs::read(&path).unwrap_or_default();
            value.windows(text.len()).any(|window| window == text)
        })
    }
    any_holds(&state.join("v3/kv"), text.as_bytes())
}
