//! From columns to values, with an error for whatever no writer puts there.

use std::fmt::Display;
use std::str::FromStr;

use archipelago_format::backup;
use archipelago_model::{Epoch, Location, SegmentId, Source, VolumeSize};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::CatalogError;
use super::{postgres, sqlite};

/// Columns that [`Fields::file_source`] reads: whose file it is (null of the first account) and its
/// container, of `container c`; the object comes behind them.
pub(super) const FILE_SOURCE: &str =
    "(SELECT name FROM account WHERE id = c.account_id AND id <> 0), c.name";

/// A row, as the database gives it.
#[derive(Clone, Copy)]
pub(super) enum Cells<'r> {
    Sqlite(&'r sqlite::Row<'r>),
    Postgres(&'r postgres::Row),
}

/// Why a column could not be read.
pub(super) enum CellError {
    /// The database failed.
    Catalog(CatalogError),
    /// It holds something else.
    What(String),
}

/// Reads the columns of a row from left to right.
pub(super) struct Fields<'r> {
    table: &'static str,
    row: Cells<'r>,
    column: usize,
}

/// A column that may be null.
trait Raw: Sized {
    fn read(row: Cells<'_>, column: usize) -> Result<Option<Self>, CellError>;
}

impl Raw for i64 {
    fn read(row: Cells<'_>, column: usize) -> Result<Option<Self>, CellError> {
        match row {
            Cells::Sqlite(row) => sqlite::number(row, column),
            Cells::Postgres(row) => postgres::number(row, column),
        }
    }
}

impl Raw for String {
    fn read(row: Cells<'_>, column: usize) -> Result<Option<Self>, CellError> {
        match row {
            Cells::Sqlite(row) => sqlite::text(row, column),
            Cells::Postgres(row) => postgres::text(row, column),
        }
    }
}

impl Raw for backup::Value {
    fn read(row: Cells<'_>, column: usize) -> Result<Option<Self>, CellError> {
        match row {
            Cells::Sqlite(row) => sqlite::any(row, column).map(Some),
            Cells::Postgres(row) => postgres::any(row, column).map(Some),
        }
    }
}

impl<'r> Fields<'r> {
    pub fn new(table: &'static str, row: Cells<'r>) -> Self {
        Self { table, row, column: 0 }
    }

    fn raw_or_null<T: Raw>(&mut self) -> Result<Option<T>, CatalogError> {
        let (table, column) = (self.table, self.column);
        self.column += 1;
        T::read(self.row, column).map_err(|error| match error {
            CellError::Catalog(error) => error,
            CellError::What(what) => CatalogError::Row { table, column, what },
        })
    }

    fn raw<T: Raw>(&mut self) -> Result<T, CatalogError> {
        let value = self.raw_or_null()?;
        let (table, column) = (self.table, self.column - 1);
        value.ok_or_else(|| CatalogError::Row { table, column, what: "it is null".to_owned() })
    }

    /// All columns that were not read yet, whatever is in them.
    pub fn rest(&mut self) -> Result<Vec<backup::Value>, CatalogError> {
        let columns = match self.row {
            Cells::Sqlite(row) => row.as_ref().column_count(),
            Cells::Postgres(row) => row.len(),
        };
        (self.column..columns).map(|_| self.raw()).collect()
    }

    fn check<T, E: Display>(&self, value: Result<T, E>) -> Result<T, CatalogError> {
        value.map_err(|error| CatalogError::Row {
            table: self.table,
            column: self.column - 1,
            what: error.to_string(),
        })
    }

    /// A file as a SOURCE: [`FILE_SOURCE`].
    pub fn file_source(&mut self) -> Result<Source, CatalogError> {
        let account: Option<String> = self.raw_or_null()?;
        let account = account.map(|name| self.check(name.parse())).transpose()?;
        let (container, object) = (self.parsed()?, self.parsed()?);
        Ok(match account {
            None => Source::File(container, object),
            Some(account) => Source::FileOf(account, container, object),
        })
    }

    /// A number that is not negative.
    pub fn number<T: TryFrom<i64>>(&mut self) -> Result<T, CatalogError>
    where
        T::Error: Display,
    {
        let value: i64 = self.raw()?;
        self.check(T::try_from(value))
    }

    /// A number that a fault may have made negative.
    pub fn signed(&mut self) -> Result<i64, CatalogError> {
        self.raw()
    }

    /// A number or null.
    pub fn number_or_null(&mut self) -> Result<Option<u64>, CatalogError> {
        let value: Option<i64> = self.raw_or_null()?;
        value.map(|value| self.check(u64::try_from(value))).transpose()
    }

    pub fn segment(&mut self) -> Result<SegmentId, CatalogError> {
        let raw = self.number()?;
        SegmentId::new(raw).ok_or_else(|| self.wrong("no segment"))
    }

    /// The column read last holds what no writer puts there.
    pub fn wrong(&self, what: &str) -> CatalogError {
        CatalogError::Row {
            table: self.table,
            column: self.column - 1,
            what: format!("'{}' is not possible", what.escape_debug()),
        }
    }

    pub fn text(&mut self) -> Result<String, CatalogError> {
        self.raw()
    }

    pub fn text_or_null(&mut self) -> Result<Option<String>, CatalogError> {
        self.raw_or_null()
    }

    /// A text of a kind that its type checks.
    pub fn parsed<T: FromStr>(&mut self) -> Result<T, CatalogError>
    where
        T::Err: Display,
    {
        let text: String = self.raw()?;
        self.check(text.parse())
    }

    pub fn uuid(&mut self) -> Result<[u8; 16], CatalogError> {
        let text: String = self.raw()?;
        let mut uuid = [0; 16];
        self.check(hex::decode_to_slice(&text, &mut uuid))?;
        Ok(uuid)
    }

    pub fn location(&mut self) -> Result<Location, CatalogError> {
        let raw: i64 = self.raw()?;
        Ok(Location::from_raw(raw.cast_unsigned()))
    }

    pub fn location_or_null(&mut self) -> Result<Option<Location>, CatalogError> {
        let raw: Option<i64> = self.raw_or_null()?;
        Ok(raw.map(|raw| Location::from_raw(raw.cast_unsigned())))
    }

    pub fn size(&mut self) -> Result<VolumeSize, CatalogError> {
        let bytes = self.number()?;
        self.check(VolumeSize::from_bytes(bytes))
    }

    /// A value that a serialized one stands for.
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, CatalogError> {
        let text: String = self.raw()?;
        self.check(serde_json::from_str(&text))
    }

    /// The same, or null.
    pub fn json_or_null<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CatalogError> {
        let text: Option<String> = self.raw_or_null()?;
        text.map(|text| self.check(serde_json::from_str(&text))).transpose()
    }

    pub fn epoch(&mut self) -> Result<Epoch, CatalogError> {
        Ok(Epoch::new(self.number()?))
    }
}

/// A value as a column, for what no query looks into.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(CatalogError::Json)
}

/// A location as a column.
pub(super) fn from_location(location: Location) -> i64 {
    location.raw().cast_signed()
}

/// A size, a time, an id or a count as a column. What we write stays far below
/// 2^63; anything else is kept as the largest number rather than as a negative one.
pub(super) fn from_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
