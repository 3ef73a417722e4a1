//! A client that sends and receives any bytes: what no real client would send too.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use archipelago_block::{Limits, Listen, NbdServer, TlsConfig};
use archipelago_env::Env;

use crate::memory::MemoryExports;

pub const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
pub const REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;

pub mod opt {
    pub const EXPORT_NAME: u32 = 1;
    pub const ABORT: u32 = 2;
    pub const LIST: u32 = 3;
    pub const STARTTLS: u32 = 5;
    pub const INFO: u32 = 6;
    pub const GO: u32 = 7;
    pub const STRUCTURED_REPLY: u32 = 8;
    pub const LIST_META_CONTEXT: u32 = 9;
    pub const SET_META_CONTEXT: u32 = 10;
    pub const EXTENDED_HEADERS: u32 = 11;
}

pub mod rep {
    pub const ACK: u32 = 1;
    pub const SERVER: u32 = 2;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
    pub const UNSUP: u32 = 0x8000_0001;
    pub const POLICY: u32 = 0x8000_0002;
    pub const INVALID: u32 = 0x8000_0003;
    pub const TLS_REQD: u32 = 0x8000_0005;
    pub const UNKNOWN: u32 = 0x8000_0006;
    pub const TOO_BIG: u32 = 0x8000_0009;
}

pub mod cmd {
    pub const READ: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const DISC: u16 = 2;
    pub const FLUSH: u16 = 3;
    pub const TRIM: u16 = 4;
    pub const CACHE: u16 = 5;
    pub const WRITE_ZEROES: u16 = 6;
    pub const BLOCK_STATUS: u16 = 7;
}

pub const FUA: u16 = 1;
pub const NO_HOLE: u16 = 2;
pub const DF: u16 = 4;
pub const REQ_ONE: u16 = 8;
pub const FAST_ZERO: u16 = 16;
pub const PAYLOAD_LEN: u16 = 32;

pub const EPERM: u32 = 1;
pub const EINVAL: u32 = 22;
pub const ENOSPC: u32 = 28;

pub const NONE: u16 = 0;
pub const OFFSET_DATA: u16 = 1;
pub const OFFSET_HOLE: u16 = 2;
pub const BLOCK_STATUS: u16 = 5;
pub const BLOCK_STATUS_EXT: u16 = 6;
pub const ERROR: u16 = 0x8001;

/// Starts a server of `exports` on a port of its own.
pub fn serve(exports: &Arc<MemoryExports>) -> NbdServer {
    serve_with(exports, None, Limits::default())
}

pub fn serve_with(
    exports: &Arc<MemoryExports>,
    tls: Option<TlsConfig>,
    limits: Limits,
) -> NbdServer {
    let listen = [Listen::Tcp("127.0.0.1:0".parse().unwrap())];
    NbdServer::start(Env::real(), Arc::clone(exports) as _, &listen, tls, limits).unwrap()
}

