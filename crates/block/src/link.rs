//! One connection, as the threads that serve it share it.

use std::io::IoSlice;
use std::sync::Arc;

use crate::buffers::{Account, Buffer};
use crate::export::Client;
use crate::hub::Hub;
use crate::listen::Peer;
use crate::proto::Outbox;
use crate::stream::Stream;

pub(crate) struct Link {
    /// Unique within the server.
    pub(crate) id: u64,
    /// Who it is.
    pub(crate) peer: Peer,
    pub(crate) stream: Stream,
    pub(crate) hub: Arc<Hub>,
    account: Arc<Account>,
}

impl Link {
    pub(crate) fn new(id: u64, peer: Peer, stream: Stream, hub: Arc<Hub>) -> Arc<Self> {
        Arc::new(Self { id, peer, stream, hub, account: Arc::default() })
    }

    /// What is known of the client by now.
    pub(crate) fn client(&self) -> Client {
        let certifies = self.hub.tls.as_ref().is_some_and(|tls| tls.certifies);
        Client { local: self.peer.local, certified: certifies && self.stream.is_tls() }
    }

    /// Sends answers and empties the box. When that fails the connection is cut: what its
    /// receiver finds next is the end.
    pub(crate) fn send(&self, out: &mut Outbox) {
        if out.len() == 0 {
            return;
        }
        if let Err(error) = self.stream.send(&mut [IoSlice::new(out.as_slice())]) {
            tracing::debug!(connection = self.id, peer = %self.peer, %error, "cannot send answers");
            self.stream.cut();
        }
        out.truncate(0);
    }

    /// Memory for a large request or its answer; `None` when the server stops meanwhile.
    pub(crate) fn buffer(&self, len: usize) -> Option<Buffer> {
        self.hub.memory.take(&self.account, len, || self.hub.stopping())
    }
}
