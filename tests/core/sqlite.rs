//! The object's SQL, and D1's, over SQLite on the host.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use rollcall::organization::sql::{Row, Sql, SqlError, SqlValue};
use rollcall::projection::{PARAMETER_BYTES_MAX, Rows, Statement};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, StatementStatus, ToSql, params_from_iter};

/// More than the number of distinct statements: preparing one costs several times as much as running it.
const STATEMENTS_KEPT: usize = 256;

/// The injected failure.
pub const INJECTED: &str = "injected fault";

/// Why a statement is refused that would leave text about a person in the file.
const NOT_OVERWRITTEN: &str = "text about a person is not overwritten";

/// The columns of the listing that hold text about a person, and are no part of a key.
const ABOUT_PERSONS: &[(&str, &str)] =
    &[("end_users", "display_name"), ("end_users", "metadata"), ("end_users", "document"), ("agent_users", "entry")];

/// A database in memory. A test can make it fail at a statement.
pub struct Sqlite {
    connection: RefCell<Connection>,
    /// Statements until one fails. `None` means that none fails.
    pub fail_after: Cell<Option<u32>>,
    /// The statements that ran, if a test wants to know them.
    pub recorded: RefCell<Option<BTreeSet<String>>>,
}

struct Bound<'a>(&'a SqlValue<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn sql_error(error: impl std::fmt::Display) -> SqlError {
    SqlError(error.to_string())
}

/// Refuses what D1 refuses, and the local D1 does not: a parameter that is too long.
fn check_parameters(statement: &Statement<'_>) -> Result<(), SqlError> {
    let is_too_long = |value: &SqlValue<'_>| matches!(value, SqlValue::Text(text) if text.len() > PARAMETER_BYTES_MAX);
    if statement.parameters.iter().any(is_too_long) {
        return Err(SqlError("string or blob too big".to_owned()));
    }
    Ok(())
}

impl Sqlite {
    pub fn new() -> Self {
        Self::over(Connection::open_in_memory().expect("SQLite"))
    }

    pub fn over(connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        // Otherwise SQLite prepares a statement again whenever its parameters change.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).expect("SQLite");
        Self { connection: RefCell::new(connection), fail_after: Cell::new(None), recorded: RefCell::new(None) }
    }

    /// A database with pages of 16 KiB. On small pages SQLite moves rows, and leaves copies of them (see decision 8); on
    /// these it moves none as long as they are few.
    pub fn of_large_pages() -> Self {
        let connection = Connection::open_in_memory().expect("SQLite");
        connection.pragma_update(None, "page_size", 16_384).expect("SQLite");
        Self::over(connection)
    }

