//! How long clients are waited for: whoever sends nothing holds a connection, and perhaps a
//! thread, that others need.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::calls::Line;

/// How long a client may take to send the head of a request, and how long a
/// connection is kept without any.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// How long a client of S3, Swift or Pithos may send nothing of a body. Programs send what they
/// have; servers of others wait no longer.
const BODY_MAX: Duration = Duration::from_secs(60);

/// The same of the native API. Long, because a person's pipe may feed the upload; finite, because
/// it holds a thread.
const PIPE_MAX: Duration = Duration::from_secs(15 * 60);

/// A client of which so little comes, or that takes so little, ...
const SLOW_BYTES: u64 = 64 << 10;
/// ... in so long a time of waiting for it is *slow*: it loses its place if others wait for one.
const SLOW_AFTER: Duration = Duration::from_secs(60);

/// What is said of a client that sent nothing for too long.
pub(crate) const STALLED: &str = "nothing came for";

/// What is said of one that loses its place.
const SLOW: &str = "too little came while others waited for their turn; send it again, faster";

/// The limits; tests have less of it.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    pub(crate) body: Duration,
    pub(crate) pipe: Duration,
    pub(crate) slow: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: HEAD_MAX, body: BODY_MAX, pipe: PIPE_MAX, slow: SLOW_AFTER }
    }
}

impl Patience {
    /// For the body of a request to this path.
    pub(crate) fn with(self, path: &str) -> Duration {
        // Accounts of Swift are at `/v1/AUTH_...`.
        match path.strip_prefix("/v1/") {
            Some(rest) if !rest.starts_with("AUTH_") => self.pipe,
            _ => self.body,
        }
    }
}

/// Whether an error says that its client was too slow.
pub(crate) fn tells_of_stall(message: &str) -> bool {
    message.contains(STALLED) || message.contains(SLOW)
}

const BROKEN: u8 = 1;
const STALLING: u8 = 2;

#[derive(Default)]
struct Became {
    what: AtomicU8,
    asked: AtomicBool,
}

/// What became of the body of a request, for those who answer after a library has read it.
#[derive(Clone, Default)]
pub(crate) struct Fate(Arc<Became>);

impl Fate {
    /// Its client went away, or framed it wrongly.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.what.load(Relaxed) == BROKEN
    }

    /// Somebody has read of it, or has tried to: a client that waits to be told so is told.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.0.asked.load(Relaxed)
    }

    /// Its client sent nothing for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.0.what.load(Relaxed) == STALLING
    }
}

/// How much came in how long a time of waiting for it.
pub(crate) struct Pace {
    after: Duration,
    line: Line,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) const fn new(patience: Patience, line: Line) -> Self {
        Self { after: patience.slow, line, waited: Duration::ZERO, bytes: 0 }
    }

    /// How long one waits before a client is called slow.
    pub(crate) const fn after(&self) -> Duration {
        self.after
    }

    /// Takes in that `bytes` came after one has waited for so long. Whether the client is so slow
    /// that it loses its place.
    pub(crate) fn is_lost(&mut self, waited: Duration, bytes: u64) -> bool {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < self.after {
            return false;
        }
        let is_slow = self.bytes < SLOW_BYTES;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        is_slow && self.line.is_waited_in()
    }
}

/// A body that ends in an error when nothing comes for too long, or little while others wait.
/// Only the time counts in which somebody waits for it: a server that is slow itself is not the
/// client's fault.
pub(crate) struct Patient<B> {
    body: B,
    limit: Duration,
    /// Since when for the next bytes, and when that is looked at.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    pace: Pace,
    fate: Fate,
}

impl<B> Patient<B> {
    pub(crate) fn new(body: B, limit: Duration, pace: Pace) -> Self {
        Self { body, limit, waiting: None, pace, fate: Fate::default() }
    }

    pub(crate) fn fate(&self) -> Fate {
        self.fate.clone()
    }

    /// Waits for the end of the patience with a client that sends nothing.
    fn poll_patience<T>(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T, axum::BoxError>>> {
        let step = self.limit.min(self.pace.after());
        let begin = || (Instant::now(), Box::pin(sleep(step)));
        loop {
            let (since, look) = self.waiting.get_or_insert_with(begin);
            std::task::ready!(look.as_mut().poll(context));
            let waited = since.elapsed();
            let text = match () {
                () if waited >= self.limit => format!("{STALLED} {} s", self.limit.as_secs()),
                () if self.pace.line.is_waited_in() => SLOW.to_owned(),
                () => {
                    let next = Instant::now() + step.min(self.limit - waited);
                    look.as_mut().reset(next);
                    continue;
                }
            };
            self.fate.0.what.store(STALLING, Relaxed);
            return Poll::Ready(Some(Err(text.into())));
        }
    }
}

impl<B> Body for Patient<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = &mut *self;
        this.fate.0.asked.store(true, Relaxed);
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let waited = this.waiting.take().map(|(since, _)| since.elapsed());
                let bytes = match &frame {
                    Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                    _ => 0,
                };
                if this.pace.is_lost(waited.unwrap_or_default(), bytes as u64) {
                    this.fate.0.what.store(STALLING, Relaxed);
                    return Poll::Ready(Some(Err(SLOW.into())));
                }
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(|error| {
                        this.fate.0.what.store(BROKEN, Relaxed);
                        error.into()
                    })
                }))
            }
            Poll::Pending => this.poll_patience(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
