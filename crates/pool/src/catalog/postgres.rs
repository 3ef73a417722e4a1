//! The catalog on a server of PostgreSQL: all that knows tokio-postgres.
//!
//! A connection has a runtime of its own, which runs only while somebody waits for an answer: no
//! thread, and no hop to one, is between a verb and the server. No verb runs on an async thread.

mod error;
mod server;
mod url;
mod value;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
pub(super) use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, Statement};

use super::connection::Given;
use super::row::{Cells, Fields};
use super::value::Value;
use super::{CatalogError, STATEMENTS_MAX};

pub(crate) use error::PostgresError;
pub(super) use server::{Server, Writing};
pub(crate) use url::Settings;
pub(super) use value::{any, number, text};

/// A server that has not answered a statement by then is taken for one that is away, though its
/// host still acknowledges what is sent: longer than any statement of ours takes.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// A connection.
pub(super) struct Connection {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    statements: RefCell<HashMap<String, Statement>>,
    /// What is told of the server.
    server: String,
    /// The server is away, or something is under way whose answer nobody waits for.
    broken: Cell<bool>,
}

impl Connection {
    fn open(config: &tokio_postgres::Config, server: &str) -> Result<Self, PostgresError> {
        let away = |why: String| PostgresError::Away { server: server.to_owned(), why };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| away(error.to_string()))?;
        let connecting = async { timeout(ANSWER_MAX, config.connect(NoTls)).await };
        let (client, connection) = match runtime.block_on(connecting) {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(told(&error, server)),
            Err(_) => return Err(away("no answer".to_owned())),
        };
        // It ends with the client; what it fails with is told to whoever asks next.
        runtime.spawn(connection);
        Ok(Self {
            runtime: Some(runtime),
            client,
            statements: RefCell::default(),
            server: server.to_owned(),
            broken: Cell::new(false),
        })
    }

    /// Whether it is of no use any more.
    pub fn is_broken(&self) -> bool {
        self.broken.get() || self.client.is_closed()
    }

    /// What is told of what was under way when it ended.
    pub fn ended(&self) -> PostgresError {
        self.away("the connection ended")
    }

    fn away(&self, why: &str) -> PostgresError {
        PostgresError::Away { server: self.server.clone(), why: why.to_owned() }
    }

    fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        let Some(runtime) = &self.runtime else { return Err(self.away("closed")) };
        if self.is_broken() {
            return Err(self.ended());
        }
        match runtime.block_on(async { timeout(ANSWER_MAX, answer).await }) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let error = told(&error, &self.server);
                if matches!(error, PostgresError::Away { .. }) {
                    self.broken.set(true);
                }
                Err(error)
            }
            Err(_) => {
                // What is under way may still be done: nobody may use this any more.
                self.broken.set(true);
                Err(self.away(&format!("no answer within {} s", ANSWER_MAX.as_secs())))
            }
        }
    }

    /// Runs statements without parameters: one message, and one answer.
    pub fn batch(&self, sql: &str) -> Result<(), PostgresError> {
        self.wait(self.client.batch_execute(sql))
    }

    /// The same; gives the first column of the last row.
    fn ask(&self, sql: &str) -> Result<Option<String>, PostgresError> {
        let messages = self.wait(self.client.simple_query(sql))?;
        Ok(messages.into_iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    pub fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, PostgresError> {
        let statement = self.prepare(sql, values)?;
        let rows = self.wait(self.client.execute(&statement, &references(values)))?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, PostgresError> {
        let statement = self.prepare(sql, values)?;
        self.wait(self.client.query(&statement, &references(values)))
    }

    pub fn first<T>(
        &self,
        table: &'static str,
        sql: &str,
        values: &[Value<'_>],
        decode: impl FnOnce(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Option<T>, CatalogError> {
        let rows = self.rows(sql, values)?;
        rows.first().map(|row| decode(&mut Fields::new(table, Cells::Postgres(row)))).transpose()
    }

    pub fn all<T>(
        &self,
        table: &'static str,
        sql: &str,
        values: &[Value<'_>],
        mut decode: impl FnMut(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let rows = self.rows(sql, values)?;
        rows.iter().map(|row| decode(&mut Fields::new(table, Cells::Postgres(row)))).collect()
    }

    /// Gives all rows, as they come.
    pub fn each(
        &self,
        table: &'static str,
        sql: &str,
        take: &mut dyn FnMut(Given<'_, '_>) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let statement = self.prepare(sql, &[])?;
        let names: Vec<String> =
            statement.columns().iter().map(|column| column.name().to_owned()).collect();
        take(Given::Columns(&names))?;
        let none: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = Box::pin(self.wait(self.client.query_raw(&statement, none))?);
        while let Some(found) = self.wait(rows.try_next())? {
            take(Given::Row(&mut Fields::new(table, Cells::Postgres(&found))))?;
        }
        Ok(())
    }

    fn prepare(&self, sql: &str, values: &[Value<'_>]) -> Result<Statement, PostgresError> {
        if values.iter().any(Value::has_nul) {
            return Err(PostgresError::Nul);
        }
        if let Some(statement) = self.statements.borrow().get(sql)
            && values.iter().zip(statement.params()).all(|(value, kind)| value.fits(kind))
        {
            return Ok(statement.clone());
        }
        let kinds: Vec<Type> = values.iter().map(Value::kind).collect();
        let statement = self.wait(self.client.prepare_typed(sql, &kinds))?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Waiting would panic where the last owner is an async task. The server sees the end of
        // the connection.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn references<'v>(values: &'v [Value<'_>]) -> Vec<&'v (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// What an error of the library means.
fn told(error: &tokio_postgres::Error, server: &str) -> PostgresError {
    match error.as_db_error() {
        Some(db) if error::ends(db.code()) => {
            PostgresError::Away { server: server.to_owned(), why: db.message().to_owned() }
        }
        Some(db) => {
            let detail = db.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
            let what = format!("{}{detail}", db.message());
            PostgresError::Refused { what, code: db.code().code().to_owned() }
        }
        // The connection ended, or what came was no answer.
        None => {
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            let why = format!("{error}{}", source.unwrap_or_default());
            PostgresError::Away { server: server.to_owned(), why }
        }
    }
}

/// Runs statements behind the back of whoever has the catalog at a url.
#[cfg(test)]
pub(crate) fn behind(url: &str, sql: &str) {
    let settings = Settings::parse(url).unwrap();
    let server = Server::new(&archipelago_env::Env::real(), &settings);
    let connection = server.connect().unwrap();
    server.make_schema(&connection).unwrap();
    connection.batch(sql).unwrap();
}

#[cfg(test)]
mod tests;
