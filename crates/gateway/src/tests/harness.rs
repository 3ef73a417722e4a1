//! A server with its pool, and an HTTP client that sees every byte.

use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use archipelago_api::{Error, ErrorKind};
use archipelago_env::Env;
use archipelago_format::stream;
use archipelago_pool::{Config, Service};
use axum::Router;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::patience::Patience;
use crate::{App, Domains, Login, Server, Stop, routes};

/// A client gives up after this long, so that a hanging server fails the test.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Harness {
    pub(crate) app: App,
    pub(crate) address: SocketAddr,
    pub(crate) stop: Stop,
    runtime: Runtime,
    running: Option<JoinHandle<()>>,
    _dir: TempDir,
}

impl Harness {
    pub(crate) fn start() -> Self {
        Self::with_router(routes::router)
    }

    pub(crate) fn with_router(router: impl FnOnce(App) -> Router) -> Self {
        Self::with(router, Patience::default(), Login::default())
    }

    pub(crate) fn with_patience(patience: Patience) -> Self {
        Self::with(routes::router, patience, Login::default())
    }

    pub(crate) fn with_login(login: Login) -> Self {
        Self::with(routes::router, Patience::default(), login)
    }

    fn with(router: impl FnOnce(App) -> Router, patience: Patience, login: Login) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let service =
            Service::open(&dir.path().join("data"), Env::real(), Config::default()).unwrap();
        let runtime = Runtime::new().unwrap();
        let bind = Server::bind(
            "127.0.0.1:0".parse().unwrap(),
            Vec::new(),
            Domains::default(),
            login,
            service,
            Arc::new(Vec::new),
        );
        let mut server = runtime.block_on(bind).unwrap();
        server.hurry(patience);
        let (app, address, stop) = (server.app().clone(), server.address(), Stop::new());
        let running = runtime.spawn(server.run_router(router(app.clone()), stop.clone()));
        Self { app, address, stop, runtime, running: Some(running), _dir: dir }
    }

    /// Tells the server to stop and waits until it has.
    pub(crate) fn finish(&mut self) {
        self.stop.stop();
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running).unwrap();
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// One request on a connection of its own; `head` are further header lines.
    pub(crate) fn raw(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let mut socket = self.connect();
        let len = body.len();
        let host = if head.contains("Host:") { "" } else { "Host: localhost\r\n" };
        let line = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n");
        let head = format!("{line}{head}Content-Length: {len}\r\n\r\n");
        let sent = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body));
        // Who is refused early has not sent all of it.
        if let Err(error) = sent {
            assert!(matches!(error.kind(), BrokenPipe | ConnectionReset), "{error}");
        }
        Answer::read(&mut socket)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.raw("GET", path, "", b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.raw("DELETE", path, "", b"")
    }

    pub(crate) fn post(&self, path: &str, json: &str) -> Answer {
        self.raw("POST", path, "Content-Type: application/json\r\n", json.as_bytes())
    }

    /// Waits until no transfer runs.
    pub(crate) fn await_no_transfer(&self) {
        let none = async {
            while self.app.calls.transfers_running() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, none).await })
            .expect("a transfer hangs");
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.finish();
        let _ = self.app.service.close();
    }
}

/// An answer, with the framing taken off its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn read(socket: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that is reset in the middle still gave what came before.
        let _ = socket.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("no HTTP head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let rest = &bytes[end + 4..];
        let status = head[9..12].parse().unwrap();
        let (body, whole) = if head.contains("transfer-encoding: chunked") {
            unchunk(rest)
        } else {
            (rest.to_vec(), true)
        };
        Self { status, head, body, whole }
    }

    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self, status: u16) -> T {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[track_caller]
    pub(crate) fn error(&self, status: u16, kind: ErrorKind) -> String {
        let error: Error = self.json(status);
        assert_eq!(error.kind, kind, "{error}");
        error.message
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if rest.len() < size + 2 {
            return (body, false);
        }
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// A full transfer stream of `content`.
pub(crate) fn full_stream(content: &[u8]) -> Vec<u8> {
    let header = stream::Header { size: content.len() as u64, base: None, identity: None };
    let mut writer = stream::Writer::new(Vec::new(), &header).unwrap();
    for (index, piece) in content.chunks(stream::DATA_BYTES_MAX).enumerate() {
        writer.data((index * stream::DATA_BYTES_MAX) as u64, piece).unwrap();
    }
    writer.finish().unwrap()
}

/// What a full transfer stream holds.
pub(crate) fn content_of(bytes: &[u8]) -> Vec<u8> {
    let mut reader = stream::Reader::new(bytes).unwrap();
    let mut content = vec![0; reader.header().size as usize];
    loop {
        match reader.next().unwrap() {
            stream::Record::Data { offset, bytes } => {
                content[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
            }
            stream::Record::Zero { .. } => {}
            stream::Record::End => return content,
        }
    }
}

/// Bytes that neither compress nor repeat.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}
