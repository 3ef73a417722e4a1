//! The catalog: names, heads, leases, segment states, in SQLite or in PostgreSQL.
//!
//! One connection writes; who waits for it shares a commit with others ([`writer`]). A few others
//! read. All SQL of a table is in the module of that table, in the dialect that SQLite and PostgreSQL
//! share (`docs/adr/0002-catalog-sqlite.md`, `docs/adr/0027-catalog-on-postgresql.md`): parameters
//! are numbered in the order in which they first appear. What is another's in each is in
//! [`connection`], [`sqlite`], [`postgres`] and [`migrate`].
//!
//! # Architecture invariant
//! "It does not exist" is an answer of a query that succeeded. A row that cannot
//! be read is an error, so that nothing is ever made in place of what is there.

pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod blocks;
pub(crate) mod check;
mod connection;
pub(crate) mod container;
pub(crate) mod dump;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod grant;
pub(crate) mod guest_view;
pub(crate) mod identity;
pub(crate) mod image;
pub(crate) mod lease;
pub(crate) mod lifecycle;
pub(crate) mod link;
mod migrate;
pub(crate) mod part_checksums;
pub(crate) mod place;
pub(crate) mod postgres;
pub(crate) mod quota;
mod row;
pub(crate) mod scrub;
pub(crate) mod seal;
pub(crate) mod segment;
pub(crate) mod snapshot;
pub(crate) mod snapshot_file;
mod sqlite;
pub(crate) mod state;
pub(crate) mod upload;
mod value;
mod verify;
pub(crate) mod volume;
mod writer;

use std::path::Path;
use std::sync::Arc;

use archipelago_env::{Disk, Env};
use parking_lot::Mutex;

use connection::{Connection, Pen, Session};
pub(crate) use error::CatalogError;
pub(crate) use postgres::Settings;
use row::Fields;
use value::{Params, Value};
use writer::Writer;

/// Idle connections for reading that are kept: as many as there are short verbs at once and as
/// many again for transfers that begin; more are opened when needed, which costs more than most
/// reads do. One that was used holds some 100 KiB, up to 2 MiB after long listings.
const READERS_IDLE_MAX: usize = 32;

/// Prepared statements kept by each connection: more than there are in all.
const STATEMENTS_MAX: usize = 192;

/// Which database has the catalog.
#[derive(Clone, Copy)]
pub(crate) enum At<'a> {
    /// A file of SQLite.
    File(&'a dyn Disk, &'a Path),
    /// A server of PostgreSQL; and who we are, for others who ask there.
    Server(&'a Env, &'a Settings, &'a str),
}

/// What a new catalog is told about its store.
pub(crate) struct Founding<'a> {
    /// The store's uuid; an existing catalog must have the same.
    pub uuid: [u8; 16],
    /// Where segments are: the kind of the place, and its url.
    pub place: (&'a str, &'a str),
    /// The time.
    pub now_ms: u64,
}

/// The open catalog.
pub(crate) struct Catalog {
    place: Place,
    writer: Writer,
    readers: Mutex<Readers>,
}

/// Where connections lead to.
enum Place {
    File(sqlite::File),
    Server(Arc<postgres::Server>),
}

/// Connections for reading that nobody uses now.
#[derive(Default)]
struct Readers {
    idle: Vec<Connection>,
    closed: bool,
}

/// A transaction under way.
pub(crate) struct Tx<'a> {
    session: Session<'a>,
    changes: u64,
}

impl Catalog {
    /// Opens the catalog, brings its schema up to date, and founds it when it is empty.
    pub fn open(at: At<'_>, founding: &Founding<'_>) -> Result<Self, CatalogError> {
        let (place, mut pen) = match at {
            At::File(disk, path) => {
                let file = sqlite::File::new(disk, path);
                let connection = file.connect(true)?;
                (Place::File(file), Pen::Sqlite(connection))
            }
            At::Server(env, settings, holder) => {
                let server = postgres::Server::new(env, settings);
                let writing = server.take(holder)?;
                (Place::Server(server), Pen::Postgres(Box::new(writing)))
            }
        };
        migrate::run(&mut pen, founding.now_ms)?;
        if let Pen::Sqlite(connection) = &pen {
            connection.keep_savepoints_in_memory()?;
        }
        let catalog = Self { place, writer: Writer::new(pen), readers: Mutex::default() };
        catalog.write(|tx| {
            match state::uuid(tx)? {
                None => {
                    state::found(tx, &founding.uuid, founding.now_ms)?;
                    let (kind, url) = founding.place;
                    place::insert_first(tx, kind, url)?;
                }
                Some(uuid) if uuid == founding.uuid => {}
                Some(uuid) => {
                    return Err(CatalogError::Foreign { got: uuid, expected: founding.uuid });
                }
            }
            Ok::<_, CatalogError>(())
        })?;
        Ok(catalog)
    }

