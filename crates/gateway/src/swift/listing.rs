//! Listings: what a query asks for, and pages as text, JSON and XML.

use archipelago_pool::Walk;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{self, Refusal, set};
use super::ask::{Ask, is_true};
use super::info;
use super::link::Link;

/// How a listing is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Plain,
    Json,
    Xml,
    TextXml,
}

impl Format {
    /// By `format` in the query, else by `Accept`.
    pub(super) fn of(ask: &Ask) -> Result<Self, Refusal> {
        // What tells versions apart has no place in a list of names.
        let only_json = ask.has_param("versions");
        let fits = |format: Self| match only_json && format != Self::Json {
            true => Err(Refusal::not_acceptable()),
            false => Ok(format),
        };
        match ask.param("format").map(str::to_ascii_lowercase).as_deref() {
            Some("json") => return Ok(Self::Json),
            Some("xml") => return fits(Self::Xml),
            Some("plain") => return fits(Self::Plain),
            _ => {}
        }
        let usual = if only_json { Self::Json } else { Self::Plain };
        let Some(accept) = ask.header(ACCEPT.as_str()).filter(|accept| !accept.is_empty()) else {
            return Ok(usual);
        };
        let mut best = None;
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight: f32 = weight.map_or(Ok(1.0), str::parse).unwrap_or(0.0);
            let format = match kind.as_str() {
                "*/*" => usual,
                "text/plain" | "text/*" => Self::Plain,
                "application/json" | "application/*" => Self::Json,
                "application/xml" => Self::Xml,
                "text/xml" => Self::TextXml,
                _ => continue,
            };
            if weight > 0.0 && fits(format).is_ok() && best.is_none_or(|(_, other)| weight > other)
            {
                best = Some((format, weight));
            }
        }
        best.map(|(format, _)| format).ok_or_else(Refusal::not_acceptable)
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
            Self::Xml => "application/xml; charset=utf-8",
            Self::TextXml => "text/xml; charset=utf-8",
        }
    }
}

/// An entry of a listing.
pub(super) enum Row {
    Prefix(String),
    Container {
        name: String,
        count: u64,
        bytes: u64,
        last_modified: String,
    },
    Object {
        name: String,
        hash: String,
        bytes: u64,
        content_type: String,
        last_modified: String,
        slo_etag: Option<String>,
        /// Where it leads, with the whole path to there.
        link: Option<Box<(Link, String)>>,
        /// In a listing of versions: which, and whether it is the newest.
        version: Option<(String, bool)>,
    },
}

impl Row {
    fn name(&self) -> &str {
        match self {
            Self::Prefix(name) | Self::Container { name, .. } | Self::Object { name, .. } => name,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Prefix(prefix) => json!({"subdir": prefix}),
            Self::Container { name, count, bytes, last_modified } => json!({
                "name": name, "count": count, "bytes": bytes, "last_modified": last_modified,
                "storage_policy": info::POLICY,
            }),
            Self::Object {
                name,
                hash,
                bytes,
                content_type,
                last_modified,
                slo_etag,
                link,
                version,
            } => {
                let mut out = json!({
                    "name": name, "hash": hash, "bytes": bytes, "content_type": content_type,
                    "last_modified": last_modified,
                });
                if let Some(etag) = slo_etag {
                    out["slo_etag"] = json!(format!("\"{etag}\""));
                }
                if let Some((link, path)) = link.as_deref() {
                    out["symlink_path"] = json!(path);
                    if let Some(etag) = &link.etag {
                        out["symlink_etag"] = json!(etag);
                        out["symlink_bytes"] = json!(link.bytes.unwrap_or_default());
                    }
                }
                if let Some((version, latest)) = version {
                    out["version_id"] = json!(version);
                    out["is_latest"] = json!(latest);
                }
                out
            }
        }
    }

    fn xml(&self, out: &mut String) {
        let (element, fields): (&str, Vec<(&str, String)>) = match self {
            Self::Prefix(prefix) => {
                let (name, text) = (escape(prefix), escape(prefix));
                out.push_str(&format!("<subdir name=\"{name}\"><name>{text}</name></subdir>"));
                return;
            }
            Self::Container { name, count, bytes, last_modified } => (
                "container",
                vec![
                    ("name", name.clone()),
                    ("count", count.to_string()),
                    ("bytes", bytes.to_string()),
                    ("last_modified", last_modified.clone()),
                    ("storage_policy", info::POLICY.to_owned()),
                ],
            ),
            Self::Object { name, hash, bytes, content_type, last_modified, .. } => (
                "object",
                vec![
                    ("name", name.clone()),
                    ("hash", hash.clone()),
                    ("bytes", bytes.to_string()),
                    ("content_type", content_type.clone()),
                    ("last_modified", last_modified.clone()),
                ],
            ),
        };
        out.push_str(&format!("<{element}>"));
        for (field, value) in fields {
            out.push_str(&format!("<{field}>{}</{field}>", escape(&value)));
        }
        out.push_str(&format!("</{element}>"));
    }
}

/// What a query asks for.
pub(super) fn walk(ask: &Ask) -> Result<Walk, Refusal> {
    let limit = match ask.param("limit").filter(|text| text.bytes().all(|b| b.is_ascii_digit())) {
        Some(text) if !text.is_empty() => {
            let limit = text.parse().unwrap_or(usize::MAX);
            if limit > info::LISTING_MAX {
                let text = format!("Maximum limit is {}", info::LISTING_MAX);
                return Err(Refusal::precondition(&text));
            }
            limit
        }
        _ => info::LISTING_MAX,
    };
    let text = |name: &str| ask.param(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let mut walk = Walk {
        prefix: text("prefix").unwrap_or_default(),
        delimiter: text("delimiter"),
        marker: text("marker"),
        end: text("end_marker"),
        reverse: ask.param("reverse").is_some_and(is_true),
        flat: false,
        limit,
    };
    if let Some(path) = ask.param("path") {
        let folder = path.trim_end_matches('/');
        walk.prefix = if path.is_empty() { String::new() } else { format!("{folder}/") };
        walk.delimiter = Some("/".to_owned());
        walk.flat = true;
    }
    Ok(walk)
}

/// Writes a listing of `element`, which is called `name`.
pub(super) fn render(
    format: Format,
    element: &str,
    name: &str,
    rows: &[Row],
    mut headers: HeaderMap,
) -> Response {
    let body = match format {
        Format::Plain if rows.is_empty() => {
            set(&mut headers, "content-type", format.content_type());
            return answer::empty(StatusCode::NO_CONTENT, headers);
        }
        Format::Plain => rows.iter().map(|row| format!("{}\n", row.name())).collect(),
        Format::Json => Value::Array(rows.iter().map(Row::json).collect()).to_string(),
        Format::Xml | Format::TextXml => {
            let mut out = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{element} name=\"{}\">",
                escape(name)
            );
            rows.iter().for_each(|row| row.xml(&mut out));
            out.push_str(&format!("</{element}>"));
            out
        }
    };
    answer::text(format.content_type(), headers, body)
}

/// Text of XML 1.0, which has no way to say most control characters.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => out.push_str(&format!("&#{};", u32::from(c))),
            c if u32::from(c) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}')
            }
            c => out.push(c),
        }
    }
    out
}
