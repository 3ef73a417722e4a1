//! The handshake: from a new connection to an open export, or to the end.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use thiserror::Error;

use crate::export::{Export, ExportError, ExportErrorKind};
use crate::limits::{
    BLOCK_BYTES_MIN, BLOCK_BYTES_PREFERRED, META_CONTEXTS_MAX, OPTION_BYTES_DRAINED_MAX,
    OPTION_BYTES_MAX, OPTIONS_MAX, PAYLOAD_BYTES_ADVISED,
};
use crate::link::Link;
use crate::meta::{self, Context};
use crate::proto::option::{
    InfoRequest, MetaRefusal, MetaRequest, OPTION_HEAD_BYTES, OptionHead, Rep, greeting, info,
    kind, parse_name, push_reply,
};
use crate::proto::reply::clipped;
use crate::proto::{Malformed, Style, export_flag, handshake_flag};
use crate::stream::is_timeout;
use crate::tls::TlsMode;

/// Zeros after the answer to EXPORT_NAME, for clients that have not asked to leave them out.
const PADDING_BYTES: usize = 124;

/// What was agreed.
pub(crate) struct Agreement {
    pub(crate) name: String,
    pub(crate) export: Arc<dyn Export>,
    pub(crate) style: Style,
    /// With their numbers in requests and answers.
    pub(crate) contexts: Vec<(u32, Context)>,
}

/// Why a handshake led nowhere.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the client left or was lost: {0}")]
    Gone(#[from] io::Error),
    #[error("the client took too long to open an export, or for its next step after that")]
    Slow,
    #[error("TLS was not agreed on: {0}")]
    Tls(io::Error),
    /// A request that only closing the connection can refuse.
    #[error("{0}")]
    Refused(String),
}

/// Does the handshake. `None` when the client ended it properly.
pub(crate) fn run(link: &Arc<Link>) -> Result<Option<Agreement>, HandshakeError> {
    link.stream.set_deadline(Some(link.hub.limits.handshake))?;
    let agreement = Handshake::new(link).run().map_err(|error| match error {
        HandshakeError::Gone(error) | HandshakeError::Tls(error) if is_timeout(&error) => {
            HandshakeError::Slow
        }
        other => other,
    })?;
    link.stream.set_deadline(None)?;
    Ok(agreement)
}

/// What follows after an option was answered.
enum Next {
    Option,
    Transmission(Agreement),
    End,
}

struct Handshake<'a> {
    link: &'a Link,
    padding: bool,
    style: Style,
    contexts: Vec<(u32, Context)>,
    /// The export that `contexts` belong to.
    contexts_of: String,
    /// The export last asked about: clients name the same one several times in a row.
    opened: Option<(String, Arc<dyn Export>)>,
    /// It has opened something: it is somebody who may, and looks at more perhaps.
    known: bool,
    out: Vec<u8>,
}

impl<'a> Handshake<'a> {
    fn new(link: &'a Link) -> Self {
        Self {
            link,
            padding: true,
            style: Style::Simple,
            contexts: Vec::new(),
            contexts_of: String::new(),
            opened: None,
            known: false,
            out: Vec::new(),
        }
    }

    fn run(mut self) -> Result<Option<Agreement>, HandshakeError> {
        let ours = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
        self.out.extend_from_slice(&greeting(ours));
        self.send()?;
        let mut flags = [0; 4];
        self.link.stream.read_exact(&mut flags)?;
        let flags = u32::from_be_bytes(flags);
        if flags & !u32::from(ours) != 0 {
            return Err(Malformed::ClientFlags(flags).into());
        }
        self.padding = flags & u32::from(handshake_flag::NO_ZEROES) == 0;
        for _ in 0..OPTIONS_MAX {
            let next = self.option()?;
            self.send()?;
            match next {
                Next::Option => {}
                Next::Transmission(agreement) => return Ok(Some(agreement)),
                Next::End => return Ok(None),
            }
        }
        Err(Malformed::TooManyOptions.into())
    }

