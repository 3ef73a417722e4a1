//! Values on their way to and from PostgreSQL. Columns are BIGINT and TEXT; what is computed may be
//! of other types of number.

use archipelago_format::backup;
use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::catalog::row::CellError;
use crate::catalog::value::Value;

type Wrong = Box<dyn std::error::Error + Sync + Send>;

impl Value<'_> {
    /// Its type, said with each statement: PostgreSQL cannot tell that of `$1 IS NULL`.
    pub(super) const fn kind(&self) -> Type {
        match self {
            Self::Number(_) => Type::INT8,
            Self::Text(_) => Type::TEXT,
            Self::Null => Type::UNKNOWN,
        }
    }

    /// Whether a statement that was prepared with a parameter of this type takes it.
    pub(super) fn fits(&self, kind: &Type) -> bool {
        *self == Self::Null || self.kind() == *kind
    }

    /// PostgreSQL keeps no such text.
    pub(super) fn has_nul(&self) -> bool {
        matches!(self, Self::Text(Some(text)) if text.as_bytes().contains(&0))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Wrong> {
        match self {
            Self::Number(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Null => Ok(IsNull::Yes),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT)
    }

    to_sql_checked!();
}

/// A number of whatever type: literals are INT, sums NUMERIC, and conditions BOOL.
struct Integer(i64);

impl<'a> FromSql<'a> for Integer {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Wrong> {
        match *kind {
            Type::INT8 => i64::from_sql(kind, raw).map(Self),
            Type::INT4 => i32::from_sql(kind, raw).map(|number| Self(number.into())),
            Type::BOOL => bool::from_sql(kind, raw).map(|is| Self(is.into())),
            Type::NUMERIC => numeric(raw).map(Self).ok_or_else(|| "out of range".into()),
            _ => Err("no number".into()),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::INT4 | Type::BOOL | Type::NUMERIC)
    }
}

/// A NUMERIC that is a whole number of 64 bits: digits to the base of 10 000, the greatest first.
fn numeric(raw: &[u8]) -> Option<i64> {
    const NEGATIVE: u16 = 0x4000;
    let word = |at: usize| Some(u16::from_be_bytes(raw.get(at..at + 2)?.try_into().ok()?));
    let (digits, weight, sign) = (usize::from(word(0)?), word(2)?.cast_signed(), word(4)?);
    if !matches!(sign, 0 | NEGATIVE) {
        return None;
    }
    let mut value: i128 = 0;
    for place in 0..=weight.max(-1) {
        let at = usize::try_from(place).ok()?;
        let digit = if at < digits { word(8 + 2 * at)? } else { 0 };
        value = value.checked_mul(10_000)?.checked_add(digit.into())?;
    }
    let whole = usize::try_from(weight.max(-1) + 1).ok()?;
    if (whole..digits).any(|at| word(8 + 2 * at) != Some(0)) {
        return None;
    }
    i64::try_from(if sign == NEGATIVE { -value } else { value }).ok()
}

fn read<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<Option<T>, CellError> {
    row.try_get(column).map_err(|error| {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        CellError::What(why.unwrap_or_else(|| error.to_string()))
    })
}

pub(in crate::catalog) fn number(row: &Row, column: usize) -> Result<Option<i64>, CellError> {
    Ok(read::<Integer>(row, column)?.map(|number| number.0))
}

pub(in crate::catalog) fn text(row: &Row, column: usize) -> Result<Option<String>, CellError> {
    read(row, column)
}

/// Whatever it is, if that is what some column of ours holds.
pub(in crate::catalog) fn any(row: &Row, column: usize) -> Result<backup::Value, CellError> {
    let kind = row.columns().get(column).map(|column| column.type_().clone());
    Ok(match kind {
        Some(Type::TEXT) => text(row, column)?.map(backup::Value::Text),
        _ => number(row, column)?.map(backup::Value::Number),
    }
    .unwrap_or(backup::Value::Null))
}

#[cfg(test)]
mod tests;
