//! A small NBD client, for tests that must know which request was acknowledged
//! when the daemon died. Fixed newstyle, simple replies, many writes in flight.
//!
//! It knows the protocol by itself, so that a misreading of it in the server is
//! not repeated here; other people's clients check the rest.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const INIT_MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

const CLIENT_FIXED_NEWSTYLE: u32 = 1;
const CLIENT_NO_ZEROES: u32 = 2;

const OPTION_LIST: u32 = 3;
const OPTION_GO: u32 = 7;
const OPTION_ACK: u32 = 1;
const OPTION_SERVER: u32 = 2;
const OPTION_INFO: u32 = 3;
const INFO_EXPORT: u16 = 0;

/// No answer to one option is longer than this; the standard's longest string is 4 KiB.
const OPTION_BYTES_MAX: u32 = 64 << 10;

/// A reply that does not come within this is taken for a request that was never answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What a client asks of the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Bytes, please.
    Read = 0,
    /// Take these bytes.
    Write = 1,
    /// Make durable what was acknowledged.
    Flush = 3,
    /// These bytes are not needed any more.
    Trim = 4,
    /// Make these bytes zeros.
    Zero = 6,
}

/// The request is durable before it is acknowledged.
pub const FUA: u16 = 1;

/// The answer to a request that is not success.
#[derive(Debug)]
pub enum Failure {
    /// The server refused with this NBD error, which is an errno of Linux.
    Refused(u32),
    /// The connection broke: whether the request was carried out is unknown.
    Broken(io::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "refused with NBD error {code}"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// A request to send.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What to do.
    pub kind: Kind,
    /// [`FUA`] or 0.
    pub flags: u16,
    /// The first byte.
    pub offset: u64,
    /// How many bytes; of `data` for a write.
    pub len: u32,
    /// What to write, for a write.
    pub data: &'a [u8],
}

impl<'a> Request<'a> {
    /// A write of some bytes.
    pub fn write(offset: u64, data: &'a [u8]) -> Self {
        let len = u32::try_from(data.len()).expect("a test writes less than 4 GiB at once");
        Self { kind: Kind::Write, flags: 0, offset, len, data }
    }

    /// A request without bytes.
    pub fn plain(kind: Kind, offset: u64, len: u32) -> Self {
        Self { kind, flags: 0, offset, len, data: &[] }
    }

    /// The same, durable before it is acknowledged.
    pub fn durable(mut self) -> Self {
        self.flags |= FUA;
        self
    }
}

/// A connection to one export.
pub struct Client {
    stream: TcpStream,
    size: u64,
    cookie: u64,
}

impl Client {
    /// Connects to a server, such as `127.0.0.1:10809`, and opens an export.
    pub fn connect(server: &str, export: &str) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let size = handshake(&mut stream, export)?;
        Ok(Self { stream, size, cookie: 0 })
    }

    /// Bytes of the export.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sends all requests, then waits for all answers, in whatever order they come. The first
    /// refusal is returned, after every answer arrived.
    pub fn all(&mut self, requests: &[Request<'_>]) -> Result<(), Failure> {
        let first = self.cookie;
        let mut bytes = Vec::new();
        for request in requests {
            encode(request, self.cookie, &mut bytes);
            self.cookie += 1;
        }
        self.stream.write_all(&bytes)?;
        let mut waiting: Vec<u64> = (first..self.cookie).collect();
        let mut refused = None;
        while !waiting.is_empty() {
            let (cookie, error) = self.reply()?;
            let at = waiting.iter().position(|one| *one == cookie);
            let at = at.ok_or_else(|| invalid("an answer to nothing that was asked"))?;
            waiting.swap_remove(at);
            if error != 0 {
                refused.get_or_insert(error);
            }
        }
        refused.map_or(Ok(()), |code| Err(Failure::Refused(code)))
    }

    /// Waits until all that was acknowledged is durable.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.all(&[Request::plain(Kind::Flush, 0, 0)])
    }

