//! An entry point for fuzzers: the whole API, without a socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use archipelago_pool::Service;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Runtime;

use crate::{App, calls, guard, routes};

/// The most of an answer that is taken, in bytes; the rest is let go, as by a client
/// that leaves.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The API over a store.
pub struct Gateway {
    routes: TowerToHyperService<axum::Router>,
    runtime: Runtime,
}

impl Gateway {
    /// Answers with what `service` does.
    ///
    /// # Errors
    /// The system has no threads to give.
    pub fn over(service: Arc<Service>) -> io::Result<Self> {
        let app = App {
            service,
            more_metrics: Arc::new(Vec::new),
            calls: Arc::new(calls::Calls::new()),
            metrics: Arc::default(),
            // So that every byte gets as far as its handler.
            login: crate::Login::Never,
            first: Arc::default(),
            domains: Arc::default(),
            patience: crate::patience::Patience::default(),
            guard: Arc::new(guard::Guard::new(
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                Vec::new(),
                Arc::default(),
            )),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(calls::BLOCKING_THREADS_MAX)
            .enable_all()
            .build()?;
        Ok(Self { routes: TowerToHyperService::new(routes::router(app)), runtime })
    }

    /// The status and the body of the answer; `None` for what is no HTTP request. A
    /// request without a `Host` gets one that is let in.
    pub fn answer(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &[u8])],
        body: &[u8],
    ) -> Option<(u16, Vec<u8>)> {
        let mut request = Request::new(Body::from(body.to_vec()));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
        *request.uri_mut() = uri.parse::<Uri>().ok()?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request.headers_mut().append(name, HeaderValue::from_bytes(value).ok()?);
        }
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        self.runtime.block_on(async {
            let response = match self.routes.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (head, body) = response.into_parts();
            let body = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap_or_default();
            Some((head.status.as_u16(), body.to_vec()))
        })
    }
}
