//! A dump of the catalog: tables of typed rows, for the day the catalog is lost.
//!
//! ```text
//! dump   = header | tables | end
//! header = magic "ARCHCATB" | version u32 | schema version u32 | store uuid 16 | made ms u64
//! table  = 1 u8 | text (its name) | columns u8 | text each
//! row    = 2 u8 | a value for each column of the last table
//! value  = 0 u8 | 1 u8, i64 | 2 u8, text                          (null, number, text)
//! text   = length u32 | UTF-8
//! end    = 3 u8 | rows u64 | BLAKE3 of all bytes before the 3, 32
//! ```
//! What follows the end is passed over: the segment that holds a dump is whole sectors.

use std::io::{self, Read, Write};

use crate::bytes::FormatError;

const WHAT: &str = "catalog backup";
const MAGIC: &[u8; 8] = b"ARCHCATB";
const VERSION: u32 = 1;
/// The longest text: far above what any column holds.
const TEXT_BYTES_MAX: u32 = 1 << 20;
/// The most columns of a table.
const COLUMNS_MAX: usize = 64;

const TABLE: u8 = 1;
const ROW: u8 = 2;
const END: u8 = 3;

/// What a dump says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackupHeader {
    /// The schema that its tables are of.
    pub schema: u32,
    /// The store.
    pub store: [u8; 16],
    /// When it was made, in ms since 1970.
    pub made_ms: u64,
}

/// A value of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// A part of a dump.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// The rows that follow are of this table.
    Table {
        /// Its name.
        name: String,
        /// The names of its columns.
        columns: Vec<String>,
    },
    /// As many values as the table has columns.
    Row(Vec<Value>),
}

/// Writes a dump.
pub struct BackupWriter<W> {
    out: W,
    hash: blake3::Hasher,
    rows: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins with the header.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, header: &BackupHeader) -> io::Result<Self> {
        let mut writer = Self { out, hash: blake3::Hasher::new(), rows: 0 };
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        writer.put(&header.schema.to_le_bytes())?;
        writer.put(&header.store)?;
        writer.put(&header.made_ms.to_le_bytes())?;
        Ok(writer)
    }

    /// Begins a table; at most 64 columns.
    ///
    /// # Errors
    /// Those of `out`; `InvalidInput` for what the format cannot say.
    pub fn table(&mut self, name: &str, columns: &[String]) -> io::Result<()> {
        let count = u8::try_from(columns.len()).ok().filter(|n| usize::from(*n) <= COLUMNS_MAX);
        let count = count.ok_or(io::ErrorKind::InvalidInput)?;
        self.put(&[TABLE])?;
        self.text(name)?;
        self.put(&[count])?;
        columns.iter().try_for_each(|column| self.text(column))
    }

    /// A row of the table begun last.
    ///
    /// # Errors
    /// As [`Self::table`].
    pub fn row(&mut self, values: &[Value]) -> io::Result<()> {
        self.put(&[ROW])?;
        for value in values {
            match value {
                Value::Null => self.put(&[0])?,
                Value::Number(number) => {
                    self.put(&[1])?;
                    self.put(&number.to_le_bytes())?;
                }
                Value::Text(text) => {
                    self.put(&[2])?;
                    self.text(text)?;
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Ends the dump.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<W> {
        let hash = self.hash.finalize();
        self.out.write_all(&[END])?;
        self.out.write_all(&self.rows.to_le_bytes())?;
        self.out.write_all(hash.as_bytes())?;
        Ok(self.out)
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        let len = u32::try_from(text.len()).ok().filter(|len| *len <= TEXT_BYTES_MAX);
        self.put(&len.ok_or(io::ErrorKind::InvalidInput)?.to_le_bytes())?;
        self.put(text.as_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}

/// Why a dump cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is not what a writer makes.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The bytes cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a dump, part by part. Nothing of it counts before the end has come.
pub struct BackupReader<R> {
    input: R,
    hash: blake3::Hasher,
    header: BackupHeader,
    columns: Option<usize>,
    rows: u64,
    ended: bool,
}

impl<R: Read> BackupReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn new(input: R) -> Result<Self, BackupError> {
        let header = BackupHeader { schema: 0, store: [0; 16], made_ms: 0 };
        let hash = blake3::Hasher::new();
        let mut reader = Self { input, hash, header, columns: None, rows: 0, ended: false };
        if reader.take::<8>()? != *MAGIC {
            return Err(FormatError::Magic { what: WHAT }.into());
        }
        let got = u32::from_le_bytes(reader.take()?);
        if got != VERSION {
            return Err(FormatError::Version { what: WHAT, got, known: VERSION }.into());
        }
        reader.header = BackupHeader {
            schema: u32::from_le_bytes(reader.take()?),
            store: reader.take()?,
            made_ms: u64::from_le_bytes(reader.take()?),
        };
        Ok(reader)
    }

    /// What it says of itself.
    pub const fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// The next part; `None` at an end that fits all that came.
    ///
    /// # Errors
    /// [`BackupError`]; then no part counts.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Part>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        let before = self.hash.clone();
        let [tag] = self.take()?;
        match (tag, self.columns) {
            (TABLE, _) => {
                let name = self.text()?;
                let [count] = self.take()?;
                if usize::from(count) > COLUMNS_MAX {
                    return Err(bad("columns"));
                }
                let columns = (0..count).map(|_| self.text()).collect::<Result<Vec<_>, _>>()?;
                self.columns = Some(columns.len());
                Ok(Some(Part::Table { name, columns }))
            }
            (ROW, Some(columns)) => {
                let values = (0..columns).map(|_| self.value()).collect::<Result<Vec<_>, _>>()?;
                self.rows += 1;
                Ok(Some(Part::Row(values)))
            }
            (END, _) => {
                let rows = u64::from_le_bytes(self.take()?);
                let hash: [u8; 32] = self.take()?;
                if rows != self.rows || hash != *before.finalize().as_bytes() {
                    return Err(bad("end"));
                }
                self.ended = true;
                Ok(None)
            }
            _ => Err(bad("part")),
        }
    }

    fn value(&mut self) -> Result<Value, BackupError> {
        match self.take::<1>()? {
            [0] => Ok(Value::Null),
            [1] => Ok(Value::Number(i64::from_le_bytes(self.take()?))),
            [2] => Ok(Value::Text(self.text()?)),
            _ => Err(bad("value")),
        }
    }

    fn text(&mut self) -> Result<String, BackupError> {
        let len = u32::from_le_bytes(self.take()?);
        if len > TEXT_BYTES_MAX {
            return Err(bad("text"));
        }
        let mut bytes = Vec::new();
        let got = self.input.by_ref().take(u64::from(len)).read_to_end(&mut bytes)?;
        if got as u64 != u64::from(len) {
            let (needed, got) = (u64::from(len), got as u64);
            return Err(FormatError::Short { what: WHAT, needed, got }.into());
        }
        self.hash.update(&bytes);
        String::from_utf8(bytes).map_err(|_| bad("text"))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }
}

fn bad(field: &'static str) -> BackupError {
    FormatError::Field { what: WHAT, field }.into()
}

#[cfg(test)]
mod tests;
