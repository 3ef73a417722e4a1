//! Pages of listings, as lines, JSON and XML.

use archipelago_pool::{Object, PAGE_BYTES_MAX, Step, Walk};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value};

use super::ask::Ask;
use crate::swift::answer::{self, Refusal, set};
use crate::swift::listing::escape;

/// Entries of a listing, and how many come when nobody says.
pub(super) const LISTING_MAX: usize = 10_000;

/// How something is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Text,
    Json,
    Xml,
}

impl Format {
    /// By `format` in the query, else by `Accept`.
    pub(super) fn of(ask: &Ask) -> Result<Self, Refusal> {
        match ask.param("format").map(str::to_ascii_lowercase).as_deref() {
            Some("json") => return Ok(Self::Json),
            Some("xml") => return Ok(Self::Xml),
            Some("text") => return Ok(Self::Text),
            _ => {}
        }
        let accept = ask.header("accept").unwrap_or_default();
        let mut kinds = accept.split(',').map(|item| item.split(';').next().unwrap_or_default());
        Ok(kinds
            .find_map(|kind| match kind.trim() {
                "application/json" => Some(Self::Json),
                "application/xml" | "text/xml" => Some(Self::Xml),
                _ => None,
            })
            .unwrap_or(Self::Text))
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=UTF-8",
            Self::Json => "application/json; charset=UTF-8",
            Self::Xml => "application/xml; charset=UTF-8",
        }
    }
}

/// An entry: what it is, its name, and what is known of it.
pub(super) struct Row {
    pub element: &'static str,
    pub name: String,
    pub fields: Map<String, Value>,
}

impl Row {
    fn xml(&self) -> String {
        if self.element == "subdir" {
            return format!("<subdir name=\"{}\"/>", escape(&self.name));
        }
        let mut out = format!("<{}>", self.element);
        self.fields.iter().for_each(|(name, value)| field(&mut out, name, value));
        out + &format!("</{}>", self.element)
    }
}

fn field(out: &mut String, name: &str, value: &Value) {
    let text = match value {
        Value::Object(map) => map.iter().fold(String::new(), |mut out, (key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            out.push_str(&format!("<key>{}</key><value>{}</value>", escape(key), escape(&value)));
            out
        }),
        Value::String(text) => escape(text),
        other => other.to_string(),
    };
    out.push_str(&format!("<{name}>{text}</{name}>"));
}

/// A page that is made of names in their order: those with a delimiter in them become one.
pub(super) struct Fold<'a> {
    walk: &'a Walk,
    pub out: Vec<Step<Object>>,
    /// What they take in memory.
    bytes: usize,
}

impl<'a> Fold<'a> {
    pub(super) const fn new(walk: &'a Walk) -> Self {
        Self { walk, out: Vec::new(), bytes: 0 }
    }

    /// Takes one more; whether there is room for another.
    pub(super) fn see(&mut self, object: Object) -> bool {
        let walk = self.walk;
        let delimiter = walk.delimiter.as_deref().filter(|text| !text.is_empty());
        let rest = object.name.as_str().strip_prefix(walk.prefix.as_str()).unwrap_or_default();
        let end = delimiter.and_then(|text| Some(rest.find(text)? + text.len()));
        match end {
            Some(end) if !(walk.flat && end == rest.len()) => {
                let prefix = object.name.as_str()[..walk.prefix.len() + end].to_owned();
                let is_told = walk.marker.as_ref() == Some(&prefix)
                    || matches!(self.out.last(), Some(Step::Prefix(last)) if *last == prefix);
                if !walk.flat && !is_told {
                    self.out.push(Step::Prefix(prefix));
                }
            }
            _ if walk.flat && rest.is_empty() => {}
            _ => {
                self.bytes += object.held_bytes();
                self.out.push(Step::Item(object));
            }
        }
        self.out.len() < walk.limit && self.bytes < PAGE_BYTES_MAX
    }
}

/// What a query asks for.
pub(super) fn walk(ask: &Ask) -> Result<Walk, Refusal> {
    let limit = match ask.param("limit").filter(|text| !text.is_empty()) {
        None => LISTING_MAX,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) => limit.min(LISTING_MAX),
            Err(_) => return Err(Refusal::invalid("limit is a number")),
        },
    };
    let text = |name: &str| ask.param(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let mut walk = Walk {
        prefix: text("prefix").unwrap_or_default(),
        delimiter: text("delimiter"),
        marker: text("marker"),
        limit,
        ..Walk::default()
    };
    if let Some(path) = ask.param("path") {
        let folder = path.trim_matches('/');
        walk.prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        walk.delimiter = Some("/".to_owned());
        walk.flat = true;
    }
    Ok(walk)
}

/// Writes a listing of `element`.
pub(super) fn render(
    format: Format,
    element: &str,
    rows: &[Row],
    mut headers: HeaderMap,
) -> Response {
    let body = match format {
        Format::Text if rows.is_empty() => {
            set(&mut headers, "content-type", format.content_type());
            return answer::empty(StatusCode::NO_CONTENT, headers);
        }
        Format::Text => rows.iter().map(|row| format!("{}\n", row.name)).collect(),
        Format::Json => {
            let rows = rows.iter().map(|row| Value::Object(row.fields.clone()));
            Value::Array(rows.collect()).to_string()
        }
        Format::Xml => {
            let rows: String = rows.iter().map(Row::xml).collect();
            let start = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
            format!("{start}\n<{element}>{rows}</{element}>")
        }
    };
    answer::text(format.content_type(), headers, body)
}
