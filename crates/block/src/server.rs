//! Starting and stopping: listeners, and a thread for each connection.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use archipelago_env::{Env, Join};
use parking_lot::Mutex;

use crate::counters::Counts;
use crate::export::Exports;
use crate::handshake::{self, HandshakeError};
use crate::hub::Hub;
use crate::limits::{ACCEPT_RETRY, Limits};
use crate::link::Link;
use crate::listen::{Listen, ListenError, Listener, Peer};
use crate::session::{self, Ended};
use crate::stream::{Patience, Socket, Stream};
use crate::tls::TlsConfig;

/// A running server. Dropping it stops it.
pub struct NbdServer {
    hub: Arc<Hub>,
    addresses: Vec<Listen>,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Closing it wakes the accepting threads.
    _stop: UnixStream,
    accepting: Vec<Box<dyn Join>>,
}

impl NbdServer {
    /// Listens on all of `listen` and serves `exports` from now on.
    ///
    /// # Errors
    /// An address cannot be had; nothing is served then.
    pub fn start(
        env: Env,
        exports: Arc<dyn Exports>,
        listen: &[Listen],
        tls: Option<TlsConfig>,
        limits: Limits,
    ) -> Result<Self, ListenError> {
        let listeners =
            listen.iter().map(Listener::bind).collect::<Result<Vec<_>, ListenError>>()?;
        let addresses = listeners.iter().map(|listener| listener.address().clone()).collect();
        let hub = Hub::new(env, exports, tls, limits);
        let (stop, stopped) = UnixStream::pair().map_err(ListenError::Thread)?;
        let mut running = Running { _stop: stop, accepting: Vec::new() };
        let ids = Arc::new(AtomicU64::new(1));
        for listener in listeners {
            let stopped = stopped.try_clone().map_err(ListenError::Thread)?;
            let acceptor = Acceptor { hub: Arc::clone(&hub), ids: Arc::clone(&ids), stopped };
            let body = Box::new(move || acceptor.run(&listener));
            let join = hub.env.threads().spawn("nbd-accept", body).map_err(ListenError::Thread)?;
            running.accepting.push(join);
        }
        Ok(Self { hub, addresses, running: Mutex::new(Some(running)) })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn local_addrs(&self) -> &[Listen] {
        &self.addresses
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.hub.connections()
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.hub.counters.snapshot()
    }

    /// Stops listening, lets every connection answer what it has taken, and closes it without
    /// telling the client an error, so that the client connects again. On return nothing uses
    /// the exports any more. May be called twice.
    pub fn stop(&self) {
        let Some(running) = self.running.lock().take() else { return };
        drop(running._stop);
        for join in running.accepting {
            if let Err(panicked) = join.join() {
                tracing::error!(%panicked, "an accepting thread died");
            }
        }
        self.hub.stop_connections();
    }
}

impl Drop for NbdServer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Acceptor {
    hub: Arc<Hub>,
    ids: Arc<AtomicU64>,
    stopped: UnixStream,
}

impl Acceptor {
    fn run(&self, listener: &Listener) {
        tracing::info!(address = %listener.address(), "serving NBD");
        while let Some(accepted) = listener.accept(self.stopped.as_fd()) {
            let welcomed = accepted.and_then(|(socket, peer)| self.welcome(socket, peer));
            if let Err(error) = welcomed {
                tracing::warn!(%error, "cannot accept an NBD connection");
                self.hub.env.clock().sleep(ACCEPT_RETRY);
            }
        }
    }

    fn welcome(&self, socket: Socket, peer: Peer) -> io::Result<()> {
        let patience: Arc<dyn Patience> = Arc::clone(&self.hub) as _;
        let Ok(stream) = Stream::new(socket, patience) else {
            // It has gone already.
            return Ok(());
        };
        let id = self.ids.fetch_add(1, Relaxed);
        let link = Link::new(id, peer, stream, Arc::clone(&self.hub));
        if !self.hub.admit(&link) {
            self.hub.counters.refused.fetch_add(1, Relaxed);
            tracing::warn!(
                peer = %link.peer,
                limit = self.hub.limits.connections,
                "refused an NBD connection: there are as many as allowed"
            );
            return Ok(());
        }
        self.hub.counters.accepted.fetch_add(1, Relaxed);
        let place = Place { hub: Arc::clone(&self.hub), id };
        let body = Box::new(move || {
            // Both in this order: first the export is let go, then the connection is forgotten.
            let _place = place;
            serve(&link);
        });
        self.hub.env.threads().spawn(&format!("nbd{id}"), body).map(drop)
    }
}

/// A connection's place among those allowed; given back however its thread ends.
struct Place {
    hub: Arc<Hub>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.forget(self.id);
    }
}

/// Serves one connection, from its greeting to its end.
pub(crate) fn serve(link: &Arc<Link>) {
    let _closed = Closed(link);
    let (id, peer) = (link.id, &link.peer);
    match handshake::run(link) {
        Ok(Some(agreement)) => {
            let export = link.hub.exports.shown(&agreement.name).to_owned();
            tracing::info!(connection = id, %peer, %export, tls = link.stream.is_tls(), "opened");
            match session::run(link, agreement) {
                Ended::Malformed(reason) => {
                    link.hub.counters.malformed.fetch_add(1, Relaxed);
                    tracing::warn!(connection = id, %peer, %export, %reason, "closed: malformed");
                }
                ended => tracing::info!(connection = id, %peer, %export, reason = %ended, "closed"),
            }
        }
        Ok(None) => tracing::debug!(connection = id, %peer, "ended the handshake"),
        Err(HandshakeError::Malformed(reason)) => {
            link.hub.counters.malformed.fetch_add(1, Relaxed);
            tracing::warn!(connection = id, %peer, %reason, "closed: malformed");
        }
        Err(HandshakeError::Gone(reason)) => {
            tracing::debug!(connection = id, %peer, %reason, "left in the handshake");
        }
        Err(reason) => tracing::warn!(connection = id, %peer, %reason, "closed in the handshake"),
    }
}

/// Closes a connection, however its thread ends.
struct Closed<'a>(&'a Link);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.stream.close();
    }
}