    /// Whether there is no catalog yet.
    pub fn is_blank(at: At<'_>) -> Result<bool, CatalogError> {
        match at {
            At::File(disk, path) => {
                if sqlite::is_empty(disk, path)? {
                    return Ok(true);
                }
                let connection = sqlite::File::new(disk, path).connect(false)?;
                migrate::version(Session::Sqlite(&connection)).map(|version| version == 0)
            }
            At::Server(env, settings, _) => Ok(postgres::Server::new(env, settings).is_blank()?),
        }
    }

    /// To be called before anything else looks at the catalog: see [`sqlite::settle`].
    pub fn settle(at: At<'_>) -> Result<(), CatalogError> {
        match at {
            At::File(disk, path) => sqlite::settle(disk, path),
            // A server settles what it has itself.
            At::Server(..) => Ok(()),
        }
    }

    /// Runs `body` in a transaction that sees one state of the catalog and changes nothing.
    pub fn read<T, E: From<CatalogError>>(
        &self,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // First: what is committed meanwhile may be seen or not.
        let changes = self.changes();
        let connection = self.begin_read()?;
        let result = body(&Tx { session: connection.session(), changes });
        let ended = connection.session().batch("ROLLBACK");
        // A connection that could not end its transaction is not used again.
        if ended.is_ok() {
            let mut readers = self.readers.lock();
            if readers.idle.len() < READERS_IDLE_MAX && !readers.closed {
                readers.idle.push(connection);
            }
        }
        result
    }

    /// A connection with a transaction that sees one state.
    fn begin_read(&self) -> Result<Connection, CatalogError> {
        if let Some(connection) = self.idle_reader()? {
            match self.begin_on(&connection) {
                // It ended while nobody used it, and so did the others.
                Err(CatalogError::Postgres(postgres::PostgresError::Away { .. })) => {
                    self.readers.lock().idle.clear();
                }
                begun => return begun.map(|()| connection),
            }
        }
        let connection = match &self.place {
            Place::File(file) => Connection::Sqlite(file.connect(false)?),
            Place::Server(server) => Connection::Postgres(Box::new(server.connect()?)),
        };
        self.begin_on(&connection)?;
        Ok(connection)
    }

    fn begin_on(&self, connection: &Connection) -> Result<(), CatalogError> {
        match (&self.place, connection) {
            (Place::Server(server), Connection::Postgres(connection)) => {
                Ok(server.begin_read(connection)?)
            }
            _ => connection.session().batch("BEGIN DEFERRED"),
        }
    }

    /// Runs `body` when nothing else may change the catalog. What it changed is durable on
    /// return, or nothing is, when it or the commit fails.
    pub fn write<T, E: From<CatalogError>>(
        &self,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.writer.transact(body, true)
    }

    /// [`Self::write`], for what no backup has or a rebuild finds in footers: tokens, states
    /// of segments, ids that are given. It is no reason for a new backup.
    pub fn write_aside<T, E: From<CatalogError>>(
        &self,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.writer.transact(body, false)
    }

    /// How many transactions have changed the catalog since it was opened.
    pub fn changes(&self) -> u64 {
        self.writer.changes()
    }

    /// How many wait for the transaction under way.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Ends the use of the file: waits for the transaction under way, refuses
    /// later ones.
    pub fn close(&self) {
        let mut readers = self.readers.lock();
        readers.closed = true;
        readers.idle.clear();
        drop(readers);
        self.writer.close();
    }

    fn idle_reader(&self) -> Result<Option<Connection>, CatalogError> {
        let mut readers = self.readers.lock();
        if readers.closed { Err(CatalogError::Closed) } else { Ok(readers.idle.pop()) }
    }
}

impl Tx<'_> {
    /// How many changes of the catalog it sees at least; one that writes sees just these.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Runs a statement; gives the number of rows that it changed.
    fn execute(&self, sql: &str, params: impl Params) -> Result<usize, CatalogError> {
        self.session.execute(sql, &params.values())
    }

    /// The same, of a row that others may refer to: then it stays, and this gives `None`.
    fn attempt(&self, sql: &str, params: impl Params) -> Result<Option<usize>, CatalogError> {
        self.session.attempt(sql, &params.values())
    }

    /// Runs any statement: for tests that spoil something.
    #[cfg(test)]
    pub(crate) fn spoil(&self, sql: &str) -> Result<(), CatalogError> {
        self.execute(sql, []).map(drop)
    }

    /// The first row, if there is one.
    fn first<T>(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
        decode: impl FnOnce(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Option<T>, CatalogError> {
        self.session.first(table, sql, &params.values(), decode)
    }

    /// All rows.
    fn all<T>(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
        decode: impl FnMut(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        self.session.all(table, sql, &params.values(), decode)
    }
}

#[cfg(test)]
mod tests;
