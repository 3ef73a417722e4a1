//! The duty to answer a request, as a value.

use std::sync::Arc;

use crate::failure::Failure;
use crate::link::Link;
use crate::proto::Outbox;
use crate::proto::reply::{Descriptor, Head};
use crate::proto::request::Command;

/// A request that was taken from the wire and not answered yet. Every way of answering consumes
/// it. Dropping it unanswered is a defect of this server: a client would wait for ever, so the
/// connection is cut, which makes the client send the request again elsewhere.
#[must_use = "a request must be answered"]
pub(crate) struct Token {
    head: Head,
    command: Command,
    /// Bytes of the export that the request is about, for the counters.
    len: u64,
    answered: bool,
    link: Arc<Link>,
}

/// A part of the answer to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    /// It reads as zeros, and the client is told just that.
    pub(crate) hole: bool,
}

impl Token {
    pub(crate) fn new(link: &Arc<Link>, head: Head, command: Command, len: u64) -> Self {
        Self { head, command, len, answered: false, link: Arc::clone(link) }
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Answers a request that has no data in its answer.
    pub(crate) fn finish(self, out: &mut Outbox, result: Result<(), Failure>) {
        match result {
            Ok(()) => {
                self.head.push_ok(out);
                self.settle(true);
            }
            Err(failure) => self.fail(out, &failure),
        }
    }

    pub(crate) fn fail(self, out: &mut Outbox, failure: &Failure) {
        tracing::debug!(
            connection = self.link.id,
            command = self.command.name(),
            offset = self.head.offset,
            len = self.len,
            errno = failure.errno as u32,
            message = %failure.message,
            "request failed"
        );
        self.head.push_failure(out, failure);
        self.settle(false);
    }

    /// Answers a read with `pieces`, which cover it; `fill` brings the data of one.
    pub(crate) fn data(
        self,
        out: &mut Outbox,
        pieces: &[Piece],
        mut fill: impl FnMut(u64, &mut [u8]) -> Result<(), Failure>,
    ) {
        let start = out.len();
        for (index, piece) in pieces.iter().enumerate() {
            let done = index + 1 == pieces.len();
            if piece.hole {
                self.head.push_hole(out, piece.offset, piece.len as u32, done);
                continue;
            }
            self.head.push_data_head(out, piece.offset, piece.len, done);
            if let Err(failure) = fill(piece.offset, out.space(piece.len)) {
                // Nothing of it has been sent, so the client gets an error and no data.
                out.truncate(start);
                return self.fail(out, &failure);
            }
        }
        self.settle(true);
    }

    /// Answers a block status request with the ranges of each context.
    pub(crate) fn statuses(self, out: &mut Outbox, contexts: &[(u32, Vec<Descriptor>)]) {
        for (index, (context, ranges)) in contexts.iter().enumerate() {
            self.head.push_status(out, *context, ranges, index + 1 == contexts.len());
        }
        self.settle(true);
    }

    fn settle(mut self, ok: bool) {
        self.answered = true;
        self.link.hub.counters.answered(self.command, self.len, ok);
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        tracing::error!(
            connection = self.link.id,
            peer = %self.link.peer,
            command = self.command.name(),
            "a request was dropped unanswered; closing its connection"
        );
        self.link.stream.cut();
        debug_assert!(std::thread::panicking(), "a request was dropped unanswered");
    }
}
