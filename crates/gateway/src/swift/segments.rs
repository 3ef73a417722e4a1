//! Content that is made of pieces: of one object, or of others that a manifest names.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{Content, Error, ErrorKind, Object, Service, Which};
use axum::http::header::RANGE;

use super::access::Rights;
use super::answer::Refusal;
use super::ask::Ask;
use super::{dlo, link, meta, slo};

/// Pieces of one object at most: each is some 100 bytes in memory.
pub(super) const PIECES_MAX: usize = 100_000;
/// Bytes that are moved together.
const COPY_BYTES: usize = 256 << 10;

/// Where bytes come from.
pub(crate) enum Source {
    /// An open object.
    Open(Content),
    /// An object that is opened when its turn comes, and must be what it was.
    Named(NamedObject),
    /// These.
    Inline(Vec<u8>),
}

/// An object as a manifest has it.
pub(crate) struct NamedObject {
    pub container: u64,
    pub name: ObjectName,
    pub size: u64,
    pub etag: Option<String>,
    /// Of whoever reads: a link among segments is followed with them.
    pub rights: Arc<Rights>,
}

impl NamedObject {
    fn open(&self, service: &Service) -> Result<Content, Error> {
        let name = &self.name;
        let content = service.object_open(self.container, name, Which::Latest)?;
        let follow = |content: Content| {
            self.rights.check_writers(service, self.container, content.object())?;
            link::follow(service, &self.rights, content)
        };
        let content = follow(content).map_err(|refusal| {
            let message = format!("segment '{name}' leads nowhere: {}", refusal.status());
            Error::new(ErrorKind::InUse, message)
        })?;
        let object = content.object();
        match object.size == self.size && Some(object.entity_tag()) == self.etag {
            true => Ok(content),
            false => Err(Error::new(
                ErrorKind::InUse,
                format!("segment '{name}' is not what the manifest names any more"),
            )),
        }
    }
}

/// A stretch of a source.
#[derive(Clone)]
pub(crate) struct Piece {
    pub source: Arc<Source>,
    pub offset: u64,
    pub len: u64,
}

/// All of an object, as clients see it.
pub(crate) struct Whole {
    pub pieces: Vec<Piece>,
    pub size: u64,
    /// As it stands in the header: that of a manifest is in quotes.
    pub etag: Option<String>,
    /// Whether it is what a dynamic manifest stands for.
    pub dynamic: bool,
    /// Of a static manifest: the lengths of what it names, one by one.
    pub parts: Vec<u64>,
}

impl Whole {
    /// The stretch that `part-number` names; `None` when there is no such wish, or nothing that
    /// has parts.
    pub(super) fn part(&self, ask: &Ask) -> Result<Option<(u64, u64)>, Refusal> {
        let Some(text) = ask.param("part-number").filter(|_| !self.parts.is_empty()) else {
            return Ok(None);
        };
        if ask.headers.contains_key(RANGE) {
            return Err(Refusal::invalid("Range requests are not supported with part number"));
        }
        let number = text.parse::<usize>().ok().filter(|number| *number > 0);
        let number = number
            .ok_or_else(|| Refusal::invalid("Part number must be an integer greater than 0"))?;
        let len = self.parts.get(number - 1).ok_or_else(|| Refusal::part(self.size))?;
        let offset = self.parts.iter().take(number - 1).sum();
        Ok(Some((offset, *len)))
    }

    /// What somebody sees of an object. `raw`: a manifest itself, not what it stands for.
    pub(super) fn of(
        service: &Service,
        rights: &Rights,
        content: Content,
        raw: bool,
    ) -> Result<Self, Refusal> {
        let object = content.object();
        if !raw && let Some(manifest) = object.meta.settings.get(dlo::SETTING) {
            return dlo::whole(service, rights, manifest);
        }
        if !raw && object.meta.settings.contains_key(meta::SLO_ETAG) {
            return slo::whole(service, rights, &content);
        }
        let (size, etag) = (object.size, Some(object.entity_tag()));
        let source = Arc::new(Source::Open(content));
        Ok(Self {
            pieces: vec![Piece { source, offset: 0, len: size }],
            size,
            etag,
            dynamic: false,
            parts: Vec::new(),
        })
    }

    /// A stretch of it.
    pub(super) fn slice(&self, mut offset: u64, mut len: u64) -> Vec<Piece> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            if len == 0 {
                break;
            }
            if offset >= piece.len {
                offset -= piece.len;
                continue;
            }
            let taken = len.min(piece.len - offset);
            out.push(Piece {
                source: Arc::clone(&piece.source),
                offset: piece.offset + offset,
                len: taken,
            });
            (offset, len) = (0, len - taken);
        }
        out
    }
}

/// An object that is read later.
pub(super) fn named(container: u64, object: &Object, rights: &Arc<Rights>) -> Source {
    Source::Named(NamedObject {
        container,
        name: object.name.clone(),
        size: object.size,
        etag: Some(object.entity_tag()),
        rights: Arc::clone(rights),
    })
}

/// Reads pieces one behind the other.
pub(crate) struct Pieces<'a> {
    service: &'a Service,
    left: VecDeque<Piece>,
    current: Option<Box<dyn Read + Send>>,
    /// Of the current piece, not read yet.
    rest: u64,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(service: &'a Service, pieces: Vec<Piece>) -> Self {
        Self { service, left: pieces.into(), current: None, rest: 0 }
    }

    /// Whether anything of it is stored sealed. What cannot be opened is told when it is read.
    pub(super) fn is_sealed(&self) -> bool {
        self.left.iter().any(|piece| match &*piece.source {
            Source::Inline(_) => false,
            Source::Open(content) => content.object().seal.is_some(),
            Source::Named(named) => {
                named.open(self.service).is_ok_and(|content| content.object().seal.is_some())
            }
        })
    }

    fn open(&self, piece: &Piece) -> Result<Box<dyn Read + Send>, Error> {
        match &*piece.source {
            Source::Open(content) => Ok(Box::new(content.range(piece.offset, piece.len))),
            Source::Inline(bytes) => {
                let from = usize::try_from(piece.offset).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(usize::try_from(piece.len).unwrap_or(usize::MAX));
                let bytes = bytes[from..to.min(bytes.len())].to_vec();
                Ok(Box::new(io::Cursor::new(bytes)))
            }
            Source::Named(named) => {
                let content = named.open(self.service)?;
                Ok(Box::new(content.range(piece.offset, piece.len)))
            }
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                let read = current.read(out)?;
                if read > 0 || out.is_empty() {
                    self.rest = self.rest.saturating_sub(read as u64);
                    return Ok(read);
                }
                self.current = None;
                if self.rest > 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment is short"));
                }
            }
            let Some(piece) = self.left.pop_front() else { return Ok(0) };
            self.current = Some(self.open(&piece).map_err(io::Error::other)?);
            self.rest = piece.len;
        }
    }
}

/// Writes pieces one behind the other.
pub(super) fn write(
    service: &Service,
    pieces: Vec<Piece>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let mut input = Pieces::new(service, pieces);
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = input.read(&mut buffer).map_err(told)?;
        if read == 0 {
            return Ok(());
        }
        out.write_all(&buffer[..read]).map_err(|error| {
            Error::new(ErrorKind::Unavailable, format!("the client takes no more: {error}"))
        })?;
    }
}

/// The pool's own error, if one is inside.
pub(crate) fn told(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => {
            let message = format!("the object cannot be read: {error}");
            Error::new(ErrorKind::Damaged, message).with_source(error)
        }
    }
}
