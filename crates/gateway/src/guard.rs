//! Keeps web pages out.
//!
//! Whoever opens a socket to this API from the machine itself is the operator. A browser
//! there can open that socket too, on behalf of any page it shows. Two checks stop such a page:
//!
//! * **DNS rebinding.** The page's own name is made to resolve to 127.0.0.1, so
//!   that the browser takes this API for the page's server. The `Host` header
//!   still carries that name; only `localhost`, addresses and the names that
//!   the operator listed pass.
//! * **Cross-site requests.** A page sends requests to `http://127.0.0.1:7480`
//!   without being able to read the answers. Browsers mark these with `Origin`
//!   or `Sec-Fetch-Site`; programs send neither.

use std::net::IpAddr;
use std::sync::Arc;

use archipelago_api::ErrorKind;
use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::domains::Domains;
use crate::failure::Failure;

/// Who may be asked for.
pub(crate) struct Guard {
    address: IpAddr,
    names: Vec<String>,
    domains: Arc<Domains>,
}

impl Guard {
    /// For a listener on `address`, which is also reached by `names`.
    pub(crate) fn new(address: IpAddr, names: Vec<String>, domains: Arc<Domains>) -> Self {
        Self { address: address.to_canonical(), names, domains }
    }

    pub(crate) fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
        let mut hosts = headers.get_all(HOST).iter();
        let host =
            match (hosts.next().map(|value| std::str::from_utf8(value.as_bytes())), hosts.next()) {
                (Some(Ok(host)), None) => host,
                _ => return Err(forbidden("the request needs exactly one Host header")),
            };
        if !self.knows(host) {
            return Err(forbidden(&format!(
                "this service is not called '{}'; use localhost or its address, or add the name \
                 to `hosts` in the [http] section of its configuration",
                host.escape_default()
            )));
        }
        if let Some(origin) = headers.get(ORIGIN)
            && !same_origin(origin.as_bytes(), host)
        {
            return Err(forbidden("requests of web pages of another origin are refused"));
        }
        if is_cross_site(method, headers) {
            return Err(forbidden("requests of web pages of another site are refused"));
        }
        Ok(())
    }

    fn knows(&self, host: &str) -> bool {
        if host.contains('@') {
            return false;
        }
        if self.domains.knows(host) {
            return true;
        }
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_end_matches('.');
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        match bare.parse::<IpAddr>() {
            // An address cannot be rebound: whoever named it meant it.
            Ok(address) => {
                let address = address.to_canonical();
                address.is_loopback() || self.address.is_unspecified() || address == self.address
            }
            Err(_) => {
                name.eq_ignore_ascii_case("localhost")
                    || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
            }
        }
    }
}

fn forbidden(message: &str) -> Failure {
    Failure::new(ErrorKind::Forbidden, message)
}

/// Whether `origin` is this very server, directly or behind a proxy that adds TLS.
fn same_origin(origin: &[u8], host: &str) -> bool {
    let rest = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_bytes()))
}

/// A page of another site asks, and not because somebody followed a link.
fn is_cross_site(method: &Method, headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).map(|value| value.as_bytes());
    match header("sec-fetch-site") {
        None | Some(b"same-origin" | b"none") => false,
        Some(_) => method != Method::GET || header("sec-fetch-mode") != Some(b"navigate"),
    }
}

/// A path for the log: who has that of a public link may read the file.
fn shown(path: &str) -> &str {
    if path.starts_with("/public/") { "/public/..." } else { path }
}

/// The check as a layer round all routes.
pub(crate) async fn layer(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.guard.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            tracing::warn!(
                path = shown(request.uri().path()),
                reason = failure.message(),
                "request refused"
            );
            failure.into_response()
        }
    }
}

#[cfg(test)]
mod tests;