pub fn port(server: &NbdServer) -> u16 {
    match &server.local_addrs()[0] {
        Listen::Tcp(address) => address.port(),
        Listen::Unix(path) => panic!("{} is no TCP address", path.display()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    Simple,
    Structured,
    Extended,
}

/// An answer, or a chunk of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub kind: u16,
    pub done: bool,
    pub cookie: u64,
    pub payload: Vec<u8>,
}

impl Chunk {
    pub fn errno(&self) -> u32 {
        assert_eq!(self.kind, ERROR, "{self:?}");
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }
}

pub struct Client {
    pub socket: TcpStream,
    pub style: Style,
}

impl Client {
    /// Connects and takes the greeting.
    pub fn connect(server: &NbdServer) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port(server))).unwrap();
        // A test that would hang fails instead.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = Self { socket, style: Style::Simple };
        assert_eq!(client.u64(), 0x4e42_444d_4147_4943);
        assert_eq!(client.u64(), OPTION_MAGIC);
        assert_eq!(client.u16(), 3, "fixed newstyle, no zeroes");
        client.send(&3u32.to_be_bytes());
        client
    }

    /// Connects and opens an export with GO.
    pub fn open(server: &NbdServer, export: &str, style: Style) -> Self {
        let mut client = Self::connect(server);
        client.negotiate(style);
        let replies = client.option(opt::GO, &info_data(export, &[]));
        assert_eq!(replies.last().unwrap().0, rep::ACK, "{replies:?}");
        client
    }

    pub fn negotiate(&mut self, style: Style) {
        let option = match style {
            Style::Simple => return,
            Style::Structured => opt::STRUCTURED_REPLY,
            Style::Extended => opt::EXTENDED_HEADERS,
        };
        assert_eq!(self.option(option, &[]), [(rep::ACK, Vec::new())]);
        self.style = style;
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes(2).try_into().unwrap())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes(4).try_into().unwrap())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.bytes(8).try_into().unwrap())
    }

    /// Whether the server has closed the connection and sent nothing before.
    pub fn is_closed(&mut self) -> bool {
        match self.socket.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    pub fn send_option(&mut self, option: u32, data: &[u8]) {
        let mut bytes = OPTION_MAGIC.to_be_bytes().to_vec();
        bytes.extend_from_slice(&option.to_be_bytes());
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        bytes.extend_from_slice(data);
        self.send(&bytes);
    }

    /// Sends an option and takes all of its answers: type and data.
    pub fn option(&mut self, option: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.send_option(option, data);
        let mut replies = Vec::new();
        loop {
            assert_eq!(self.u64(), REPLY_MAGIC);
            assert_eq!(self.u32(), option);
            let rep = self.u32();
            let len = self.u32() as usize;
            let data = self.bytes(len);
            replies.push((rep, data));
            if rep == rep::ACK || rep & 0x8000_0000 != 0 {
                return replies;
            }
        }
    }

    /// The type of the one answer to an option.
    pub fn verdict(&mut self, option: u32, data: &[u8]) -> u32 {
        self.option(option, data).last().unwrap().0
    }

    pub fn header(&self, command: u16, flags: u16, cookie: u64, offset: u64, len: u64) -> Vec<u8> {
        let extended = self.style == Style::Extended;
        let magic: u32 = if extended { 0x21e4_1c71 } else { 0x2560_9513 };
        let mut bytes = magic.to_be_bytes().to_vec();
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&command.to_be_bytes());
        bytes.extend_from_slice(&cookie.to_be_bytes());
        bytes.extend_from_slice(&offset.to_be_bytes());
        if extended {
            bytes.extend_from_slice(&len.to_be_bytes());
        } else {
            bytes.extend_from_slice(&(len as u32).to_be_bytes());
        }
        bytes
    }

    pub fn request(&mut self, command: u16, flags: u16, cookie: u64, offset: u64, len: u64) {
        let header = self.header(command, flags, cookie, offset, len);
        self.send(&header);
    }

    pub fn write_bytes(&self, flags: u16, cookie: u64, offset: u64, data: &[u8]) -> Vec<u8> {
        let payload = if self.style == Style::Extended { PAYLOAD_LEN } else { 0 };
        let mut bytes = self.header(cmd::WRITE, flags | payload, cookie, offset, data.len() as u64);
        bytes.extend_from_slice(data);
        bytes
    }

    /// One answer without data: its error, or zero, and its cookie.
    pub fn result(&mut self) -> (u32, u64) {
        let magic = self.u32();
        if magic == 0x6744_6698 {
            assert_ne!(self.style, Style::Extended);
            let errno = self.u32();
            return (errno, self.u64());
        }
        let chunk = self.chunk_after(magic);
        assert!(chunk.done);
        let errno = if chunk.kind == NONE { 0 } else { chunk.errno() };
        (errno, chunk.cookie)
    }

    pub fn chunk(&mut self) -> Chunk {
        let magic = self.u32();
        self.chunk_after(magic)
    }

    fn chunk_after(&mut self, magic: u32) -> Chunk {
        let extended = self.style == Style::Extended;
        assert_eq!(magic, if extended { 0x6e8a_278c } else { 0x668e_33ef });
        let done = self.u16() & 1 == 1;
        let kind = self.u16();
        let cookie = self.u64();
        let len = if extended {
            let _offset = self.u64();
            self.u64()
        } else {
            u64::from(self.u32())
        };
        Chunk { kind, done, cookie, payload: self.bytes(len as usize) }
    }

    pub fn do_write(&mut self, flags: u16, offset: u64, data: &[u8]) -> u32 {
        let bytes = self.write_bytes(flags, 77, offset, data);
        self.send(&bytes);
        let (errno, cookie) = self.result();
        assert_eq!(cookie, 77);
        errno
    }

    pub fn run(&mut self, command: u16, flags: u16, offset: u64, len: u64) -> u32 {
        self.request(command, flags, 78, offset, len);
        let (errno, cookie) = self.result();
        assert_eq!(cookie, 78);
        errno
    }

    /// Reads, and puts the pieces together where they come in pieces.
    pub fn do_read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, u32> {
        self.request(cmd::READ, 0, 79, offset, len as u64);
        if self.style == Style::Simple {
            return match self.result() {
                (0, 79) => Ok(self.bytes(len)),
                (errno, _) => Err(errno),
            };
        }
        let mut data = vec![0xdd; len];
        loop {
            let chunk = self.chunk();
            let at = |payload: &[u8]| {
                (u64::from_be_bytes(payload[..8].try_into().unwrap()) - offset) as usize
            };
            match chunk.kind {
                OFFSET_DATA => {
                    let bytes = &chunk.payload[8..];
                    data[at(&chunk.payload)..][..bytes.len()].copy_from_slice(bytes);
                }
                OFFSET_HOLE => {
                    let len = u32::from_be_bytes(chunk.payload[8..].try_into().unwrap());
                    data[at(&chunk.payload)..][..len as usize].fill(0);
                }
                NONE => {}
                _ => return Err(chunk.errno()),
            }
            if chunk.done {
                return Ok(data);
            }
        }
    }
}

/// The data of INFO and GO.
pub fn info_data(export: &str, wanted: &[u16]) -> Vec<u8> {
    let mut data = (export.len() as u32).to_be_bytes().to_vec();
    data.extend_from_slice(export.as_bytes());
    data.extend_from_slice(&(wanted.len() as u16).to_be_bytes());
    wanted.iter().for_each(|info| data.extend_from_slice(&info.to_be_bytes()));
    data
}

/// The data of the meta context options.
pub fn meta_data(export: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = (export.len() as u32).to_be_bytes().to_vec();
    data.extend_from_slice(export.as_bytes());
    data.extend_from_slice(&(queries.len() as u32).to_be_bytes());
    for query in queries {
        data.extend_from_slice(&(query.len() as u32).to_be_bytes());
        data.extend_from_slice(query.as_bytes());
    }
    data
}

/// Names of the contexts that an option answered with.
pub fn context_names(replies: &[(u32, Vec<u8>)]) -> Vec<String> {
    replies
        .iter()
        .filter(|(rep, _)| *rep == rep::META_CONTEXT)
        .map(|(_, data)| String::from_utf8(data[4..].to_vec()).unwrap())
        .collect()
}
