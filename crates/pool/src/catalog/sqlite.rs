//! The catalog in a file of SQLite: all that knows rusqlite.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::time::Duration;

use archipelago_env::{Disk, Mode};
use archipelago_format::backup;
pub(super) use rusqlite::Row;
use rusqlite::types::{FromSql, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{ErrorCode, OpenFlags, ffi, params_from_iter};
use thiserror::Error;

use super::connection::Given;
use super::row::{CellError, Cells, Fields};
use super::value::Value;
use super::{CatalogError, STATEMENTS_MAX};
use crate::error::ErrorKind;

/// How long SQLite waits for a lock. Only another process can hold one for
/// longer than a transaction lasts, as a backup of the catalog does.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log of SQLite is cut back to this when it has grown past it
/// (a thousand clones at once), in bytes.
const WAL_BYTES_KEPT: u64 = 16 << 20;

/// SQLite's log is written again in pieces of this, in bytes.
const COPY_BYTES: usize = 1 << 20;

/// What SQLite refused.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct SqliteError(#[from] rusqlite::Error);

impl SqliteError {
    /// Whether a row was to go that another row refers to.
    pub fn is_reference(&self) -> bool {
        self.0
            .sqlite_error()
            .is_some_and(|failure| failure.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
    }

    pub fn kind(&self) -> ErrorKind {
        let Some(failure) = self.0.sqlite_error() else {
            return ErrorKind::Internal;
        };
        match failure.code {
            ErrorCode::DiskFull => ErrorKind::NoSpace,
            // The index of the write-ahead log grows by mapping: no room for it is
            // told as an input/output error.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
                ErrorKind::NoSpace
            }
            ErrorCode::ReadOnly => ErrorKind::ReadOnly,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => ErrorKind::Damaged,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        }
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(SqliteError(error))
    }
}

/// A connection.
pub(super) struct Connection(rusqlite::Connection);

impl Connection {
    /// Runs statements without parameters.
    pub fn batch(&self, sql: &str) -> Result<(), CatalogError> {
        Ok(self.0.execute_batch(sql)?)
    }

    /// Whether no transaction is under way. After some errors SQLite takes all of it back itself.
    pub fn is_idle(&self) -> bool {
        self.0.is_autocommit()
    }

    pub fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, CatalogError> {
        let mut statement = self.prepare(sql)?;
        Ok(statement.execute(params_from_iter(values))?)
    }

    pub fn first<T>(
        &self,
        table: &'static str,
        sql: &str,
        values: &[Value<'_>],
        decode: impl FnOnce(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Option<T>, CatalogError> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        match rows.next()? {
            Some(row) => decode(&mut Fields::new(table, Cells::Sqlite(row))).map(Some),
            None => Ok(None),
        }
    }

    pub fn all<T>(
        &self,
        table: &'static str,
        sql: &str,
        values: &[Value<'_>],
        mut decode: impl FnMut(&mut Fields<'_>) -> Result<T, CatalogError>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push(decode(&mut Fields::new(table, Cells::Sqlite(row)))?);
        }
        Ok(out)
    }

    /// Gives all rows, as they come.
    pub fn each(
        &self,
        table: &'static str,
        sql: &str,
        take: &mut dyn FnMut(Given<'_, '_>) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let mut statement = self.prepare(sql)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        take(Given::Columns(&names))?;
        let mut rows = statement.query([])?;
        while let Some(found) = rows.next()? {
            take(Given::Row(&mut Fields::new(table, Cells::Sqlite(found))))?;
        }
        Ok(())
    }

    /// Parameters go by the order in which they *appear*: SQLite knows `$2` as a name.
    fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'_>, CatalogError> {
        let statement = self.0.prepare_cached(sql)?;
        #[cfg(debug_assertions)]
        for at in 1..=statement.parameter_count() {
            let name = statement.parameter_name(at).unwrap_or_default();
            debug_assert_eq!(name, format!("${at}"), "in the order of their numbers: {sql}");
        }
        Ok(statement)
    }

    /// No file for what is to be taken back of one of those who share a commit.
    pub fn keep_savepoints_in_memory(&self) -> Result<(), CatalogError> {
        Ok(self.0.pragma_update(None, "temp_store", "MEMORY")?)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Value::Number(Some(number)) => ValueRef::Integer(number),
            Value::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Value::Number(None) | Value::Text(None) | Value::Null => ValueRef::Null,
        }))
    }
}

fn read<T: FromSql>(row: &Row<'_>, column: usize) -> Result<T, CellError> {
    row.get(column).map_err(|error| match error {
        rusqlite::Error::SqliteFailure(..) => CellError::Catalog(error.into()),
        other => CellError::What(other.to_string()),
    })
}

pub(super) fn number(row: &Row<'_>, column: usize) -> Result<Option<i64>, CellError> {
    read(row, column)
}

pub(super) fn text(row: &Row<'_>, column: usize) -> Result<Option<String>, CellError> {
    read(row, column)
}

/// Whatever it is, if that is what some column of ours holds.
pub(super) fn any(row: &Row<'_>, column: usize) -> Result<backup::Value, CellError> {
    let raw = row.get_ref(column).map_err(|error| CellError::What(error.to_string()))?;
    match raw {
        ValueRef::Null => Ok(backup::Value::Null),
        ValueRef::Integer(number) => Ok(backup::Value::Number(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(backup::Value::Text(text.to_owned())),
            Err(error) => Err(CellError::What(error.to_string())),
        },
        ValueRef::Real(_) | ValueRef::Blob(_) => {
            Err(CellError::What("no number and no text".to_owned()))
        }
    }
}

/// Where the catalog is, as SQLite wants to know it.
pub(super) struct File {
    path: PathBuf,
    /// What keeps the file; `None` for the operating system.
    vfs: Option<String>,
}

impl File {
    pub fn new(disk: &dyn Disk, path: &Path) -> Self {
        Self { path: path.to_owned(), vfs: disk.sqlite_vfs() }
    }

    /// Opens it, and makes it where it is missing and `create`.
    pub fn connect(&self, create: bool) -> Result<Connection, CatalogError> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
        let connection = match &self.vfs {
            None => rusqlite::Connection::open_with_flags(&self.path, flags)?,
            Some(vfs) => {
                rusqlite::Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str())?
            }
        };
        prepare(&connection)?;
        Ok(Connection(connection))
    }
}

/// Writes SQLite's logs again as they read now, and makes them durable. To be
/// called before anything else looks at the catalog.
///
/// A commit whose sync failed may be in the system's cache and not on the disk. A
/// process that starts then reads it there, takes it for committed and appends to
/// it; without this, a power cut would take that commit and all behind it.
pub(super) fn settle(disk: &dyn Disk, path: &Path) -> Result<(), CatalogError> {
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

/// Whether there is no file, or an empty one.
pub(super) fn is_empty(disk: &dyn Disk, path: &Path) -> Result<bool, CatalogError> {
    match disk.open(path, Mode::Read).and_then(|file| file.len()) {
        Ok(bytes) => Ok(bytes == 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(source) => Err(CatalogError::File { path: path.to_owned(), source }),
    }
}

fn prepare(connection: &rusqlite::Connection) -> Result<(), CatalogError> {
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