    fn send(&mut self) -> Result<(), HandshakeError> {
        if !self.out.is_empty() {
            self.link.stream.send(&mut [IoSlice::new(&self.out)])?;
            self.out.clear();
        }
        Ok(())
    }

    fn option(&mut self) -> Result<Next, HandshakeError> {
        if self.known {
            self.link.stream.set_deadline(Some(self.link.hub.limits.handshake))?;
        }
        let mut head = [0; OPTION_HEAD_BYTES];
        self.link.stream.read_exact(&mut head)?;
        let OptionHead { option, len } = OptionHead::decode(&head)?;
        if len > OPTION_BYTES_DRAINED_MAX {
            return Err(Malformed::OptionLength(len).into());
        }
        if len > OPTION_BYTES_MAX {
            return self.too_long(option, len);
        }
        // Exactly the option is received: what a stranger sent in the clear behind a STARTTLS
        // must not be taken for something that came under TLS.
        let mut data = vec![0; len as usize];
        self.link.stream.read_exact(&mut data)?;
        if self.wants_tls() && !matches!(option, kind::STARTTLS | kind::ABORT) {
            if option == kind::EXPORT_NAME {
                let refused = "an export was asked for without TLS, which is required";
                return Err(HandshakeError::Refused(refused.to_owned()));
            }
            self.reply(option, Rep::TlsRequired, "use TLS first");
            return Ok(Next::Option);
        }
        self.known_option(option, &data)
    }

    /// Reads over the data of an option that has too much of it, little at a time: whoever it is
    /// may be nobody.
    fn too_long(&mut self, option: u32, len: u32) -> Result<Next, HandshakeError> {
        if option == kind::EXPORT_NAME {
            return Err(HandshakeError::Refused("no such export: the name is too long".to_owned()));
        }
        let mut piece = vec![0; OPTION_BYTES_MAX as usize];
        let mut left = len as usize;
        while left > 0 {
            let len = left.min(piece.len());
            self.link.stream.read_exact(&mut piece[..len])?;
            left -= len;
        }
        self.reply(option, Rep::TooBig, "the option's data is longer than 64 KiB");
        Ok(Next::Option)
    }

    fn wants_tls(&self) -> bool {
        let tls = self.link.hub.tls.as_ref();
        tls.is_some_and(|tls| tls.mode == TlsMode::Required) && !self.link.stream.is_tls()
    }

    fn known_option(&mut self, option: u32, data: &[u8]) -> Result<Next, HandshakeError> {
        let takes_no_data = matches!(
            option,
            kind::LIST | kind::STARTTLS | kind::STRUCTURED_REPLY | kind::EXTENDED_HEADERS
        );
        if takes_no_data && !data.is_empty() {
            self.reply(option, Rep::Invalid, "this option has no data");
            return Ok(Next::Option);
        }
        match option {
            kind::EXPORT_NAME => return self.export_name(data),
            kind::ABORT => {
                self.reply(option, Rep::Ack, "");
                return Ok(Next::End);
            }
            kind::LIST => self.list(),
            kind::STARTTLS => self.start_tls()?,
            kind::INFO | kind::GO => return Ok(self.info(option, data)),
            kind::STRUCTURED_REPLY if self.style == Style::Extended => {
                self.reply(option, Rep::ExtendedHeadersRequired, "extended headers are in use");
            }
            kind::STRUCTURED_REPLY => {
                self.style = Style::Structured;
                self.reply(option, Rep::Ack, "");
            }
            kind::EXTENDED_HEADERS => {
                self.style = Style::Extended;
                self.reply(option, Rep::Ack, "");
            }
            kind::LIST_META_CONTEXT | kind::SET_META_CONTEXT => self.meta_contexts(option, data),
            _ => self.reply(option, Rep::Unsupported, "this server does not know that option"),
        }
        Ok(Next::Option)
    }

