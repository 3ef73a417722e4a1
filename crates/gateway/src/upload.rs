//! Uploads: an async request body becomes the blocking `Read` of a verb.
//!
//! The verb runs on a blocking thread and pulls pieces out of a bounded
//! channel; the handler's task pushes them in. End of file is a piece of its
//! own, so that a channel that just closes (the client went away, and its
//! handler was dropped) is an error to the verb, which then binds nothing.

use std::convert::Infallible;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use archipelago_api::ErrorKind;
use archipelago_pool::{Error, Service};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use hyper::body::Body as _;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::App;
use crate::failure::Failure;
use crate::login::Caller;
use crate::metrics::ByteCounter;

/// Pieces of a body under way between the socket and the verb. One is at most
/// what the HTTP library reads at once (about 400 KiB), so that an upload
/// holds about 3 MiB.
const PIECES_MAX: usize = 8;

/// How long the rest of a refused body is read and thrown away, so that a
/// client which sends first and listens later still gets to see the answer.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// Who sends a body is asked for again when more of it comes so long after the last time: an
/// upload may take days.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// And once all of it came, if that is so long after: what comes at once is of whom was asked
/// just before.
const ASKED_AT_END: Duration = Duration::from_secs(1);

/// Finds out whether whoever sends a body may still do so.
pub(crate) type Again = Box<dyn FnMut(&Service) -> Result<(), Error> + Send>;

/// What is told whose right ended while a body came.
pub(crate) fn ended() -> Error {
    let text = "the right to do this ended while the body came; nothing was kept";
    Error::new(archipelago_pool::ErrorKind::Forbidden, text)
}

enum Piece {
    Bytes(Bytes),
    End,
    Broken(String),
}

/// The body of a request, not yet asked for.
pub(crate) struct Upload {
    body: Body,
    /// The client waits for `100 Continue` before it sends.
    waits: bool,
    /// Asks for who sends it once more.
    again: Option<Again>,
}

impl Upload {
    /// A body that another library has taken out of the request.
    pub(crate) fn of(body: Body, headers: &HeaderMap) -> Self {
        Self { body, waits: headers.contains_key(EXPECT), again: None }
    }

    /// The same, for whoever `again` lets go on.
    pub(crate) fn asking(self, again: Again) -> Self {
        Self { again: Some(again), ..self }
    }

    /// How long it will be, if the client says so.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Infallible;

    async fn from_request(mut request: Request, _: &S) -> Result<Self, Infallible> {
        let headers = std::mem::take(request.headers_mut());
        let again = match request.extensions_mut().remove::<Caller>() {
            Some(Caller::User(known)) => {
                let again = move |service: &Service| known.check_still(service);
                Some(Box::new(again) as Again)
            }
            Some(Caller::Operator) | None => None,
        };
        Ok(Self { again, ..Self::of(request.into_body(), &headers) })
    }
}

/// Runs `verb` on the body.
pub(crate) async fn upload<T, F>(app: &App, upload: Upload, verb: F) -> Result<T, Failure>
where
    T: Send + 'static,
    F: FnOnce(&Service, &mut dyn Read) -> Result<T, Error> + Send + 'static,
{
    let Upload { mut body, waits, again } = upload;
    let permit = app.calls.transfer().await?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let (wanted, want) = oneshot::channel();
    let reader = BodyReader {
        receiver,
        wanted: Some(wanted),
        handle: Handle::current(),
        current: Bytes::new(),
        ended: false,
        broken: None,
        asker: Asker { again, service: Arc::clone(&app.service), asked: Instant::now() },
        refused: None,
    };
    let service = Arc::clone(&app.service);
    let mut job = tokio::task::spawn_blocking(move || {
        let result = read_all(&service, reader, verb);
        drop(permit);
        result
    });
    let asked = AtomicBool::new(false);
    let pump = async {
        // Reading the body makes the server answer `Expect: 100-continue`, so
        // a verb that refuses at once spares its client the sending.
        let begin = want.await.is_ok();
        asked.store(begin, Relaxed);
        begin && pump(&mut body, sender, app.metrics.received()).await
    };
    let (result, drained) = tokio::select! {
        biased;
        drained = pump => (job.await, drained),
        result = &mut job => (result, false),
    };
    if !drained && (asked.load(Relaxed) || !waits) {
        tokio::spawn(linger(body));
    }
    result.map_err(Failure::panicked)?
}

