//! Downloads: what a verb writes on a blocking thread becomes a response body.
//!
//! The status is decided when the first bytes come, or the verb ends: a verb
//! that fails before it wrote anything is answered with its error. Later it is
//! too late for a status: what was written, which may end in the reason, is sent;
//! then the body ends in an error, on which the server drops the connection, so
//! that the client sees a stream that was cut off.

use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use archipelago_api::STREAM_CONTENT_TYPE;
use archipelago_pool::{Error, Service};
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use hyper::body::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep, timeout};

use crate::App;
use crate::failure::Failure;
use crate::metrics::ByteCounter;
use crate::patience::Pace;
use crate::server::Hangup;

/// What is collected before it goes on its way: fewer wake-ups than writes.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces under way between the verb and the socket: 1 MiB.
const PIECES_MAX: usize = 4;

/// How long a client may take nothing. Longer than any pause of a consumer
/// that is still wanted; finite, because it holds a thread.
const STALL_MAX: Duration = Duration::from_secs(15 * 60);

/// After a failure the connection stays so long, for what was written before to get out:
/// with it goes what the server still holds of it.
const CUT_AFTER: Duration = Duration::from_secs(1);

enum Piece {
    Bytes(Bytes),
    /// Nothing comes after it; it may be empty.
    Last(Bytes),
    Failed(Failure),
}

/// Streams what `verb` writes, as a transfer stream.
pub(crate) async fn download<F>(app: &App, hangup: Hangup, verb: F) -> Result<Response, Failure>
where
    F: FnOnce(&Service, &mut dyn Write) -> Result<(), Error> + Send + 'static,
{
    let body = body(app, hangup, verb).await?;
    let headers = [(CONTENT_TYPE, STREAM_CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
    Ok((headers, body).into_response())
}

/// What `verb` writes, as the body of a response.
pub(crate) async fn body<F>(app: &App, hangup: Hangup, verb: F) -> Result<Body, Failure>
where
    F: FnOnce(&Service, &mut dyn Write) -> Result<(), Error> + Send + 'static,
{
    let permit = app.calls.transfer().await?;
    let (sender, mut receiver) = mpsc::channel(PIECES_MAX);
    let service = Arc::clone(&app.service);
    let mut writer = BodyWriter {
        sender,
        handle: Handle::current(),
        // Most that is asked for is much smaller than a piece.
        pending: BytesMut::new(),
        hangup,
        pace: Pace::new(app.patience, app.calls.line()),
        begun: false,
    };
    tokio::task::spawn_blocking(move || {
        let result = verb(&service, &mut writer);
        drop(permit);
        writer.finish(result);
    });
    let first = match receiver.recv().await {
        Some(Piece::Failed(failure)) => return Err(failure),
        // The verb panicked; tokio has said so on standard error.
        None => return Err(Failure::defect()),
        Some(first) => first,
    };
    let body = DownloadBody {
        first: Some(first),
        receiver,
        sent: app.metrics.sent(),
        over: false,
        cut: None,
    };
    Ok(Body::new(body))
}

struct BodyWriter {
    sender: mpsc::Sender<Piece>,
    handle: Handle,
    pending: BytesMut,
    hangup: Hangup,
    pace: Pace,
    /// Something was sent: it is too late for a status.
    begun: bool,
}

/// Waits for room for a piece; `None` when the client takes nothing for too long, or not a piece
/// while others wait for its place.
async fn room<'a>(
    sender: &'a mpsc::Sender<Piece>,
    pace: &mut Pace,
) -> Option<Result<mpsc::Permit<'a, Piece>, mpsc::error::SendError<()>>> {
    let mut reserve = std::pin::pin!(sender.reserve());
    let mut left = STALL_MAX;
    loop {
        let step = pace.after().min(left);
        if let Ok(reserved) = timeout(step, reserve.as_mut()).await {
            return Some(reserved);
        }
        left = left.saturating_sub(step);
        if pace.is_lost(step, 0) || left.is_zero() {
            return None;
        }
    }
}

impl BodyWriter {
    fn send(&mut self, piece: Piece) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the client went away");
        let permit = match self.sender.try_reserve() {
            Ok(permit) => permit,
            Err(mpsc::error::TrySendError::Closed(())) => return Err(gone()),
            Err(mpsc::error::TrySendError::Full(())) => {
                let Some(reserved) = self.handle.block_on(room(&self.sender, &mut self.pace))
                else {
                    self.hangup.now();
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the client stalled"));
                };
                reserved.map_err(|_| gone())?
            }
        };
        permit.send(piece);
        self.begun = true;
        Ok(())
    }

    fn send_pending(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.pending).freeze();
        if bytes.is_empty() { Ok(()) } else { self.send(Piece::Bytes(bytes)) }
    }

    fn finish(mut self, result: Result<(), Error>) {
        // Who cannot be told is gone, and needs no telling.
        let _ = match result {
            Ok(()) => {
                let last = std::mem::take(&mut self.pending).freeze();
                self.send(Piece::Last(last))
            }
            Err(_) if self.sender.is_closed() => Ok(()),
            Err(error) => {
                let sent = if self.begun { self.send_pending() } else { Ok(()) };
                sent.and_then(|()| self.send(Piece::Failed(error.into())))
            }
        };
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begun && self.pending.is_empty() {
            self.pending.reserve(PIECE_BYTES);
        }
        let len = bytes.len().min(PIECE_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..len]);
        if self.pending.len() == PIECE_BYTES {
            self.send_pending()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send_pending()
    }
}

struct DownloadBody {
    first: Option<Piece>,
    receiver: mpsc::Receiver<Piece>,
    sent: ByteCounter,
    over: bool,
    /// Until when the connection stays after a failure.
    cut: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for DownloadBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let cut = || Poll::Ready(Some(Err(io::Error::other("the stream was cut off"))));
        if let Some(wait) = &mut self.cut {
            std::task::ready!(wait.as_mut().poll(cx));
            self.over = true;
            return cut();
        }
        let piece = match self.first.take() {
            Some(piece) => Some(piece),
            None => match self.receiver.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
        };
        let reason = match &piece {
            Some(Piece::Bytes(bytes)) => {
                self.sent.add(bytes.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(bytes.clone()))));
            }
            Some(Piece::Last(bytes)) => {
                self.over = true;
                self.sent.add(bytes.len() as u64);
                let frame = Some(Ok(Frame::data(bytes.clone())));
                return Poll::Ready(frame.filter(|_| !bytes.is_empty()));
            }
            Some(Piece::Failed(failure)) => failure.message(),
            None => "the verb panicked",
        };
        tracing::warn!(reason, "a download was cut off");
        let mut wait = Box::pin(sleep(CUT_AFTER));
        let waiting = wait.as_mut().poll(cx).is_pending();
        self.cut = Some(wait);
        if waiting { Poll::Pending } else { cut() }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}
