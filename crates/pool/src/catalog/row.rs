//! From columns to values, with an error for whatever no writer puts there.

use std::fmt::Display;
use std::str::FromStr;

use archipelago_model::{Epoch, Location, SegmentId, Source, VolumeSize};
use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::CatalogError;

/// Columns that [`Fields::file_source`] reads: whose file it is (null of the first account) and its
/// container, of `container c`; the object comes behind them.
pub(super) const FILE_SOURCE: &str =
    "(SELECT name FROM account WHERE id = c.account_id AND id <> 0), c.name";

/// Reads the columns of a row from left to right.
pub(super) struct Fields<'r> {
    table: &'static str,
    row: &'r Row<'r>,
    column: usize,
}

impl<'r> Fields<'r> {
    pub fn new(table: &'static str, row: &'r Row<'r>) -> Self {
        Self { table, row, column: 0 }
    }

    fn raw<T: FromSql>(&mut self) -> Result<T, CatalogError> {
        let column = self.column;
        self.column += 1;
        self.row.get(column).map_err(|error| match error {
            rusqlite::Error::SqliteFailure(..) => CatalogError::Sqlite(error),
            other => CatalogError::Row { table: self.table, column, what: other.to_string() },
        })
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
        let account: Option<String> = self.raw()?;
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
        let value: Option<i64> = self.raw()?;
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
        self.raw()
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
        let raw: Option<i64> = self.raw()?;
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
        let text: Option<String> = self.raw()?;
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
