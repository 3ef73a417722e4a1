//! The listener: connections within a limit, until told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use archipelago_pool::Service;
use axum::Router;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request};
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::calls::Line;
use crate::domains::Domains;
use crate::login::{Login, Peer};
use crate::patience::{Pace, Patience, Patient};
use crate::{App, MetricSource, calls, guard, routes};

/// Open connections; further ones wait in the backlog of the system. Each
/// costs some KiB while idle, and as much as a request holds while busy.
const CONNECTIONS_MAX: usize = 512;

/// Headers of a request: 90 of metadata, which Swift has, those that clients add, and some more, so
/// that too many are told by the door that limits them.
const HEADERS_MAX: usize = 256;

/// How long running requests may go on after [`Stop`]; then their connections
/// are dropped, and what they had not finished did not happen.
const GRACE_MAX: Duration = Duration::from_secs(10);

/// Pause after a failed accept: the system is out of descriptors or memory,
/// and asking at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells a [`Server`] to stop; clones tell the same server.
#[derive(Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// A server that has not been told yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stop now. Idempotent.
    pub fn stop(&self) {
        self.0.cancel();
    }
}

/// Drops one connection, whatever it is doing: for clients that stalled.
#[derive(Clone, Default)]
pub(crate) struct Hangup(CancellationToken);

impl Hangup {
    pub(crate) fn now(&self) {
        self.0.cancel();
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Hangup {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Hangup>().cloned().unwrap_or_default())
    }
}

/// The API on one bound address.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
}

impl Server {
    /// Listens on `address` (port 0: any free port) for requests that name it,
    /// `localhost`, one of `hosts` or
    /// one below `domains`; `login` says who has to log in to the native API. Nothing is answered before [`Self::run`].
    /// `/metrics` shows the figures of `service`, of this server, and `more_metrics`.
    ///
    /// # Errors
    /// The address is taken or not of this machine.
    pub async fn bind(
        address: SocketAddr,
        hosts: Vec<String>,
        domains: Domains,
        login: Login,
        service: Arc<Service>,
        more_metrics: MetricSource,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let domains = Arc::new(domains);
        let app = App {
            service,
            more_metrics,
            calls: Arc::new(calls::Calls::new()),
            metrics: Arc::default(),
            login,
            first: Arc::default(),
            guard: Arc::new(guard::Guard::new(address.ip(), hosts, Arc::clone(&domains))),
            domains,
            patience: Patience::default(),
        };
        Ok(Self { listener, address, app })
    }

    #[cfg(test)]
    pub(crate) fn hurry(&mut self, patience: Patience) {
        self.app.patience = patience;
    }

    #[cfg(test)]
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until told to stop; then lets running ones finish for
    /// a while, and returns once no call of the pool runs any more.
    pub async fn run(self, stop: Stop) {
        let router = routes::router(self.app.clone());
        self.run_router(router, stop).await;
    }

    pub(crate) async fn run_router(self, router: Router, stop: Stop) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (closing, watch_closing) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            // Ended ones are let go here, so that the set does not grow.
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = stop.0.cancelled() => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            let (stream, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (router, closing) = (router.clone(), watch_closing.clone());
            let (patience, line) = (self.app.patience, self.app.calls.line());
            connections.spawn(async move {
                serve_connection(stream, router, patience, line, closing).await;
                drop(slot);
            });
        }
        drop(self.listener);
        let _ = closing.send(true);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(GRACE_MAX, all).await.is_err() {
            tracing::warn!("dropping HTTP requests that did not end in time");
            connections.shutdown().await;
        }
        self.app.calls.drain().await;
    }
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // It fails when the client is gone already, which the next read shows.
    let _ = stream.set_nodelay(true);
    Ok((stream, slot))
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    patience: Patience,
    line: Line,
    mut closing: watch::Receiver<bool>,
) {
    let hangup = Hangup::default();
    let routes = TowerToHyperService::new(router);
    // A client that is gone by now asks nothing.
    let peer = stream.peer_addr().ok().map(Peer::new);
    let handle = hangup.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let limit = patience.with(request.uri().path());
        let (mut head, body) = request.into_parts();
        head.extensions.insert(handle.clone());
        if let Some(peer) = peer {
            head.extensions.insert(peer);
        }
        let body = Patient::new(body, limit, Pace::new(patience, line.clone()));
        let (fate, waits) = (body.fate(), head.headers.contains_key(EXPECT));
        // To a body of no bytes HTTP sends no `100 Continue`. Clients of botocore then take the
        // answer to this request for that to their next one on the connection.
        let is_empty = body.size_hint().exact() == Some(0);
        head.extensions.insert(fate.clone());
        let answering = routes.call(Request::from_parts(head, Body::new(body)));
        async move {
            let mut answer = answering.await?;
            // A client that was not told to send a body sends its next request: what of that
            // came by now, the library would take for the body.
            if waits && (is_empty || !fate.is_asked_for()) {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut told = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "HTTP connection ended");
                }
                return;
            }
            () = hangup.0.cancelled() => return,
            _ = closing.wait_for(|closing| *closing), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