    /// Reads bytes.
    pub fn read(&mut self, offset: u64, len: u32) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        encode(&Request::plain(Kind::Read, offset, len), self.cookie, &mut bytes);
        self.cookie += 1;
        self.stream.write_all(&bytes)?;
        let (_, error) = self.reply()?;
        if error != 0 {
            return Err(Failure::Refused(error));
        }
        let mut data = vec![0; len as usize];
        self.stream.read_exact(&mut data)?;
        Ok(data)
    }

    fn reply(&mut self) -> io::Result<(u64, u32)> {
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply)?;
        let [a, b, c, d, e, f, g, h, cookie @ ..] = reply;
        if u32::from_be_bytes([a, b, c, d]) != REPLY_MAGIC {
            return Err(invalid("no simple reply"));
        }
        Ok((u64::from_be_bytes(cookie), u32::from_be_bytes([e, f, g, h])))
    }
}

fn encode(request: &Request<'_>, cookie: u64, into: &mut Vec<u8>) {
    into.extend(REQUEST_MAGIC.to_be_bytes());
    into.extend(request.flags.to_be_bytes());
    into.extend((request.kind as u16).to_be_bytes());
    into.extend(cookie.to_be_bytes());
    into.extend(request.offset.to_be_bytes());
    into.extend(request.len.to_be_bytes());
    into.extend(request.data);
}

/// The names of all exports of a server.
pub fn exports(server: &str) -> Result<Vec<String>, Failure> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    greet(&mut stream, OPTION_LIST, &[])?;
    let mut names = Vec::new();
    loop {
        let (kind, data) = option_reply(&mut stream)?;
        match kind {
            OPTION_ACK => return Ok(names),
            OPTION_SERVER => {
                let (len, rest) = data.split_first_chunk().ok_or_else(|| invalid("no name"))?;
                let name = rest.get(..u32::from_be_bytes(*len) as usize);
                let name = name.ok_or_else(|| invalid("half a name"))?;
                names.push(String::from_utf8_lossy(name).into_owned());
            }
            error => return Err(Failure::Refused(error)),
        }
    }
}

/// Reads the greeting of a server, and answers with an option.
fn greet(stream: &mut TcpStream, option: u32, data: &[u8]) -> Result<(), Failure> {
    if (u64_of(stream)?, u64_of(stream)?) != (INIT_MAGIC, OPTION_MAGIC) {
        return Err(invalid("no newstyle NBD server").into());
    }
    let mut flags = [0; 2];
    stream.read_exact(&mut flags)?;
    let len = u32::try_from(data.len()).map_err(|_| invalid("too long an option"))?;
    let mut bytes = Vec::new();
    bytes.extend((CLIENT_FIXED_NEWSTYLE | CLIENT_NO_ZEROES).to_be_bytes());
    bytes.extend(OPTION_MAGIC.to_be_bytes());
    bytes.extend(option.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes.extend(data);
    Ok(stream.write_all(&bytes)?)
}

/// Opens an export and returns its size.
fn handshake(stream: &mut TcpStream, export: &str) -> Result<u64, Failure> {
    let name_len = u32::try_from(export.len()).map_err(|_| invalid("too long a name"))?;
    let mut data = name_len.to_be_bytes().to_vec();
    data.extend(export.as_bytes());
    data.extend(0_u16.to_be_bytes());
    greet(stream, OPTION_GO, &data)?;
    let mut size = None;
    loop {
        let (kind, data) = option_reply(stream)?;
        match kind {
            OPTION_ACK => return size.ok_or_else(|| invalid("GO told no size").into()),
            OPTION_INFO => size = export_size(&data).or(size),
            error => return Err(Failure::Refused(error)),
        }
    }
}

fn option_reply(stream: &mut TcpStream) -> io::Result<(u32, Vec<u8>)> {
    if u64_of(stream)? != OPTION_REPLY_MAGIC {
        return Err(invalid("no reply to an option"));
    }
    let (_, kind, len) = (u32_of(stream)?, u32_of(stream)?, u32_of(stream)?);
    if OPTION_BYTES_MAX < len {
        return Err(invalid("an endless reply to an option"));
    }
    let mut data = vec![0; len as usize];
    stream.read_exact(&mut data)?;
    Ok((kind, data))
}

fn export_size(info: &[u8]) -> Option<u64> {
    let (kind, rest) = info.split_first_chunk::<2>()?;
    let (size, _) = rest.split_first_chunk::<8>()?;
    (u16::from_be_bytes(*kind) == INFO_EXPORT).then(|| u64::from_be_bytes(*size))
}

fn u64_of(stream: &mut TcpStream) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

fn u32_of(stream: &mut TcpStream) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests;