    fn reply(&mut self, option: u32, rep: Rep, message: &str) {
        push_reply(&mut self.out, option, rep, &[clipped(message).as_bytes()]);
    }

    fn reply_error(&mut self, option: u32, error: &ExportError) {
        let rep = match error.kind {
            ExportErrorKind::NotFound | ExportErrorKind::Invalid => Rep::Unknown,
            _ => Rep::Policy,
        };
        self.reply(option, rep, &error.message);
    }

    fn open(&mut self, name: &str) -> Result<Arc<dyn Export>, ExportError> {
        if let Some((opened, export)) = &self.opened
            && opened == name
        {
            return Ok(Arc::clone(export));
        }
        // Not two at once: the first may be what keeps the second from being opened.
        self.opened = None;
        let export = self.link.hub.exports.open(self.link.client(), name)?;
        self.opened = Some((name.to_owned(), Arc::clone(&export)));
        self.known = true;
        Ok(export)
    }

    fn list(&mut self) {
        let names = match self.link.hub.exports.list(self.link.client()) {
            Ok(names) => names,
            Err(error) => return self.reply_error(kind::LIST, &error),
        };
        for name in names {
            let len = (name.len() as u32).to_be_bytes();
            push_reply(&mut self.out, kind::LIST, Rep::Server, &[&len, name.as_bytes()]);
        }
        self.reply(kind::LIST, Rep::Ack, "");
    }

    fn start_tls(&mut self) -> Result<(), HandshakeError> {
        let Some(tls) = &self.link.hub.tls else {
            self.reply(kind::STARTTLS, Rep::Policy, "this server has no certificate for TLS");
            return Ok(());
        };
        if self.link.stream.is_tls() {
            self.reply(kind::STARTTLS, Rep::Invalid, "TLS is in use already");
            return Ok(());
        }
        self.reply(kind::STARTTLS, Rep::Ack, "");
        self.send()?;
        self.link.stream.start_tls(Arc::clone(&tls.server)).map_err(|error| {
            self.link.hub.counters.tls_failures.fetch_add(1, Relaxed);
            HandshakeError::Tls(error)
        })?;
        // Nothing that was agreed in the clear counts: it may have been somebody else's wish.
        self.style = Style::Simple;
        self.contexts.clear();
        self.opened = None;
        Ok(())
    }

    fn export_name(&mut self, data: &[u8]) -> Result<Next, HandshakeError> {
        let refused = |reason: &str| HandshakeError::Refused(format!("no such export: {reason}"));
        let name = parse_name(data).map_err(refused)?;
        if self.style == Style::Extended {
            return Err(refused("EXPORT_NAME cannot be used with extended headers"));
        }
        let export = self.open(name).map_err(|error| refused(&error.message))?;
        let agreement = self.agree(name, export);
        self.out.extend_from_slice(&agreement.export.size().to_be_bytes());
        self.out.extend_from_slice(&agreement.flags().to_be_bytes());
        if self.padding {
            self.out.extend_from_slice(&[0; PADDING_BYTES]);
        }
        Ok(Next::Transmission(agreement))
    }

    fn agree(&mut self, name: &str, export: Arc<dyn Export>) -> Agreement {
        let contexts = if self.contexts_of == name { self.contexts.clone() } else { Vec::new() };
        Agreement { name: name.to_owned(), export, style: self.style, contexts }
    }

    fn info(&mut self, option: u32, data: &[u8]) -> Next {
        let request = match InfoRequest::decode(data) {
            Ok(request) => request,
            Err(refusal) => {
                self.reply(option, Rep::Invalid, refusal);
                return Next::Option;
            }
        };
        let export = match self.open(request.name) {
            Ok(export) => export,
            Err(error) => {
                self.reply_error(option, &error);
                return Next::Option;
            }
        };
        let agreement = self.agree(request.name, export);
        self.push_info(option, &request, &agreement);
        self.reply(option, Rep::Ack, "");
        if option == kind::GO { Next::Transmission(agreement) } else { Next::Option }
    }

