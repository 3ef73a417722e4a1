//! How long clients are waited for: whoever sends nothing holds a connection, and perhaps a
//! thread, that others need.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// How long a client may take to send the head of a request, and how long a
/// connection is kept without any.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// How long a client of S3, Swift or Pithos may send nothing of a body. Programs send what they
/// have; servers of others wait no longer.
const BODY_MAX: Duration = Duration::from_secs(60);

/// The same of the native API. Long, because a person's pipe may feed the upload; finite, because
/// it holds a thread.
const PIPE_MAX: Duration = Duration::from_secs(15 * 60);

/// What is said of a client that sent nothing for too long.
pub(crate) const STALLED: &str = "nothing came for";

/// The limits; tests have less of it.
#[derive(Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) head: Duration,
    pub(crate) body: Duration,
    pub(crate) pipe: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: HEAD_MAX, body: BODY_MAX, pipe: PIPE_MAX }
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

const BROKEN: u8 = 1;
const STALLING: u8 = 2;

/// What became of the body of a request, for those who answer after a library has read it.
#[derive(Clone, Default)]
pub(crate) struct Fate(Arc<AtomicU8>);

impl Fate {
    /// Its client went away, or framed it wrongly.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.load(Relaxed) == BROKEN
    }

    /// Its client sent nothing for too long.
    pub(crate) fn is_stalled(&self) -> bool {
        self.0.load(Relaxed) == STALLING
    }
}

/// A body that ends in an error when nothing comes for too long. Only the time counts in which
/// somebody waits for it: a server that is slow itself is not the client's fault.
pub(crate) struct Patient<B> {
    body: B,
    limit: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    fate: Fate,
}

impl<B> Patient<B> {
    pub(crate) fn new(body: B, limit: Duration) -> Self {
        Self { body, limit, waiting: None, fate: Fate::default() }
    }

    pub(crate) fn fate(&self) -> Fate {
        self.fate.clone()
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
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.waiting = None;
                Poll::Ready(frame.map(|frame| {
                    frame.map_err(|error| {
                        this.fate.0.store(BROKEN, Relaxed);
                        error.into()
                    })
                }))
            }
            Poll::Pending => {
                let limit = this.limit;
                let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
                match waiting.as_mut().poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        this.fate.0.store(STALLING, Relaxed);
                        let text = format!("{STALLED} {} s", limit.as_secs());
                        Poll::Ready(Some(Err(text.into())))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
