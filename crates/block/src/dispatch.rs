//! Executes requests: which of them together, in what order and on which thread.
//!
//! Requests that were in flight at once have no order among them, so of one batch all changes
//! are done first, as one write to the export, then the reads. A flush has only to cover what
//! was acknowledged before it came; one serves all flushes and FUA writes of the batch.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::buffers::Buffer;
use crate::crew::Crew;
use crate::export::{Export, Write};
use crate::failure::{Errno, Failure};
use crate::handshake::Agreement;
use crate::limits::{
    CACHE_BYTES_MAX, CACHE_STEP_BYTES, OUTBOX_BYTES_SENT, READ_PIECES_MAX, SMALL_BYTES_MAX,
};
use crate::link::Link;
use crate::meta::{self, Context};
use crate::pace::Pace;
use crate::proto::reply::Head;
use crate::proto::request::{Operation, Request, parse_status_payload};
use crate::proto::{Outbox, Style};
use crate::reads::{self, Read};
use crate::reply::Token;
use crate::sectors::{self, SectorLock};
use crate::writes::{self, Change};

/// Bytes of headers in the answer to one read, at most.
const READ_HEADERS_BYTES_MAX: usize = 64 * READ_PIECES_MAX;

/// A request taken from the wire, whose payload is at `payload` of the inbox.
pub(crate) struct Taken {
    pub(crate) request: Request,
    pub(crate) payload: Range<usize>,
    pub(crate) token: Token,
}

/// An export as one connection has it open.
pub(crate) struct Device {
    link: Arc<Link>,
    export: Arc<dyn Export>,
    style: Style,
    contexts: Vec<(u32, Context)>,
    sectors: Arc<SectorLock>,
    pace: Pace,
}

/// What a batch is made of.
#[derive(Default)]
struct Sorted<'a> {
    changes: Vec<Change<'a>>,
    reads: Vec<Read>,
    syncs: Vec<Token>,
    slow: Vec<Slow>,
}

/// What takes long enough to keep others waiting.
enum Slow {
    Read(Read),
    Cache { token: Token, offset: u64, len: u64 },
    Status { token: Token, offset: u64, len: u64, one: bool, contexts: Vec<usize> },
    Sync(Vec<Token>),
    Write { token: Token, offset: u64, fua: bool, buffer: Buffer },
}

impl Device {
    pub(crate) fn new(link: &Arc<Link>, agreement: Agreement) -> Arc<Self> {
        Arc::new(Self {
            link: Arc::clone(link),
            sectors: link.hub.sectors.of(&agreement.name),
            export: agreement.export,
            style: agreement.style,
            contexts: agreement.contexts,
            pace: Pace::default(),
        })
    }

    pub(crate) fn style(&self) -> Style {
        self.style
    }

    pub(crate) fn token(&self, request: &Request) -> Token {
        let head = Head { style: self.style, cookie: request.cookie, offset: request.offset };
        Token::new(&self.link, head, request.command, request.len)
    }

    /// Does a batch; every request in it is answered now or by a helper. With `alone` it is all
    /// that the client waits for, so that nothing is gained by handing it over.
    pub(crate) fn execute(
        self: &Arc<Self>,
        taken: Vec<Taken>,
        inbox: &[u8],
        crew: &Crew,
        alone: bool,
        out: &mut Outbox,
    ) {
        let mut sorted = self.sort(taken, inbox, out);
        for slow in sorted.slow.drain(..) {
            self.slow(slow, crew, alone, out);
        }
        let mut syncs = sorted.syncs;
        if !sorted.changes.is_empty() {
            writes::run(&*self.export, &self.sectors, sorted.changes, &mut syncs, out);
        }
        if !syncs.is_empty() {
            self.slow(Slow::Sync(syncs), crew, alone, out);
        }
        let apart = sorted.reads.len() + crew.in_flight() > 1 && self.pace.slow();
        for read in sorted.reads {
            if apart {
                self.slow(Slow::Read(read), crew, false, out);
                continue;
            }
            self.read(read, out);
            if out.len() >= OUTBOX_BYTES_SENT {
                self.link.send(out);
            }
        }
        self.link.send(out);
    }

