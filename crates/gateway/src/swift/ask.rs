//! What a request says: its place, its query, its headers.

use archipelago_model::{ContainerName, ObjectName};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};

use super::answer::Refusal;
use super::info;

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Level {
    Account,
    Container,
    Object,
}

/// What a request's host says of its place: the path up to its own.
#[derive(Clone)]
pub(super) struct Placed(pub String);

/// A request without its body.
#[derive(Clone)]
pub(crate) struct Ask {
    pub method: Method,
    /// As it stands in the path: `AUTH_...`.
    pub account: String,
    container: Option<String>,
    object: Option<String>,
    /// The whole path, decoded: what a signature covers.
    pub path: String,
    /// The path as the client knows it, which may begin in its host.
    pub asked_path: String,
    query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// When it came, in ms since 1970.
    pub now_ms: u64,
}

impl Ask {
    pub(crate) fn new(request: &Request, now_ms: u64) -> Result<Self, Refusal> {
        let uri = request.uri();
        let asked_path = decode(uri.path(), false)
            .filter(|path| !path.contains('\0'))
            .ok_or_else(|| Refusal::precondition("Invalid UTF8 or contains NULL"))?;
        let path = match request.extensions().get::<Placed>() {
            Some(Placed(begin)) => format!("{begin}{asked_path}"),
            None => asked_path.clone(),
        };
        let (account, container, object) = split(&path)?;
        let query = parse_query(uri.query().unwrap_or_default())?;
        let (method, headers) = (request.method().clone(), request.headers().clone());
        Ok(Self { method, account, container, object, path, asked_path, query, headers, now_ms })
    }

    /// The whole path, decoded, without what this server puts before `/v1`.
    pub(crate) fn bare_path(&self) -> &str {
        bare_path(&self.path)
    }

    /// What stands before the account in the path of the request.
    pub(crate) fn mount(&self) -> &'static str {
        if self.bare_path().len() == self.path.len() { "/v1" } else { "/object/v1" }
    }

    /// The same for another object of the container.
    pub(super) fn at(&self, object: &str) -> Self {
        let container = self.container.as_deref().unwrap_or_default();
        let path = format!("{}/{}/{container}/{object}", self.mount(), self.account);
        Self { object: Some(object.to_owned()), path, ..self.clone() }
    }

    pub(crate) fn level(&self) -> Level {
        match (&self.container, &self.object) {
            (None, _) => Level::Account,
            (Some(_), None) => Level::Container,
            (Some(_), Some(_)) => Level::Object,
        }
    }

    pub(crate) fn container(&self) -> Result<ContainerName, Refusal> {
        container_name(self.container.as_deref().unwrap_or_default())
    }

    pub(crate) fn object(&self) -> Result<ObjectName, Refusal> {
        object_name(self.object.as_deref().unwrap_or_default())
    }

    /// The first value of a name in the query.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has_param(&self, name: &str) -> bool {
        self.param(name).is_some()
    }

    /// What `multipart-manifest` wants: `put`, `get` or `delete`.
    pub(crate) fn manifest(&self) -> &str {
        self.param("multipart-manifest").unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// A header that is UTF-8. Swift's clients send it so, without saying which characters they
/// mean.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}

/// Whether a header says yes.
pub(crate) fn is_true(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on" | "t" | "y")
}

pub(crate) fn container_name(text: &str) -> Result<ContainerName, Refusal> {
    if text.len() > info::CONTAINER_NAME_BYTES_MAX {
        return Err(Refusal::invalid(format_args!(
            "Container name length of {} longer than {}",
            text.len(),
            info::CONTAINER_NAME_BYTES_MAX
        )));
    }
    text.parse().map_err(Refusal::invalid)
}

pub(crate) fn object_name(text: &str) -> Result<ObjectName, Refusal> {
    if text.len() > info::OBJECT_NAME_BYTES_MAX {
        return Err(Refusal::invalid(format_args!(
            "Object name length of {} longer than {}",
            text.len(),
            info::OBJECT_NAME_BYTES_MAX
        )));
    }
    text.parse().map_err(Refusal::invalid)
}

/// What stands before `/v1` where this door is not at the root.
const MOUNT: &str = "/object";

/// A path without [`MOUNT`], as it is on other servers.
fn bare_path(path: &str) -> &str {
    match path.strip_prefix(MOUNT) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    }
}

/// `[/object]/v1/ACCOUNT[/CONTAINER[/OBJECT]]`
fn split(path: &str) -> Result<(String, Option<String>, Option<String>), Refusal> {
    let rest = bare_path(path).trim_start_matches('/');
    let (version, rest) = rest.split_once('/').unwrap_or((rest, ""));
    if rest.is_empty() {
        return Err(Refusal::precondition("Bad URL"));
    }
    if version != "v1" && version != "v1.0" {
        return Err(Refusal::not_found());
    }
    let mut parts = rest.splitn(3, '/');
    let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
    let (account, container, object) = (next(), next(), next());
    match (account, container, object) {
        (None, ..) | (_, None, Some(_)) => Err(Refusal::not_found()),
        (Some(account), container, object) => Ok((account, container, object)),
    }
}

pub(crate) fn parse_query(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut out = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (decode(name, true), decode(value, true)) {
            (Some(name), Some(value)) => out.push((name, value)),
            _ => return Err(Refusal::precondition("The query is not UTF-8")),
        }
    }
    Ok(out)
}

/// Percent-decoding; `None` when it is no UTF-8 then. A `%` that begins nothing stays.
pub(crate) fn decode(text: &str, plus: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'%' => match (digit(at), digit(at + 1)) {
                (Some(high), Some(low)) => {
                    out.push((high * 16 + low) as u8);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            b'+' if plus => out.push(b' '),
            other => out.push(*other),
        }
    }
    String::from_utf8(out).ok()
}

/// Percent-encoding of a path: everything but what is never special in one.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
