//! Where the server is reached: sockets that are waited on until the server stops.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use thiserror::Error;

use crate::stream::Socket;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP; port 0 lets the system choose one.
    Tcp(SocketAddr),
    /// A UNIX socket. A socket file there that nobody listens on any more is replaced.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why the server cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// An address cannot be had.
    #[error("cannot listen for NBD on {address}: {source}")]
    Bind {
        /// Which.
        address: Listen,
        /// What the system says.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start the thread that accepts NBD connections: {0}")]
    Thread(io::Error),
}

enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

pub(crate) struct Listener {
    kind: Kind,
    address: Listen,
}

/// Where a connection comes from.
pub(crate) struct Peer {
    /// For logs.
    pub(crate) label: String,
    /// From this machine.
    pub(crate) local: bool,
    /// Through a UNIX socket.
    pub(crate) unix: bool,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl Listener {
    pub(crate) fn bind(address: &Listen) -> Result<Self, ListenError> {
        Self::try_bind(address)
            .map_err(|source| ListenError::Bind { address: address.clone(), source })
    }

    fn try_bind(address: &Listen) -> io::Result<Self> {
        let (kind, address) = match address {
            Listen::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted)?;
                listener.set_nonblocking(true)?;
                let bound = listener.local_addr()?;
                (Kind::Tcp(listener), Listen::Tcp(bound))
            }
            Listen::Unix(path) => {
                let listener = match UnixListener::bind(path) {
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        remove_if_stale(path, error)?;
                        UnixListener::bind(path)?
                    }
                    other => other?,
                };
                listener.set_nonblocking(true)?;
                (Kind::Unix(listener), address.clone())
            }
        };
        Ok(Self { kind, address })
    }

    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self) -> &Listen {
        &self.address
    }

    /// Waits for a connection; `None` once `stop` can be read or has been closed.
    pub(crate) fn accept(&self, stop: BorrowedFd<'_>) -> Option<io::Result<(Socket, Peer)>> {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(stop, PollFlags::IN),
                PollFd::from_borrowed_fd(self.fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Some(Err(error.into())),
                Ok(_) if !fds[0].revents().is_empty() => return None,
                Ok(_) => {}
            }
            match self.try_accept() {
                // Somebody came and left again.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock
                            | ErrorKind::ConnectionAborted
                            | ErrorKind::Interrupted
                    ) => {}
                other => return Some(other),
            }
        }
    }

    fn try_accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (socket, peer) = listener.accept()?;
                socket.set_nonblocking(false)?;
                let local = peer.ip().to_canonical().is_loopback();
                Ok((Socket::Tcp(socket), Peer { label: peer.to_string(), local, unix: false }))
            }
            Kind::Unix(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(false)?;
                let label = self.address.to_string();
                Ok((Socket::Unix(socket), Peer { label, local: true, unix: true }))
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tcp(listener) => listener.as_fd(),
            Kind::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listen::Unix(path) = &self.address {
            // Removed while it is still listening, so that it cannot be somebody else's by now.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a socket file whose server has gone.
fn remove_if_stale(path: &PathBuf, in_use: io::Error) -> io::Result<()> {
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            // Connecting to a plain file is refused too, and that is not ours to remove.
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(in_use);
            }
            std::fs::remove_file(path)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        _ => Err(in_use),
    }
}