    /// Does a write that has a buffer of its own.
    pub(crate) fn execute_large(
        self: &Arc<Self>,
        request: Request,
        token: Token,
        buffer: Buffer,
        crew: &Crew,
        alone: bool,
        out: &mut Outbox,
    ) {
        match request.operation(self.style, self.export.size(), self.export.read_only()) {
            Ok(Operation::Write { offset, fua }) => {
                self.slow(Slow::Write { token, offset, fua, buffer }, crew, alone, out);
            }
            Ok(_) => token.fail(out, &Failure::invalid("a payload that is not wanted")),
            Err(failure) => token.fail(out, &failure),
        }
        self.link.send(out);
    }

    fn sort<'a>(&self, taken: Vec<Taken>, inbox: &'a [u8], out: &mut Outbox) -> Sorted<'a> {
        let (size, read_only) = (self.export.size(), self.export.read_only());
        let mut sorted = Sorted::default();
        for Taken { request, payload, token } in taken {
            let operation = match request.operation(self.style, size, read_only) {
                Ok(operation) => operation,
                Err(failure) => {
                    token.fail(out, &failure);
                    continue;
                }
            };
            let zero = |offset, len, may_unmap| Write::Zero { offset, len, may_unmap };
            match operation {
                Operation::Write { offset, fua } => {
                    let write = Write::Data { offset, bytes: &inbox[payload] };
                    sorted.changes.push(Change { token, write, fua });
                }
                Operation::Zero { offset, len, may_unmap, fua } => {
                    sorted.changes.push(Change { token, write: zero(offset, len, may_unmap), fua });
                }
                Operation::Trim { offset, len, fua } => {
                    let inner = sectors::narrowed(offset, len);
                    let write = zero(inner.start, inner.end - inner.start, true);
                    sorted.changes.push(Change { token, write, fua });
                }
                Operation::Read { offset, len, whole } => {
                    let read = Read { token, offset, len: len as usize, whole };
                    if read.len > SMALL_BYTES_MAX {
                        sorted.slow.push(Slow::Read(read));
                    } else {
                        sorted.reads.push(read);
                    }
                }
                Operation::Flush => sorted.syncs.push(token),
                Operation::Cache { offset, len } => {
                    sorted.slow.push(Slow::Cache { token, offset, len });
                }
                Operation::Status { offset, len, one } => {
                    match self.status_wanted(&request, &inbox[payload], size, len) {
                        Ok((len, contexts)) => {
                            sorted.slow.push(Slow::Status { token, offset, len, one, contexts })
                        }
                        Err(failure) => token.fail(out, &failure),
                    }
                }
            }
        }
        sorted
    }

    /// The length and the contexts that a block status request is about.
    fn status_wanted(
        &self,
        request: &Request,
        payload: &[u8],
        size: u64,
        len: u64,
    ) -> Result<(u64, Vec<usize>), Failure> {
        if self.contexts.is_empty() {
            return Err(Failure::invalid("no meta context was selected"));
        }
        if request.payload_len(self.style) == 0 {
            return Ok((len, (0..self.contexts.len()).collect()));
        }
        let (len, ids) = parse_status_payload(payload)
            .ok_or(Failure::invalid("the payload is no length and list of contexts"))?;
        Request { len, ..*request }.in_range(size, Errno::Inval)?;
        let mut wanted = Vec::with_capacity(ids.len());
        for id in ids {
            let index = self.contexts.iter().position(|(known, _)| *known == id);
            match index {
                Some(index) if !wanted.contains(&index) => wanted.push(index),
                _ => return Err(Failure::invalid("a context that is unknown or named twice")),
            }
        }
        if wanted.is_empty() {
            return Err(Failure::invalid("no context is named"));
        }
        Ok((len, wanted))
    }

    fn slow(self: &Arc<Self>, slow: Slow, crew: &Crew, here: bool, out: &mut Outbox) {
        if here {
            self.do_slow(slow, None, out);
            return self.link.send(out);
        }
        // The memory for an answer is taken before the work is handed over, so that a client
        // which asks for much is no longer listened to, and its helpers stay free.
        let buffer = match &slow {
            Slow::Read(read) if read.len > SMALL_BYTES_MAX => {
                self.link.send(out);
                match self.link.buffer(read.len + READ_HEADERS_BYTES_MAX) {
                    Some(buffer) => Some(buffer),
                    None => return self.refuse(slow, out),
                }
            }
            _ => None,
        };
        let device = Arc::clone(self);
        crew.run(Box::new(move || {
            let mut out = Outbox::default();
            device.do_slow(slow, buffer, &mut out);
            device.link.send(&mut out);
        }));
    }

    /// Ends a request that the server has no time for any more: its connection goes too, so that
    /// the client sends it again elsewhere and sees no error.
    fn refuse(&self, slow: Slow, out: &mut Outbox) {
        self.link.stream.cut();
        if let Slow::Read(read) = slow {
            read.token.fail(out, &Failure::new(Errno::Io, "the server stops"));
        }
    }

    fn do_slow(&self, slow: Slow, buffer: Option<Buffer>, out: &mut Outbox) {
        match slow {
            Slow::Read(read) if read.len <= SMALL_BYTES_MAX => self.read(read, out),
            Slow::Read(read) => {
                let need = read.len + READ_HEADERS_BYTES_MAX;
                let Some(mut buffer) = buffer.or_else(|| self.link.buffer(need)) else {
                    return self.refuse(Slow::Read(read), out);
                };
                reads::answer(&*self.export, read, &mut buffer.bytes);
                self.link.send(&mut buffer.bytes);
            }
            Slow::Cache { token, offset, len } => {
                token.finish(out, self.cache(offset, len.min(CACHE_BYTES_MAX)));
            }
            Slow::Status { token, offset, len, one, contexts } => {
                match self.status(offset, len, one, &contexts) {
                    Ok(statuses) => token.statuses(out, &statuses),
                    Err(failure) => token.fail(out, &failure),
                }
            }
            Slow::Sync(tokens) => {
                self.link.hub.counters.syncs.fetch_add(1, Relaxed);
                let result = self.export.flush().map_err(Failure::from);
                for token in tokens {
                    token.finish(out, result.clone());
                }
            }
            Slow::Write { token, offset, fua, buffer } => {
                let write = Write::Data { offset, bytes: buffer.bytes.as_slice() };
                let mut syncs = Vec::new();
                let change = Change { token, write, fua };
                writes::run(&*self.export, &self.sectors, vec![change], &mut syncs, out);
                if !syncs.is_empty() {
                    self.do_slow(Slow::Sync(syncs), None, out);
                }
            }
        }
    }

    /// A read that fits the outbox.
    fn read(&self, read: Read, out: &mut Outbox) {
        let clock = self.link.hub.env.clock();
        let start = clock.monotonic();
        reads::answer(&*self.export, read, out);
        self.pace.observe(clock.monotonic().saturating_sub(start));
    }

    fn cache(&self, offset: u64, len: u64) -> Result<(), Failure> {
        let wide = sectors::widened(offset, len);
        let mut scratch = vec![0; CACHE_STEP_BYTES.min((wide.end - wide.start) as usize)];
        let mut at = wide.start;
        while at < wide.end {
            let step = scratch.len().min((wide.end - at) as usize);
            self.export.read(at, &mut scratch[..step])?;
            at += step as u64;
        }
        Ok(())
    }

    fn status(
        &self,
        offset: u64,
        len: u64,
        one: bool,
        contexts: &[usize],
    ) -> Result<Vec<(u32, Vec<crate::proto::reply::Descriptor>)>, Failure> {
        contexts
            .iter()
            .map(|index| {
                let (id, context) = &self.contexts[*index];
                Ok((*id, meta::status(&*self.export, context, offset, len, one)?))
            })
            .collect()
    }
}