    fn push_info(&mut self, option: u32, request: &InfoRequest<'_>, agreement: &Agreement) {
        let mut push = |kind: u16, parts: &[&[u8]]| {
            let kind = kind.to_be_bytes();
            let data = [&[&kind[..]], parts].concat();
            push_reply(&mut self.out, option, Rep::Info, &data);
        };
        let export = &agreement.export;
        push(info::EXPORT, &[&export.size().to_be_bytes(), &agreement.flags().to_be_bytes()]);
        if request.wants(info::NAME) {
            push(info::NAME, &[agreement.name.as_bytes()]);
        }
        if request.wants(info::DESCRIPTION) {
            push(info::DESCRIPTION, &[agreement.description().as_bytes()]);
        }
        // Also to those who have not asked: they may know what to make of it.
        push(
            info::BLOCK_SIZE,
            &[
                &BLOCK_BYTES_MIN.to_be_bytes(),
                &BLOCK_BYTES_PREFERRED.to_be_bytes(),
                &PAYLOAD_BYTES_ADVISED.to_be_bytes(),
            ],
        );
    }

    fn meta_contexts(&mut self, option: u32, data: &[u8]) {
        let select = option == kind::SET_META_CONTEXT;
        if select {
            self.contexts.clear();
        }
        if self.style == Style::Simple {
            return self.reply(option, Rep::Invalid, "structured replies must be agreed on first");
        }
        let request = match MetaRequest::decode(data) {
            Ok(request) => request,
            Err(MetaRefusal::Invalid(refusal)) => {
                return self.reply(option, Rep::Invalid, refusal);
            }
            Err(MetaRefusal::TooMany) => {
                return self.reply(option, Rep::TooBig, "too many queries at once");
            }
        };
        let contexts = self.open(request.name).and_then(|export| {
            if select {
                meta::selected(&*export, &request.queries)
            } else {
                meta::listed(&*export, &request.queries)
            }
        });
        let contexts = match contexts {
            Ok(contexts) => contexts,
            Err(error) => return self.reply_error(option, &error),
        };
        if select && contexts.len() > META_CONTEXTS_MAX {
            return self.reply(option, Rep::TooBig, "too many contexts at once");
        }
        for (index, context) in contexts.into_iter().enumerate() {
            let id = if select { index as u32 + 1 } else { 0 };
            let name = context.to_string();
            push_reply(
                &mut self.out,
                option,
                Rep::MetaContext,
                &[&id.to_be_bytes(), name.as_bytes()],
            );
            if select {
                self.contexts.push((id, context));
            }
        }
        if select {
            self.contexts_of = request.name.to_owned();
        }
        self.reply(option, Rep::Ack, "");
    }
}

impl Agreement {
    /// What the client is told about the export.
    fn flags(&self) -> u16 {
        let mut flags = export_flag::HAS_FLAGS
            | export_flag::SEND_FLUSH
            | export_flag::SEND_FUA
            | export_flag::CAN_MULTI_CONN
            | export_flag::SEND_CACHE;
        flags |= if self.export.read_only() {
            export_flag::READ_ONLY
        } else {
            export_flag::SEND_TRIM | export_flag::SEND_WRITE_ZEROES | export_flag::SEND_FAST_ZERO
        };
        if self.style != Style::Simple {
            flags |= export_flag::SEND_DF;
        }
        if self.style == Style::Extended && !self.contexts.is_empty() {
            flags |= export_flag::BLOCK_STATUS_PAYLOAD;
        }
        flags
    }

    fn description(&self) -> String {
        let access = if self.export.read_only() { "read-only" } else { "read-write" };
        format!("Archipelago: {access}, {} bytes", self.export.size())
    }
}