/// The blocking side.
fn read_all<T>(
    service: &Service,
    mut reader: BodyReader,
    verb: impl FnOnce(&Service, &mut dyn Read) -> Result<T, Error>,
) -> Result<T, Failure> {
    let result = verb(service, &mut reader);
    if let Some(refused) = reader.refused {
        return Err(refused.into());
    }
    match reader.broken {
        Some(reason) if result.is_err() => Err(Failure::new(
            ErrorKind::Invalid,
            format!("the upload broke off: {reason}; nothing was kept, send it again"),
        )),
        _ => result.map_err(Failure::from),
    }
}

/// The async side: true once the body was read to its end, whichever that is.
async fn pump(body: &mut Body, sender: mpsc::Sender<Piece>, received: ByteCounter) -> bool {
    loop {
        let (piece, last) = match next_piece(body).await {
            Some(Ok(bytes)) => {
                received.add(bytes.len() as u64);
                (Piece::Bytes(bytes), false)
            }
            Some(Err(reason)) => (Piece::Broken(reason), true),
            None => (Piece::End, true),
        };
        if sender.send(piece).await.is_err() || last {
            return last;
        }
    }
}

async fn next_piece(body: &mut Body) -> Option<Result<Bytes, String>> {
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(bytes)) if bytes.is_empty() => {}
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            Ok(Err(_trailers)) => {}
            Err(error) => return Some(Err(error.to_string())),
        }
    }
}

async fn linger(mut body: Body) {
    let rest = async { while let Some(Ok(_)) = next_piece(&mut body).await {} };
    // Over time: the connection is then closed under the client, as it must be.
    let _ = timeout(LINGER_MAX, rest).await;
}

struct BodyReader {
    receiver: mpsc::Receiver<Piece>,
    wanted: Option<oneshot::Sender<()>>,
    handle: Handle,
    current: Bytes,
    ended: bool,
    broken: Option<String>,
    asker: Asker,
    /// Why its sender may send no more.
    refused: Option<Error>,
}

/// Asks again who sends a body, while it comes.
struct Asker {
    again: Option<Again>,
    service: Arc<Service>,
    asked: Instant,
}

impl Asker {
    fn check(&mut self, ended: bool) -> Result<(), Error> {
        let Some(again) = &mut self.again else { return Ok(()) };
        if self.asked.elapsed() < if ended { ASKED_AT_END } else { ASKED_EVERY } {
            return Ok(());
        }
        self.asked = Instant::now();
        again(&self.service)
    }
}

impl BodyReader {
    fn next(&mut self) -> io::Result<()> {
        if let Some(wanted) = self.wanted.take() {
            // The other end is gone when the client is; the channel says so below.
            let _ = wanted.send(());
        }
        let piece = match self.receiver.try_recv() {
            Ok(piece) => Some(piece),
            // A client that sends nothing is given up by the body itself.
            Err(_) => self.handle.block_on(self.receiver.recv()),
        };
        match piece {
            Some(Piece::Bytes(bytes)) => self.current = bytes,
            Some(Piece::End) => self.ended = true,
            Some(Piece::Broken(reason)) => self.broken = Some(reason),
            None => self.broken = Some("the client went away".to_owned()),
        }
        if let Err(error) = self.asker.check(self.ended) {
            self.broken = Some(error.to_string());
            self.refused = Some(error);
        }
        self.check()
    }

    fn check(&self) -> io::Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(reason) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason.clone())),
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        while self.current.is_empty() && !self.ended {
            self.next()?;
        }
        let len = out.len().min(self.current.len());
        out[..len].copy_from_slice(&self.current.split_to(len));
        Ok(len)
    }
}
