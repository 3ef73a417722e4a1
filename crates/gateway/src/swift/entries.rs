//! The JSON of a list of entries, of which no more is held than is allowed to be: what a request has
//! in eight megabytes would take seventeen times as much as a tree of values.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Fields of an entry that are held; one more shows that there are too many.
const FIELDS_MAX: usize = 16;

/// The first entries of a list, one more than `max` at most. Values that are no texts, numbers,
/// truths or nothing are empty lists in the place of what they were.
pub(super) fn read(json: &[u8], max: usize) -> Result<Vec<Value>, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let list = reader.deserialize_seq(List { max })?;
    reader.end().map(|()| list)
}

struct List {
    max: usize,
}

impl<'de> Visitor<'de> for List {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while list.len() <= self.max {
            match all.next_element_seed(Flat { is_entry: true })? {
                Some(entry) => list.push(entry),
                None => return Ok(list),
            }
        }
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(list)
    }
}

/// An entry, or a field of one.
struct Flat {
    is_entry: bool,
}

impl<'de> DeserializeSeed<'de> for Flat {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Flat {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        while all.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while self.is_entry && fields.len() < FIELDS_MAX {
            let Some(name) = all.next_key::<String>()? else { return Ok(fields.into()) };
            fields.insert(name, all.next_value_seed(Self { is_entry: false })?);
        }
        while all.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(if self.is_entry { fields.into() } else { Value::Array(Vec::new()) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_as_it_came_but_for_what_is_in_its_fields() {
        let list =
            json!([{"a": "x", "b": 1, "c": null, "d": true, "e": [1], "f": {"g": 1}}, 5, "t"]);
        let flat = json!([{"a": "x", "b": 1, "c": null, "d": true, "e": [], "f": []}, 5, "t"]);
        assert_eq!(Value::Array(read(list.to_string().as_bytes(), 9).unwrap()), flat);
    }

    #[test]
    fn one_entry_more_than_allowed_is_held_and_no_other() {
        assert_eq!(read(b"[1,2,3,4,5]", 2).unwrap().len(), 3);
        assert!(read(b"[1,2,3,4,]", 2).is_err() && read(b"[1] 2", 2).is_err());
        assert!(read(b"{}", 2).is_err() && read(b"[1,2,3,4", 2).is_err());
    }

    #[test]
    fn of_an_entry_no_more_fields_are_held_than_show_that_there_are_too_many() {
        let fields: Map<String, Value> = (0..100).map(|n| (n.to_string(), 1.into())).collect();
        let list = json!([fields]).to_string();
        let read = read(list.as_bytes(), 2).unwrap();
        assert_eq!(read[0].as_object().unwrap().len(), FIELDS_MAX);
    }
}
