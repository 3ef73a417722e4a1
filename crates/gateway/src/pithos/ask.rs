//! What a request says: its place, its query, its headers. Headers are UTF-8 in percent signs.

use archipelago_model::{ContainerName, ObjectName};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};

use super::PREFIX;
use crate::swift::answer::Refusal;
use crate::swift::ask::{container_name, decode, header, object_name, parse_query};

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Top,
    Account,
    Container,
    Object,
}

/// A request without its body.
pub(super) struct Ask {
    pub method: Method,
    account: Option<String>,
    container: Option<String>,
    object: Option<String>,
    query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// When it came, in ms since 1970.
    pub now_ms: u64,
}

impl Ask {
    pub(super) fn new(request: &Request, now_ms: u64) -> Result<Self, Refusal> {
        let uri = request.uri();
        let path = decode(uri.path(), false)
            .filter(|path| !path.contains('\0'))
            .ok_or_else(|| Refusal::invalid("the path is not UTF-8"))?;
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        let mut parts = rest.trim_start_matches('/').splitn(3, '/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let (account, container, object) = (next(), next(), next());
        if container.is_none() && object.is_some() {
            return Err(Refusal::not_found());
        }
        let query = parse_query(uri.query().unwrap_or_default())?;
        let (method, headers) = (request.method().clone(), request.headers().clone());
        Ok(Self { method, account, container, object, query, headers, now_ms })
    }

    pub(super) fn level(&self) -> Level {
        match (&self.account, &self.container, &self.object) {
            (None, ..) => Level::Top,
            (_, None, _) => Level::Account,
            (_, _, None) => Level::Container,
            _ => Level::Object,
        }
    }

    pub(super) fn account(&self) -> &str {
        self.account.as_deref().unwrap_or_default()
    }

    pub(super) fn container(&self) -> Result<ContainerName, Refusal> {
        container_name(self.container.as_deref().unwrap_or_default())
    }

    pub(super) fn object(&self) -> Result<ObjectName, Refusal> {
        object_name(self.object.as_deref().unwrap_or_default())
    }

    /// The first value of a name in the query.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has_param(&self, name: &str) -> bool {
        self.param(name).is_some()
    }

    /// A header as its client meant it.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name).and_then(|value| decode(value, false))
    }

    /// Whether a delimiter asks for all that is below.
    pub(super) fn is_tree(&self) -> Result<bool, Refusal> {
        match self.param("delimiter") {
            None | Some("") => Ok(false),
            Some("/") => Ok(true),
            Some(_) => Err(Refusal::invalid("the delimiter of what is below is /")),
        }
    }

    /// A time in seconds since 1970, as ms.
    pub(super) fn until(&self) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.param("until").filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let seconds: f64 =
            text.parse().map_err(|_| Refusal::invalid("until is a time in seconds"))?;
        match seconds.is_finite() && seconds >= 0.0 {
            // What is after the end of all times is now.
            true => Ok(Some((seconds * 1000.0) as u64)),
            false => Err(Refusal::invalid("until is a time in seconds since 1970")),
        }
    }
}

/// `/container/object` in a header.
pub(super) fn place(text: &str) -> Result<(ContainerName, ObjectName), Refusal> {
    let wrong = || Refusal::invalid("a place is written /container/object");
    let (container, object) = text.trim_start_matches('/').split_once('/').ok_or_else(wrong)?;
    Ok((container_name(container)?, object_name(object)?))
}
