//! A connected socket, in the clear or under TLS, that one thread receives from and many send to.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroU64;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::sockopt;
use rustls::{ServerConfig, ServerConnection};

use crate::limits::{
    KEEPALIVE_COUNT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, SEND_ATTEMPT, SEND_STALL_MAX,
};

/// Ciphertext received with one system call, in bytes: a few TLS records.
const CIPHERTEXT_BYTES: usize = 64 << 10;

/// Plaintext encrypted under one hold of the TLS lock, in bytes, so that the receiver, which
/// needs the same lock, never waits long.
const ENCRYPTED_AT_ONCE_BYTES: usize = 64 << 10;

/// Either kind of socket.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Self::Tcp(socket) => (&*socket).read(buf),
                Self::Unix(socket) => (&*socket).read(buf),
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&*socket).write_vectored(parts),
            Self::Unix(socket) => (&*socket).write_vectored(parts),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // It fails when the peer has gone already, which is what was wanted.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
        };
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(timeout),
            Self::Unix(socket) => socket.set_read_timeout(timeout),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => {
                socket.set_nodelay(true)?;
                sockopt::set_socket_keepalive(socket, true)?;
                sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
                sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
                sockopt::set_tcp_keepcnt(socket, KEEPALIVE_COUNT)?;
                socket.set_write_timeout(Some(SEND_ATTEMPT))
            }
            Self::Unix(socket) => socket.set_write_timeout(Some(SEND_ATTEMPT)),
        }
    }
}

/// TLS of one connection. Lock order: `Stream::sending`, then `session`; `received` is the
/// receiver's and is never waited for.
struct Tls {
    session: Mutex<ServerConnection>,
    received: Mutex<Ciphertext>,
}

struct Ciphertext {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// Whether a sender that makes no progress should give up.
pub(crate) trait Patience: Send + Sync {
    /// `stalled` has passed since the last byte went out.
    fn exhausted(&self, stalled: Duration) -> bool;

    /// On the monotonic clock.
    fn now(&self) -> Duration;
}

/// A connection's bytes.
pub(crate) struct Stream {
    socket: Socket,
    tls: OnceLock<Tls>,
    /// Held while an answer is sent, so that answers do not mix.
    sending: Mutex<Vec<u8>>,
    patience: Arc<dyn Patience>,
    /// Until when the peer has to have done its part, whichever way bytes go: in ms on the
    /// clock of `patience`; 0 for without an end.
    deadline: AtomicU64,
}

impl Stream {
    /// Takes over a socket that was just accepted.
    pub(crate) fn new(socket: Socket, patience: Arc<dyn Patience>) -> io::Result<Self> {
        socket.prepare()?;
        let (tls, sending, deadline) = (OnceLock::new(), Mutex::default(), AtomicU64::new(0));
        Ok(Self { socket, tls, sending, patience, deadline })
    }

