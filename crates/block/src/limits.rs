//! Every bound of the server, with its unit and its reason.

use std::time::Duration;

/// Smallest unit of a request that needs no read-modify-write, in bytes: a sector.
pub(crate) const BLOCK_BYTES_MIN: u32 = 512;

/// What clients are advised to align to, in bytes: the guests' block.
pub(crate) const BLOCK_BYTES_PREFERRED: u32 = 4096;

/// Longest read or write that clients are told to send, in bytes: what the protocol asks every
/// server to take.
pub(crate) const PAYLOAD_BYTES_ADVISED: u32 = 32 << 20;

/// Longest read or write that is served, in bytes: clients that never asked send more than is
/// advised (nbd-tester-client 48 MiB).
pub(crate) const PAYLOAD_BYTES_MAX: u32 = 64 << 20;

/// What one call to an export reads or writes at most, in bytes.
pub(crate) const EXPORT_BYTES_MAX: usize = PAYLOAD_BYTES_ADVISED as usize;

/// Longest payload of a refused request that is read and dropped, in bytes, so that the client
/// gets an answer; for a longer one the connection is closed.
pub(crate) const PAYLOAD_BYTES_DRAINED_MAX: u64 = 128 << 20;

/// A request whose payload is longer than this, in bytes, is not served from the connection's
/// own buffers: it gets a buffer of its own and may go to a helper thread.
pub(crate) const SMALL_BYTES_MAX: usize = 256 << 10;

/// The buffer a connection receives into, in bytes: one small request and room for the headers
/// behind it.
pub(crate) const INBOX_BYTES: usize = SMALL_BYTES_MAX + (16 << 10);

/// Answers are sent once this many bytes of them wait, so that many small reads in one batch
/// cannot fill the memory.
pub(crate) const OUTBOX_BYTES_SENT: usize = 512 << 10;

/// Requests taken from the inbox as one batch. Enough for any queue depth that clients use; it
/// bounds what one write of a batch gathers.
pub(crate) const BATCH_REQUESTS_MAX: usize = 512;

/// Requests that wait for a helper thread of one connection; the connection reads no further
/// requests while so many wait.
pub(crate) const HELPER_QUEUE_MAX: usize = 64;

/// Helper threads a connection may have. They mostly wait, for a sync or for a disk, so it is
/// not bound to the number of processors.
pub(crate) const HELPERS_PER_CONNECTION_MAX: usize = 16;

/// How long a helper thread waits for work before it ends.
pub(crate) const HELPER_IDLE: Duration = Duration::from_secs(10);

/// A name or any other string of the protocol, in bytes.
pub(crate) const STRING_BYTES_MAX: usize = 4096;

/// The data of one option in the handshake, in bytes: room for a list of meta contexts.
pub(crate) const OPTION_BYTES_MAX: u32 = 64 << 10;

/// The data of a refused option that is read and dropped, in bytes, in pieces of
/// [`OPTION_BYTES_MAX`]; for more the connection is closed.
pub(crate) const OPTION_BYTES_DRAINED_MAX: u32 = 1 << 20;

/// Options one connection may send: a client that looks at every one of ten thousand exports
/// needs a few for each.
pub(crate) const OPTIONS_MAX: u32 = 100_000;

/// Of the connections, so many are kept for clients of UNIX sockets, or an eighth of fewer: whoever
/// reaches the port cannot keep the operator and the guests of this machine out.
pub(crate) const CONNECTIONS_KEPT_MAX: usize = 16;

/// Queries in one meta context option.
pub(crate) const META_QUERIES_MAX: u32 = 1024;

/// Meta contexts one connection may select: each adds an answer to every block status request.
pub(crate) const META_CONTEXTS_MAX: usize = 16;

/// Descriptors in one block status answer per context. The protocol allows 2^20; a client asks
/// again for the rest.
pub(crate) const STATUS_DESCRIPTORS_MAX: usize = 16 << 10;

/// A read of at least this many bytes looks for holes first, so that they are not sent. For less
/// the look costs more than the zeros.
pub(crate) const HOLE_READ_BYTES_MIN: usize = 128 << 10;

/// Pieces that one read's answer is split into at most.
pub(crate) const READ_PIECES_MAX: usize = 32;

/// What one cache request reads at most, in bytes; it is a hint.
pub(crate) const CACHE_BYTES_MAX: u64 = PAYLOAD_BYTES_ADVISED as u64;

/// The unit in which a cache request reads, in bytes.
pub(crate) const CACHE_STEP_BYTES: usize = 1 << 20;

/// Freed request buffers kept for the next requests, in bytes, by all connections together.
pub(crate) const BUFFERS_KEPT_BYTES_MAX: usize = 64 << 20;

/// How long the kernel may wait in one attempt to send; between attempts the sender looks
/// whether it should give up.
pub(crate) const SEND_ATTEMPT: Duration = Duration::from_secs(2);

/// After this long without a byte sent, a connection that holds memory others wait for is closed.
pub(crate) const SEND_STALL_MAX: Duration = Duration::from_secs(30);

/// Idle time after which the kernel asks whether a TCP peer is still there.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Pause between those questions.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Unanswered questions before a connection counts as lost.
pub(crate) const KEEPALIVE_COUNT: u32 = 6;

/// Pause after a failed accept, when descriptors or memory ran out.
pub(crate) const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Bounds an operator may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, by all listeners; one thread each.
    pub connections: usize,
    /// Helper threads at once, by all connections.
    pub helpers: usize,
    /// Bytes in the large requests and answers of one connection.
    pub bytes_in_flight_per_connection: usize,
    /// Bytes in the large requests and answers of all connections.
    pub bytes_in_flight: usize,
    /// How long a client may take until it has opened an export, all steps of the handshake
    /// together; and for each further step after that.
    pub handshake: Duration,
    /// How long [`crate::NbdServer::stop`] waits for answers to be sent before it cuts connections.
    pub stop_grace: Duration,
}

impl Limits {
    /// Of the connections, those that clients of UNIX sockets have for themselves.
    pub(crate) fn connections_kept(&self) -> usize {
        CONNECTIONS_KEPT_MAX.min(self.connections / 8)
    }

    /// The limits with those that would block every large request raised to where one fits.
    pub(crate) fn checked(mut self) -> Self {
        let one = 2 * PAYLOAD_BYTES_MAX as usize;
        self.bytes_in_flight_per_connection = self.bytes_in_flight_per_connection.max(one);
        self.bytes_in_flight = self.bytes_in_flight.max(self.bytes_in_flight_per_connection);
        self.connections = self.connections.max(1);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            helpers: 256,
            bytes_in_flight_per_connection: 128 << 20,
            bytes_in_flight: 512 << 20,
            handshake: Duration::from_secs(60),
            stop_grace: Duration::from_secs(10),
        }
    }
}

const _: () = assert!(SMALL_BYTES_MAX + 64 < INBOX_BYTES);
const _: () = assert!(SMALL_BYTES_MAX <= OUTBOX_BYTES_SENT);
const _: () = assert!(HOLE_READ_BYTES_MIN <= SMALL_BYTES_MAX);
const _: () = assert!(STRING_BYTES_MAX < OPTION_BYTES_MAX as usize);
const _: () = assert!(PAYLOAD_BYTES_ADVISED <= PAYLOAD_BYTES_MAX);
const _: () = assert!(PAYLOAD_BYTES_MAX as u64 <= PAYLOAD_BYTES_DRAINED_MAX);
const _: () = assert!(EXPORT_BYTES_MAX.is_multiple_of(BLOCK_BYTES_MIN as usize));