    /// A database that [`Self::bytes`] has copied.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut connection = Connection::open_in_memory().expect("SQLite");
        connection.deserialize_read_exact(rusqlite::MAIN_DB, bytes, bytes.len(), false).expect("a copy");
        Self::over(connection)
    }

    /// A database with the listing's migrations. It refuses a statement that deletes or replaces text about a person which
    /// was not overwritten before.
    pub fn listing() -> Self {
        let database = Self::new();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut migrations: Vec<_> =
            std::fs::read_dir(folder).expect("the migrations").map(|entry| entry.expect("a file").path()).collect();
        migrations.sort();
        for migration in migrations {
            let statements = std::fs::read_to_string(migration).expect("a migration");
            database.connection.borrow().execute_batch(&statements).expect("a migration");
        }
        for (table, column) in ABOUT_PERSONS {
            let triggers = format!(
                "CREATE TRIGGER {table}_{column}_deleted BEFORE DELETE ON {table} WHEN trim(OLD.{column}) <> ''
                 BEGIN SELECT RAISE(ABORT, '{NOT_OVERWRITTEN}'); END;
                 CREATE TRIGGER {table}_{column}_replaced BEFORE UPDATE OF {column} ON {table}
                 WHEN trim(OLD.{column}) <> '' AND OLD.{column} <> NEW.{column}
                   AND (trim(NEW.{column}) <> '' OR octet_length(NEW.{column}) <> octet_length(OLD.{column}))
                 BEGIN SELECT RAISE(ABORT, '{NOT_OVERWRITTEN}'); END;"
            );
            database.connection.borrow().execute_batch(&triggers).expect("triggers");
        }
        database
    }

    /// Removes rows of a table, as damage does.
    pub fn lose(&self, table: &str, condition: &str) {
        for (_, column) in ABOUT_PERSONS.iter().filter(|(holder, _)| *holder == table) {
            let blank = format!("printf('%*s', octet_length({column}), '')");
            self.execute(&format!("UPDATE {table} SET {column} = {blank} WHERE {condition}"));
        }
        self.execute(&format!("DELETE FROM {table} WHERE {condition}"));
    }

    /// Runs a body in one transaction, which is rolled back when the body fails. It is a savepoint, so that it may
    /// be part of a trial.
    pub fn transaction<T>(&self, body: impl FnOnce(&Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        self.control("SAVEPOINT one")?;
        let result = body(self);
        if result.is_err() {
            self.control("ROLLBACK TO one")?;
        }
        self.control("RELEASE one")?;
        result
    }

    /// Runs a body and undoes its changes. This is much faster than opening a database and creating its tables.
    pub fn trial<T>(&self, body: impl FnOnce() -> T) -> T {
        self.control("BEGIN").expect("a trial");
        let result = body();
        self.control("ROLLBACK").expect("the end of a trial");
        result
    }

    fn control(&self, statement: &str) -> Result<(), SqlError> {
        let connection = self.connection.borrow();
        let mut prepared = connection.prepare_cached(statement).map_err(sql_error)?;
        prepared.execute([]).map(drop).map_err(sql_error)
    }

    /// Every byte of every page, free ones too.
    pub fn bytes(&self) -> Result<Vec<u8>, SqlError> {
        Ok(self.connection.borrow_mut().serialize(rusqlite::MAIN_DB).map_err(sql_error)?.to_vec())
    }

    /// Grows with every written row, even if the write is undone.
    pub fn rows_written(&self) -> u64 {
        self.connection.borrow().total_changes()
    }

    /// Does what `D1Database.batch` does: one transaction. Returns the rows changed by each statement.
    pub fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, SqlError> {
        self.transaction(|database| {
            let run = |statement: &Statement<'_>| {
                check_parameters(statement)?;
                let connection = database.connection.borrow();
                let mut prepared = connection.prepare_cached(&statement.sql).map_err(sql_error)?;
                let changed = prepared.execute(params_from_iter(statement.parameters.iter().map(Bound)));
                changed.map(|rows| rows as u64).map_err(sql_error)
            };
            statements.iter().map(run).collect()
        })
    }

    /// The column `text` of each row.
    pub fn texts(&self, statement: &Statement<'_>) -> Result<Vec<String>, SqlError> {
        check_parameters(statement)?;
        let connection = self.connection.borrow();
        let mut prepared = connection.prepare_cached(&statement.sql).map_err(sql_error)?;
        let parameters = params_from_iter(statement.parameters.iter().map(Bound));
        let rows = prepared.query_map(parameters, |row| row.get("text")).map_err(sql_error)?;
        rows.collect::<Result<_, _>>().map_err(sql_error)
    }

    /// [`Self::texts`], as D1 gives them.
    pub fn listed(&self, statement: &Statement<'_>) -> Result<Rows, SqlError> {
        Ok(Rows::new(self.texts(statement)?.into_iter().map(|text| text + "\0").collect()))
    }

    /// Steps of SQLite's virtual machine that a batch takes: a measure of work without a clock.
    pub fn steps(&self, statements: &[Statement<'_>]) -> i32 {
        let run = |statement: &Statement<'_>| {
            let connection = self.connection.borrow();
            let mut prepared = connection.prepare(&statement.sql).expect("a statement");
            prepared.execute(params_from_iter(statement.parameters.iter().map(Bound))).expect("a run");
            prepared.get_status(StatementStatus::VmStep)
        };
        statements.iter().map(run).sum()
    }

    /// SQLite's plan for a statement, which does not depend on its parameters.
    pub fn plan(&self, statement: &str) -> String {
        let connection = self.connection.borrow();
        let mut prepared = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).expect("a statement");
        let steps = prepared.raw_query().mapped(|row| row.get::<_, String>("detail"));
        steps.map(|step| step.expect("a step")).collect::<Vec<_>>().join("; ")
    }
}

impl Sqlite {
    /// Runs statements, as a script of SQL.
    pub fn execute(&self, script: &str) {
        self.connection.borrow().execute_batch(script).expect("a script");
    }

    /// All rows of a query. Injected faults do not apply to it.
    pub fn rows(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<Vec<Vec<SqlValue<'static>>>, SqlError> {
        let connection = self.connection.borrow();
        let mut prepared = connection.prepare_cached(statement).map_err(sql_error)?;
        let columns = prepared.column_count();
        let mut rows = prepared.query(params_from_iter(parameters.iter().map(Bound))).map_err(sql_error)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(sql_error)? {
            let values = (0..columns).map(|column| match row.get_ref(column).map_err(sql_error)? {
                ValueRef::Null => Ok(SqlValue::Null),
                ValueRef::Integer(number) => Ok(SqlValue::Integer(number)),
                ValueRef::Text(text) => String::from_utf8(text.to_vec()).map(SqlValue::from).map_err(sql_error),
                ValueRef::Real(_) | ValueRef::Blob(_) => Err(SqlError("neither integer nor text".to_owned())),
            });
            all.push(values.collect::<Result<_, _>>()?);
        }
        Ok(all)
    }
}

impl Sql for Sqlite {
    fn size_bytes(&self) -> Result<u64, SqlError> {
        let pragma = |name: &str| self.connection.borrow().pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count").and_then(|pages| Ok(pages - pragma("freelist_count")?));
        let bytes =
            pages.and_then(|pages| Ok(pages * pragma("page_size")?)).map_err(|error| SqlError(error.to_string()))?;
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    fn run(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<Vec<Row>, SqlError> {
        match self.fail_after.get() {
            Some(0) => return Err(SqlError(INJECTED.to_owned())),
            Some(left) => self.fail_after.set(Some(left - 1)),
            None => {}
        }
        if let Some(recorded) = &mut *self.recorded.borrow_mut() {
            recorded.insert(statement.to_owned());
        }
        Ok(self.rows(statement, parameters)?.into_iter().map(Row::new).collect())
    }
}

/// A statement that outlives what it was made of.
pub fn owned(statement: &Statement<'_>) -> Statement<'static> {
    let own = |value: &SqlValue<'_>| match value {
        SqlValue::Null => SqlValue::Null,
        SqlValue::Integer(number) => SqlValue::Integer(*number),
        SqlValue::Text(text) => SqlValue::from(text.to_string()),
    };
    Statement::new(statement.sql.clone(), statement.parameters.iter().map(own).collect::<Vec<_>>())
}
