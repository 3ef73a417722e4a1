//! A way to a server that breaks at a COMMIT.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

/// Where it breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Before the server gets it.
    Request,
    /// After the server has answered.
    Answer,
}

pub struct Proxy {
    server: String,
    next: Mutex<Option<Cut>>,
    cuts: AtomicU32,
    ended: AtomicBool,
}

impl Proxy {
    /// Runs `body` with a proxy, and with the url that leads through it.
    pub fn between(url: &str, body: impl FnOnce(&Self, &str)) {
        let (_, rest) = url.split_once('@').unwrap();
        let server = rest.split('/').next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let proxy = Self {
            server: server.to_owned(),
            next: Mutex::default(),
            cuts: AtomicU32::default(),
            ended: AtomicBool::default(),
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for client in listener.incoming() {
                    if proxy.ended.load(Ordering::Acquire) {
                        break;
                    }
                    let (proxy, client) = (&proxy, client.unwrap());
                    scope.spawn(move || proxy.serve(client));
                }
            });
            // Also where it fails: the scope waits for the threads.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                body(&proxy, &url.replacen(server, &here, 1));
            }));
            proxy.ended.store(true, Ordering::Release);
            drop(TcpStream::connect(&here));
            if let Err(panic) = done {
                std::panic::resume_unwind(panic);
            }
        });
    }

    /// Breaks the way at the next COMMIT.
    pub fn cut(&self, cut: Cut) {
        *self.next.lock() = Some(cut);
    }

    /// How often it broke.
    pub fn cuts(&self) -> u32 {
        self.cuts.load(Ordering::Acquire)
    }

    fn serve(&self, client: TcpStream) {
        let server = TcpStream::connect(&self.server).unwrap();
        let muted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut piece = [0; 1 << 16];
                while let Ok(len @ 1..) = (&server).read(&mut piece) {
                    let muted = muted.load(Ordering::Acquire);
                    if muted || (&client).write_all(&piece[..len]).is_err() {
                        break;
                    }
                }
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            });
            let mut piece = [0; 1 << 16];
            while let Ok(len @ 1..) = (&client).read(&mut piece) {
                let commits = piece[..len].windows(6).any(|word| word == b"COMMIT");
                let cut = if commits { self.next.lock().take() } else { None };
                self.cuts.fetch_add(u32::from(cut.is_some()), Ordering::AcqRel);
                match cut {
                    Some(Cut::Request) => break,
                    Some(Cut::Answer) => muted.store(true, Ordering::Release),
                    None => {}
                }
                if (&server).write_all(&piece[..len]).is_err() {
                    break;
                }
            }
            if !muted.load(Ordering::Acquire) {
                let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            }
        });
    }
}
