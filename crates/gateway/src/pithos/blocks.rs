//! Blocks: `POST` to a container with bytes in its body.

use std::io::Write;
use std::sync::Arc;

use archipelago_model::ContainerName;
use archipelago_pool::{Action, BlockHash, Error, Roots, Service};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

use super::ask::Ask;
use super::caller::{Caller, denied};
use super::listing::Format;
use super::put;
use crate::App;
use crate::access;
use crate::swift::answer::{Refusal, set};
use crate::swift::call;
use crate::swift::segments::told;
use crate::upload::{Upload, ended, upload};

/// Whether a `POST` brings blocks.
pub(super) fn is_meant(ask: &Ask) -> bool {
    let kind = ask.header("content-type").unwrap_or_default();
    let is_empty = ask.header("content-length").is_some_and(|len| len.trim() == "0");
    kind.split(';').next().unwrap_or_default().trim() == "application/octet-stream" && !is_empty
}

pub(super) async fn put(app: &App, ask: Arc<Ask>, body: Upload) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    // They are for whoever asks: a file is made of blocks of its own account only.
    let account = call(app, move |service| {
        let caller = Caller::new(service, &asked)?;
        check(service, &caller, &asked.container()?)?;
        Ok(caller.identity.account.id)
    })
    .await?;
    let size = put::size(&ask)?;
    let asking = Arc::clone(&ask);
    let again = move |service: &Service| {
        let still = || -> Result<bool, Refusal> {
            let caller = Caller::new(service, &asking)?;
            check(service, &caller, &asking.container()?)?;
            Ok(caller.identity.account.id == account)
        };
        if still().unwrap_or(false) { Ok(()) } else { Err(ended()) }
    };
    let body = body.asking(Box::new(again));
    let stored = upload(app, body, move |service, input| service.blocks_put(account, size, input));
    let hashes = stored.await?;
    Ok(hash_list(StatusCode::ACCEPTED, Format::of(&ask)?, &hashes)?)
}

/// To bring blocks for a container: whoever may put something there, and something of its own
/// account.
fn check(service: &Service, caller: &Caller, name: &ContainerName) -> Result<(), Refusal> {
    if !caller.writes_at_home() {
        return Err(denied());
    }
    let home = caller.find(service, name)?;
    let subject = &caller.subject;
    if access::of_container(service, subject, Action::Write, &home).allowed
        || !service.paths_shared(Roots::With(subject), home.id, "", 1)?.is_empty()
    {
        return Ok(());
    }
    Err(denied())
}

/// How a list of hashes is written: each is as long as any other.
pub(super) struct Frame {
    pub head: String,
    pub open: &'static str,
    pub close: &'static str,
    pub between: &'static str,
    pub tail: &'static str,
}

/// Hexadecimal digits of a hash.
const DIGITS: u64 = 64;

impl Frame {
    fn of(format: Format) -> Self {
        let (head, open, close, between, tail) = match format {
            Format::Text => ("", "", "\n", "", ""),
            Format::Json => ("[", "\"", "\"", ",", "]"),
            Format::Xml => {
                let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hashes>";
                (head, "<hash>", "</hash>", "", "</hashes>")
            }
        };
        Self { head: head.to_owned(), open, close, between, tail }
    }

    /// Bytes of so many hashes.
    pub(super) fn len(&self, hashes: u64) -> u64 {
        let each = self.open.len() as u64 + DIGITS + self.close.len() as u64;
        let between = hashes.saturating_sub(1) * self.between.len() as u64;
        self.head.len() as u64 + hashes * each + between + self.tail.len() as u64
    }

    /// Writes a list that is never in memory as a whole.
    pub(super) fn write(
        &self,
        hashes: impl Iterator<Item = Result<BlockHash, Error>>,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        out.write_all(self.head.as_bytes()).map_err(told)?;
        for (at, hash) in hashes.enumerate() {
            let between = if at == 0 { "" } else { self.between };
            write!(out, "{between}{}{}{}", self.open, hash?, self.close).map_err(told)?;
        }
        out.write_all(self.tail.as_bytes()).map_err(told)
    }
}

/// Some hashes, as lines, JSON or XML.
pub(super) fn hash_list(
    status: StatusCode,
    format: Format,
    hashes: &[BlockHash],
) -> Result<Response, Error> {
    let frame = Frame::of(format);
    let mut body = Vec::with_capacity(frame.len(hashes.len() as u64) as usize);
    frame.write(hashes.iter().copied().map(Ok), &mut body)?;
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    set(response.headers_mut(), CONTENT_TYPE, format.content_type());
    Ok(response)
}
