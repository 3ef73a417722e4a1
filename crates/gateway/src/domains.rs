//! Names in front of the host: `BUCKET.DOMAIN` is a bucket of S3, `ACCOUNT.DOMAIN` and
//! `CONTAINER.ACCOUNT.DOMAIN` are those of Swift.

use axum::http::HeaderMap;
use axum::http::header::HOST;

/// The domains under which this service is reached.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    s3: Vec<String>,
    swift: Vec<String>,
}

/// Characters of an account's identity in a host: `AUTH_` and a uuid.
const ACCOUNT_LEN: usize = 37;

impl Domains {
    /// Domains with buckets, and domains with accounts, in front.
    pub fn new(s3: &[String], swift: &[String]) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { s3: lower(s3), swift: lower(swift) }
    }

    /// Whether accounts of Swift have hosts of their own.
    pub(crate) const fn has_swift(&self) -> bool {
        !self.swift.is_empty()
    }

    /// Whether a host is one of them or below.
    pub(crate) fn knows(&self, host: &str) -> bool {
        let host = without_port(host).to_ascii_lowercase();
        self.s3
            .iter()
            .chain(&self.swift)
            .any(|domain| host == *domain || front(&host, domain).is_some())
    }

    /// The bucket in front of a host, which may have a port.
    pub(crate) fn bucket<'a>(&self, host: &'a str) -> Option<&'a str> {
        let name = without_port(host);
        self.s3.iter().find_map(|domain| front(name, domain))
    }

    /// The bucket that a request names by its host.
    pub(crate) fn bucket_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.bucket(host_of(headers)?)
    }

    /// Of which path the request's own is the rest, when its host names an account or a
    /// container.
    pub(crate) fn swift_place(&self, headers: &HeaderMap) -> Option<String> {
        let name = without_port(host_of(headers)?);
        let front = self.swift.iter().find_map(|domain| front(name, domain))?;
        let (container, account) = match front.rsplit_once('.') {
            Some((container, account)) => (Some(container), account),
            None => (None, front),
        };
        let uuid = account.get(5..)?;
        let is_account = account.len() == ACCOUNT_LEN
            && account.get(..4)?.eq_ignore_ascii_case("AUTH")
            && matches!(account.as_bytes().get(4), Some(b'_' | b'-'))
            && uuid.bytes().all(|byte| byte.is_ascii_hexdigit());
        let container = container.map(|name| format!("/{name}")).unwrap_or_default();
        is_account.then(|| format!("/v1/AUTH_{}{container}", uuid.to_ascii_lowercase()))
    }
}

/// Clients of Swift write names of containers into it as they are.
fn host_of(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(headers.get(HOST)?.as_bytes()).ok()
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.')
}

/// What stands before `.domain`.
fn front<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    let at = host.len().checked_sub(domain.len())?;
    let (front, end) = (host.get(..at)?, host.get(at..)?);
    let front = front.strip_suffix('.').filter(|front| !front.is_empty())?;
    end.eq_ignore_ascii_case(domain).then_some(front)
}

#[cfg(test)]
mod tests;
