//! Connections to whichever database has the catalog.

use std::sync::Arc;

use super::row::Fields;
use super::value::Value;
use super::writer::Outcome;
use super::{CatalogError, postgres, sqlite};

/// A connection.
pub(super) enum Connection {
    Sqlite(sqlite::Connection),
    Postgres(Box<postgres::Connection>),
}

/// The same, of who only looks at it.
#[derive(Clone, Copy)]
pub(super) enum Session<'a> {
    Sqlite(&'a sqlite::Connection),
    Postgres(&'a postgres::Connection),
}

/// What [`Session::each`] gives: the names of the columns, and then one row after the other.
pub(super) enum Given<'g, 'r> {
    Columns(&'g [String]),
    Row(&'g mut Fields<'r>),
}

impl Connection {
    pub fn session(&self) -> Session<'_> {
        match self {
            Self::Sqlite(connection) => Session::Sqlite(connection),
            Self::Postgres(connection) => Session::Postgres(connection),
        }
    }
}

impl Session<'_> {
    pub fn batch(self, sql: &str) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.batch(sql),
            Self::Postgres(connection) => Ok(connection.batch(sql)?),
        }
    }

    pub fn execute(self, sql: &str, values: &[Value<'_>]) -> Result<usize, CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.execute(sql, values),
            Self::Postgres(connection) => Ok(connection.execute(sql, values)?),
        }
    }

    /// Runs a statement that may meet a reference: then nothing of it is done, and the transaction
    /// goes on. Gives the rows that it changed, `None` where it met one.
    pub fn attempt(self, sql: &str, values: &[Value<'_>]) -> Result<Option<usize>, CatalogError> {
        let Self::Postgres(connection) = self else {
            return unless_reference(self.execute(sql, values));
        };
        // An error takes the whole transaction with it, unless there is something to go back to.
        connection.batch("SAVEPOINT attempt")?;
        let done = unless_reference(self.execute(sql, values))?;
        connection.batch(match done {
            Some(_) => "RELEASE attempt",
            None => "ROLLBACK TO attempt; RELEASE attempt",
        })?;
        Ok(done)
    }

    pub fn first<T>(
        self,
        table: &'static str,
        sql: &str,
        values: &[Value<'_>],
        decode: impl FnOnce(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Option<T>, CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.first(table, sql, values, decode),
            Self::Postgres(connection) => connection.first(table, sql, values, decode),
        }
    }

    pub fn all<T>(
        self,
        table: &'static str,
        sql: &str,
        values: &[Value<'_>],
        decode: impl FnMut(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.all(table, sql, values, decode),
            Self::Postgres(connection) => connection.all(table, sql, values, decode),
        }
    }

    /// Gives all rows, as they come.
    pub fn each(
        self,
        table: &'static str,
        sql: &str,
        take: &mut dyn FnMut(Given<'_, '_>) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.each(table, sql, take),
            Self::Postgres(connection) => connection.each(table, sql, take),
        }
    }

    /// Has references looked at when the transaction commits, and not before.
    pub fn defer_references(self) -> Result<(), CatalogError> {
        self.batch(match self {
            Self::Sqlite(_) => "PRAGMA defer_foreign_keys = ON",
            Self::Postgres(_) => "SET CONSTRAINTS ALL DEFERRED",
        })
    }

    /// A member of an object in a column with JSON, as SQL; null where there is none.
    pub fn member(self, column: &str, name: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("json_extract({column}, '$.\"{name}\"')"),
            Self::Postgres(_) => format!("CAST({column} AS JSON) ->> '{name}'"),
        }
    }
}

fn unless_reference(done: Result<usize, CatalogError>) -> Result<Option<usize>, CatalogError> {
    match done {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.is_reference() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The connection that writes, of a transaction that others may share.
pub(super) enum Pen {
    Sqlite(sqlite::Connection),
    Postgres(Box<postgres::Writing>),
}

impl Pen {
    pub fn session(&self) -> Session<'_> {
        match self {
            Self::Sqlite(connection) => Session::Sqlite(connection),
            Self::Postgres(writing) => Session::Postgres(writing.connection()),
        }
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Result<(), CatalogError> {
        match self {
            Self::Sqlite(connection) => connection.batch("BEGIN IMMEDIATE"),
            Self::Postgres(writing) => Ok(writing.begin()?),
        }
    }

    /// Whether the database has taken back all that was under way by itself.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Sqlite(connection) => connection.is_idle(),
            Self::Postgres(writing) => writing.is_over(),
        }
    }

    /// Ends the transaction, and says what became of it.
    pub fn commit(&mut self) -> Outcome {
        match self {
            Self::Sqlite(connection) if connection.is_idle() => Outcome::TakenBack,
            Self::Sqlite(connection) => match connection.batch("COMMIT") {
                Ok(()) => Outcome::Committed,
                Err(error) => Outcome::Failed(Arc::new(error)),
            },
            Self::Postgres(writing) => writing.commit(),
        }
    }

    /// Takes back all that is under way.
    pub fn rollback(&self) -> Result<(), CatalogError> {
        match self {
            _ if self.is_over() => Ok(()),
            Self::Sqlite(connection) => connection.batch("ROLLBACK"),
            Self::Postgres(writing) => Ok(writing.rollback()?),
        }
    }
}
