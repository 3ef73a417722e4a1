//! Entry points for fuzzers: what parses the bytes of a stranger.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc;

use archipelago_env::Env;

use crate::export::Exports;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::link::Link;
use crate::listen::Peer;
use crate::server;
use crate::stream::{Patience, Socket, Stream};

pub use crate::proto::{fuzz_options, fuzz_requests};

/// What a client may have sent before the server takes any of it, in bytes: more
/// would wait for room in the socket.
const SENT_BYTES_MAX: usize = 64 << 10;

/// Serves one connection, over a pair of sockets, whose client sends `sent` and then
/// no more. Returns once it has ended, with how many bytes were answered.
///
/// # Errors
/// No sockets or no thread are to be had.
pub fn session(env: &Env, exports: Arc<dyn Exports>, sent: &[u8]) -> io::Result<u64> {
    let (mut client, socket) = UnixStream::pair()?;
    client.write_all(&sent[..sent.len().min(SENT_BYTES_MAX)])?;
    client.shutdown(Shutdown::Write)?;
    let hub = Hub::new(env.clone(), exports, None, Limits::default());
    let patience: Arc<dyn Patience> = Arc::clone(&hub) as _;
    let stream = Stream::new(Socket::Unix(socket), patience)?;
    let peer = Peer { label: "fuzzer".to_owned(), local: true, unix: true };
    let link = Link::new(1, peer, stream, hub);
    let (tell, told) = mpsc::channel();
    // Somebody has to take the answers while they are made.
    let receiver = env.threads().spawn(
        "nbd-receiver",
        Box::new(move || {
            let mut buffer = vec![0; SENT_BYTES_MAX];
            let mut answered = 0;
            while let Ok(count @ 1..) = client.read(&mut buffer) {
                answered += count as u64;
            }
            // It fails when nobody waits for the answer any more.
            let _ = tell.send(answered);
        }),
    )?;
    server::serve(&link);
    receiver.join().map_err(io::Error::other)?;
    told.recv().map_err(io::Error::other)
}
