//! The catalog: names, heads, leases, segment states, in SQLite.
//!
//! One connection writes, in `BEGIN IMMEDIATE` transactions; who waits for it shares a commit
//! with others ([`writer`]). A few others read. All SQL of a table is in the module of that table, in the
//! dialect that SQLite and PostgreSQL share (`docs/adr/0002-catalog-sqlite.md`);
//! the exceptions are here and in `migrate`.
//!
//! # Architecture invariant
//! "It does not exist" is an answer of a query that succeeded. A row that cannot
//! be read is an error, so that nothing is ever made in place of what is there.

pub(crate) mod archive;
pub(crate) mod audit;
pub(crate) mod blocks;
pub(crate) mod check;
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
pub(crate) mod quota;
mod row;
pub(crate) mod scrub;
pub(crate) mod seal;
pub(crate) mod segment;
pub(crate) mod snapshot;
pub(crate) mod snapshot_file;
pub(crate) mod state;
pub(crate) mod upload;
mod verify;
pub(crate) mod volume;
mod writer;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::time::Duration;

use archipelago_env::{Disk, Mode};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, Params, TransactionBehavior};

pub(crate) use error::CatalogError;
use row::Fields;
use writer::Writer;

/// Idle connections for reading that are kept: as many as there are short verbs at once and as
/// many again for transfers that begin; more are opened when needed, which costs more than most
/// reads do. One that was used holds some 100 KiB, up to 2 MiB after long listings.
const READERS_IDLE_MAX: usize = 32;

/// How long SQLite waits for a lock. Only another process can hold one for
/// longer than a transaction lasts, as a backup of the catalog does.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept by each connection: more than there are in all.
const STATEMENTS_MAX: usize = 192;

/// The write-ahead log of SQLite is cut back to this when it has grown past it
/// (a thousand clones at once), in bytes.
const WAL_BYTES_KEPT: u64 = 16 << 20;

/// SQLite's log is written again in pieces of this, in bytes.
const COPY_BYTES: usize = 1 << 20;

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
    file: CatalogFile,
    writer: Writer,
    readers: Mutex<Readers>,
}

/// Where the catalog is, as SQLite wants to know it.
struct CatalogFile {
    path: PathBuf,
    /// What keeps the file; `None` for the operating system.
    vfs: Option<String>,
}

/// Connections for reading that nobody uses now.
#[derive(Default)]
struct Readers {
    idle: Vec<Connection>,
    closed: bool,
}

/// A transaction under way.
pub(crate) struct Tx<'a> {
    connection: &'a Connection,
    changes: u64,
}

impl Catalog {
    /// Opens the catalog, brings its schema up to date, and founds it when it is empty.
    pub fn open(
        disk: &dyn Disk,
        path: &Path,
        founding: &Founding<'_>,
    ) -> Result<Self, CatalogError> {
        let file = CatalogFile::new(disk, path);
        let mut writer = file.connect(OpenFlags::SQLITE_OPEN_CREATE)?;
        migrate::run(&mut writer, founding.now_ms)?;
        // What is to be taken back of one of those who share a commit: no file for that.
        writer.pragma_update(None, "temp_store", "MEMORY")?;
        let catalog = Self { file, writer: Writer::new(writer), readers: Mutex::default() };
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

    /// Whether the file at `path` holds no catalog yet: it is missing or empty.
    pub fn is_blank(disk: &dyn Disk, path: &Path) -> Result<bool, CatalogError> {
        match disk.open(path, Mode::Read).and_then(|file| file.len()) {
            Ok(0) => {}
            Ok(_) => {
                let connection = CatalogFile::new(disk, path).connect(OpenFlags::empty())?;
                return migrate::version(&connection).map(|version| version == 0);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(CatalogError::File { path: path.to_owned(), source: error }),
        }
        Ok(true)
    }

    /// Writes SQLite's logs again as they read now, and makes them durable. To be
    /// called before anything else looks at the catalog.
    ///
    /// A commit whose sync failed may be in the system's cache and not on the disk. A
    /// process that starts then reads it there, takes it for committed and appends to
    /// it; without this, a power cut would take that commit and all behind it.
    pub fn settle(disk: &dyn Disk, path: &Path) -> Result<(), CatalogError> {
        for suffix in ["-wal", "-journal"] {
            let mut log = path.as_os_str().to_owned();
            log.push(suffix);
            let log = PathBuf::from(log);
            match write_again(disk, &log) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(CatalogError::File { path: log, source }),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Runs `body` in a transaction that sees one state of the catalog and changes nothing.
    pub fn read<T, E: From<CatalogError>>(
        &self,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = match self.idle_reader()? {
            Some(connection) => connection,
            None => self.file.connect(OpenFlags::empty())?,
        };
        // First: what is committed meanwhile may be seen or not.
        let changes = self.changes();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(CatalogError::from)?;
        let result = body(&Tx { connection: &transaction, changes });
        let ended = transaction.rollback();
        // A connection that could not end its transaction is not used again.
        if ended.is_ok() {
            let mut readers = self.readers.lock();
            if readers.idle.len() < READERS_IDLE_MAX && !readers.closed {
                readers.idle.push(connection);
            }
        }
        result
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

    /// Runs a statement; gives the number of rows that it changed. Parameters are taken in
    /// the order in which they *appear*, whatever their numbers: SQLite knows `$2` as a name.
    fn execute(&self, sql: &str, params: impl Params) -> Result<usize, CatalogError> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
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
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        match rows.next()? {
            Some(row) => decode(&mut Fields::new(table, row)).map(Some),
            None => Ok(None),
        }
    }

    /// All rows.
    fn all<T>(
        &self,
        table: &'static str,
        sql: &str,
        params: impl Params,
        mut decode: impl FnMut(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(decode(&mut Fields::new(table, row))?);
        }
        Ok(out)
    }
}

impl CatalogFile {
    fn new(disk: &dyn Disk, path: &Path) -> Self {
        Self { path: path.to_owned(), vfs: disk.sqlite_vfs() }
    }

    fn connect(&self, extra: OpenFlags) -> Result<Connection, CatalogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
        let connection = match &self.vfs {
            None => Connection::open_with_flags(&self.path, flags)?,
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str())?,
        };
        prepare(&connection)?;
        Ok(connection)
    }
}

fn prepare(connection: &Connection) -> Result<(), CatalogError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // FULL: a transaction is durable when its commit returns, also in WAL mode.
    for (pragma, value) in [("journal_mode", "WAL"), ("synchronous", "FULL")] {
        connection.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(no_rows)?;
    }
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection
        .pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT.cast_signed(), |_| {
            Ok(())
        })
        .or_else(no_rows)?;
    Ok(())
}

fn write_again(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let file = disk.open(path, Mode::Write)?;
    let mut piece = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        let read = file.read_at(at, &mut piece)?;
        if read == 0 {
            break;
        }
        file.write_all_at(at, &[IoSlice::new(&piece[..read])])?;
        at += read as u64;
    }
    file.sync_data()?;
    disk.sync_dir(path.parent().unwrap_or(path))
}

/// Some pragmas answer with a row when they are set, some do not.
fn no_rows(error: rusqlite::Error) -> Result<(), rusqlite::Error> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests;