    /// Receives at least one byte, or zero at the end. Only one thread may receive.
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!buf.is_empty(), "zero bytes would look like the end");
        match self.tls.get() {
            None => self.receive(buf),
            Some(tls) => self.read_tls(tls, buf),
        }
    }

    /// Receives what comes first, until the deadline.
    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(left) = self.left()? {
            self.socket.set_read_timeout(Some(left))?;
        }
        self.socket.read(buf)
    }

    /// How long there is until the deadline, if there is one.
    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(end) = NonZeroU64::new(self.deadline.load(Ordering::Relaxed)) else {
            return Ok(None);
        };
        let left = Duration::from_millis(end.get()).saturating_sub(self.patience.now());
        match left.is_zero() {
            true => Err(ErrorKind::TimedOut.into()),
            false => Ok(Some(left)),
        }
    }

    /// Receives all of `buf`.
    pub(crate) fn read_exact(&self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read(buf)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => buf = &mut buf[count..],
            }
        }
        Ok(())
    }

    /// Sends all of `parts`, with nothing of other senders between them.
    pub(crate) fn send(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut ciphertext = self.sending.lock();
        match self.tls.get() {
            None => self.write_all(parts),
            Some(tls) => self.send_tls(tls, &mut ciphertext, parts),
        }
    }

    /// From now on all that is received and sent has to be done in so long; with `None` the peer
    /// may take as long as it likes.
    pub(crate) fn set_deadline(&self, from_now: Option<Duration>) -> io::Result<()> {
        let end = from_now.map_or(0, |time| (self.patience.now() + time).as_millis() as u64);
        self.deadline.store(end, Ordering::Relaxed);
        self.socket.set_read_timeout(from_now)
    }

    /// Does the server's side of a TLS handshake; from then on everything is encrypted. Must
    /// come before any other thread knows the stream, and once.
    pub(crate) fn start_tls(&self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(None);
        while session.is_handshaking() {
            let (received, _) = session.complete_io(&mut Both(self))?;
            if received == 0 && session.is_handshaking() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let received = Ciphertext { bytes: vec![0; CIPHERTEXT_BYTES], start: 0, end: 0 };
        let tls = Tls { session: Mutex::new(session), received: Mutex::new(received) };
        self.tls.set(tls).map_err(|_| io::Error::other("TLS is on already"))
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// Tells the peer that nothing more comes, then ends both directions.
    pub(crate) fn close(&self) {
        if let Some(tls) = self.tls.get() {
            // Whoever is sending finds the socket shut soon; no need to wait for it.
            if let Some(mut ciphertext) = self.sending.try_lock() {
                tls.session.lock().send_close_notify();
                let _ = self.flush_tls(tls, &mut ciphertext);
            }
        }
        self.cut();
    }

    /// Ends both directions at once; whoever receives or sends is woken.
    pub(crate) fn cut(&self) {
        self.socket.shutdown(Shutdown::Both);
    }

    /// Wakes the receiver, which finds the end; sending goes on.
    pub(crate) fn stop_receiving(&self) {
        self.socket.shutdown(Shutdown::Read);
    }

    fn read_tls(&self, tls: &Tls, buf: &mut [u8]) -> io::Result<usize> {
        let mut received = tls.received.lock();
        let mut filled = 0;
        loop {
            let (owes, closed) = {
                let mut session = tls.session.lock();
                let closed = received.decrypt(&mut session, buf, &mut filled)?;
                (session.wants_write(), closed)
            };
            if owes {
                let mut ciphertext = self.sending.lock();
                self.flush_tls(tls, &mut ciphertext)?;
            }
            if filled > 0 || closed {
                return Ok(filled);
            }
            let count = self.receive(&mut received.bytes)?;
            if count == 0 {
                return Ok(0);
            }
            (received.start, received.end) = (0, count);
        }
    }

    fn send_tls(
        &self,
        tls: &Tls,
        ciphertext: &mut Vec<u8>,
        parts: &[IoSlice<'_>],
    ) -> io::Result<()> {
        for piece in parts.iter().flat_map(|part| part.chunks(ENCRYPTED_AT_ONCE_BYTES)) {
            tls.session.lock().writer().write_all(piece)?;
            self.flush_tls(tls, ciphertext)?;
        }
        Ok(())
    }

    /// Sends what TLS has to say. The caller holds `sending`, of which `ciphertext` is the content.
    fn flush_tls(&self, tls: &Tls, ciphertext: &mut Vec<u8>) -> io::Result<()> {
        ciphertext.clear();
        {
            let mut session = tls.session.lock();
            while session.wants_write() {
                session.write_tls(ciphertext)?;
            }
        }
        // Not under the session's lock: while the peer does not read, we still do.
        self.write_all(&mut [IoSlice::new(ciphertext)])
    }

    fn write_all(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut stalled = Duration::ZERO;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            self.left()?;
            match self.socket.write_vectored(parts) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    stalled = Duration::ZERO;
                    IoSlice::advance_slices(&mut parts, count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => {
                    stalled += SEND_ATTEMPT;
                    if self.patience.exhausted(stalled) {
                        self.cut();
                        return Err(io::Error::new(
                            ErrorKind::TimedOut,
                            format!("the client took no answer for {stalled:?}"),
                        ));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether to give up on a client that takes no answers: a guest may be paused for as long as it
/// likes, unless others need the memory that its answers are in.
pub(crate) fn out_of_patience(stalled: Duration, memory_short: bool) -> bool {
    memory_short && stalled >= SEND_STALL_MAX
}

/// Whether a receive or send ended because its time was over.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Ciphertext {
    /// Decrypts into `buf` what has arrived, as far as it goes; adds what that was to `filled`.
    /// True once the peer has said that it is done and all it said before was taken.
    fn decrypt(
        &mut self,
        session: &mut ServerConnection,
        buf: &mut [u8],
        filled: &mut usize,
    ) -> io::Result<bool> {
        while *filled < buf.len() {
            match session.reader().read(&mut buf[*filled..]) {
                Ok(0) => return Ok(true),
                Ok(count) => *filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.start == self.end {
                        return Ok(false);
                    }
                    let mut rest = &self.bytes[self.start..self.end];
                    self.start += session.read_tls(&mut rest)?;
                    session.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

/// A connection as rustls wants it.
struct Both<'a>(&'a Stream);

impl Read for Both<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buf)
    }
}

impl Write for Both<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.left()?;
        self.0.socket.write_vectored(&[IoSlice::new(buf)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
