//! A road to a server of HTTP with everything on it that happens on roads: answers that say "slow
//! down", and connections that break in the middle of either direction.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};

use crate::env;

/// A connection passes so much and is closed then, so that there are many.
const PASSED_BYTES: u64 = 5 << 20;
/// Where one breaks that breaks, in either direction.
const BROKEN_AFTER: u64 = 20_000;
/// What a server says that is asked too much.
const SLOW_DOWN: &str = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code>\
                         <Message>Please reduce your request rate.</Message></Error>";

/// How a road is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Road {
    /// Of four connections one is told to slow down and one breaks.
    Rough,
    /// Every request is told to slow down.
    Closed,
}

/// A listener in front of a server; it ends when this is dropped.
pub struct Unkind {
    port: u16,
    ended: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    broken: Arc<AtomicU64>,
}

impl Unkind {
    /// In front of `server`, which is `HOST:PORT`.
    pub fn start(server: &str, road: Road) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let unkind = Self {
            port: listener.local_addr()?.port(),
            ended: Arc::default(),
            refused: Arc::default(),
            broken: Arc::default(),
        };
        let (server, ended) = (server.to_owned(), Arc::clone(&unkind.ended));
        let (refused, broken) = (Arc::clone(&unkind.refused), Arc::clone(&unkind.broken));
        let accept = move || {
            for (nth, client) in listener.incoming().enumerate() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { continue };
                match (road, nth % 4) {
                    (Road::Closed, _) | (Road::Rough, 1) => {
                        refused.fetch_add(1, Ordering::Relaxed);
                        spawn(move || refuse(client));
                    }
                    (Road::Rough, 2) => {
                        broken.fetch_add(1, Ordering::Relaxed);
                        pass(client, &server, BROKEN_AFTER);
                    }
                    (Road::Rough, _) => pass(client, &server, PASSED_BYTES),
                }
            }
        };
        let threads = env().threads();
        threads.spawn("unkind", Box::new(accept)).context("cannot start a thread")?;
        Ok(unkind)
    }

    /// The URL of this end.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Connections that were told to slow down, and that broke.
    pub fn hurt(&self) -> (u64, u64) {
        (self.refused.load(Ordering::Relaxed), self.broken.load(Ordering::Relaxed))
    }
}

impl Drop for Unkind {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) {
    // Without a thread the connection is closed, which the client is there to bear.
    let _ = env().threads().spawn("unkind", Box::new(body));
}

/// Reads what comes and says no; then the client may send no more.
fn refuse(mut client: TcpStream) {
    let length = SLOW_DOWN.len();
    let answer = format!(
        "HTTP/1.1 503 Slow Down\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{SLOW_DOWN}"
    );
    let mut bytes = [0; 64 << 10];
    if matches!(client.read(&mut bytes), Ok(1..)) && client.write_all(answer.as_bytes()).is_ok() {
        let _ = client.shutdown(Shutdown::Write);
        // A close with bytes unread would take the answer back.
        while matches!(client.read(&mut bytes), Ok(1..)) {}
    }
}

fn pass(client: TcpStream, server: &str, most: u64) {
    let both = |one: &TcpStream, other: &TcpStream| -> io::Result<()> {
        let (from, to) = (one.try_clone()?, other.try_clone()?);
        spawn(move || {
            let _ = io::copy(&mut (&from).take(most), &mut &to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
        Ok(())
    };
    if let Ok(server) = TcpStream::connect(server) {
        let _ = both(&client, &server).and_then(|()| both(&server, &client));
    }
}
