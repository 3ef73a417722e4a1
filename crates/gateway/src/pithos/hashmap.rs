//! `?hashmap`: a file as the hashes of its blocks.

use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;

use archipelago_pool::{
    Action, BlockHash, Compose, Composed, Content, Error, HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX,
    HashList, Object, Service,
};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::ask::Ask;
use super::blocks::Frame;
use super::caller::{Caller, denied, writes_still};
use super::listing::Format;
use super::{blocks, meta, object, put, sharing};
use crate::App;
use crate::download;
use crate::failure::Failure;
use crate::server::Hangup;
use crate::swift::answer::{Refusal, set};
use crate::swift::listing::escape;
use crate::swift::meta::Veto;
use crate::swift::{call, conditions};
use crate::upload::{Upload, upload};

/// Bytes of a list in a request: each hash with its quotes, a comma and some room.
const BODY_BYTES_MAX: u64 = HASHED_BLOCKS_MAX as u64 * 72 + (64 << 10);

/// Objects above this wait for each other to be hashed: a minute's work, and a list of 16 384
/// hashes.
const LONG_BYTES: u64 = 64 << 30;

/// Files of lists that are no longer do not wait for each other to be made: they have 64 GiB, too.
const SHORT_HASHES: usize = 16_384;

/// The hash of every block.
const ALGORITHM: &str = "sha256";

pub(super) async fn show(app: &App, hangup: Hangup, ask: Arc<Ask>) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    let (content, sharing) = call(app, move |service| find(service, &asked)).await?;
    // Of a file that nobody hashed yet, all of it is read.
    let permit = match content.object().size > LONG_BYTES {
        true => app.calls.hashing().await?,
        false => app.calls.transfer().await?,
    };
    let service = Arc::clone(&app.service);
    let left = CancellationToken::new();
    // When the client goes away, the server drops this.
    let _waits = left.clone().drop_guard();
    let job = tokio::task::spawn_blocking(move || {
        let done = list(&service, &ask, &content, &|| !left.is_cancelled());
        drop(permit);
        done
    });
    let (mut headers, frame, hashes) = job.await.map_err(Failure::panicked)??;
    headers.extend(sharing);
    set(&mut headers, CONTENT_LENGTH, &frame.len(hashes.blocks()).to_string());
    let write = move |_: &Service, out: &mut dyn Write| frame.write(hashes, out);
    let mut response = Response::new(download::body(app, hangup, write).await?);
    *response.headers_mut() = headers;
    Ok(response)
}

/// A file, and what is said of it about sharing.
fn find(service: &Service, ask: &Ask) -> Result<(Content, HeaderMap), Refusal> {
    let caller = Caller::new(service, ask)?;
    let (home, content) = object::open(service, ask, &caller)?;
    let mut headers = HeaderMap::new();
    sharing::headers(service, &caller, &home, content.object(), &mut headers)?;
    Ok((content, headers))
}

fn list(
    service: &Service,
    ask: &Ask,
    content: &Content,
    go_on: &dyn Fn() -> bool,
) -> Result<(HeaderMap, Frame, HashList), Refusal> {
    let hashes = service.hash_list(content, go_on)?;
    let (object, hash) = (content.object(), hashes.hash());
    let etag = hash.to_string();
    let none = HeaderMap::new();
    conditions::check(&ask.headers, Some(&etag), object.created_ms, &none)?;
    let mut headers = meta::headers_of(object, Some(hash));
    headers.remove("accept-ranges");
    let format = match Format::of(ask)? {
        Format::Xml => Format::Xml,
        _ => Format::Json,
    };
    set(&mut headers, "content-type", format.content_type());
    Ok((headers, frame(object, format), hashes))
}

/// How the hashes of a file are written.
fn frame(object: &Object, format: Format) -> Frame {
    if format == Format::Xml {
        let head = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<object name=\"{}\" bytes=\"{}\" \
             block_size=\"{HASHED_BLOCK_BYTES}\" block_hash=\"{ALGORITHM}\">",
            escape(object.name.as_str()),
            object.size
        );
        return Frame { head, open: "<hash>", close: "</hash>", between: "", tail: "</object>" };
    }
    let head = format!(
        "{{\"block_hash\":\"{ALGORITHM}\",\"block_size\":{HASHED_BLOCK_BYTES},\"bytes\":{},\
         \"hashes\":[",
        object.size
    );
    Frame { head, open: "\"", close: "\"", between: ",", tail: "]}" }
}

/// A file as its client says it is.
#[derive(Deserialize)]
struct Said {
    #[serde(deserialize_with = "hashes")]
    hashes: Vec<BlockHash>,
    bytes: u64,
}

/// Reads hashes one by one: of a large file there are a million.
fn hashes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<BlockHash>, D::Error> {
    struct Hashes;
    impl<'de> Visitor<'de> for Hashes {
        type Value = Vec<BlockHash>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{HASHED_BLOCKS_MAX} hashes of blocks at most")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
            let mut out = Vec::new();
            while let Some(text) = all.next_element::<String>()? {
                if out.len() == HASHED_BLOCKS_MAX {
                    return Err(serde::de::Error::invalid_length(out.len() + 1, &self));
                }
                out.push(text.parse().map_err(serde::de::Error::custom)?);
            }
            Ok(out)
        }
    }
    from.deserialize_seq(Hashes)
}

/// Where a file is put, by whom, and what is said of who else may.
struct To {
    caller: Caller,
    container: u64,
    said: sharing::SaidOf,
}

/// What came of a list.
enum Done {
    Made(Response),
    Missing(Vec<BlockHash>),
}

pub(super) async fn put(app: &App, ask: Arc<Ask>, body: Upload) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    let to = call(app, move |service| {
        let caller = Caller::new(service, &asked)?;
        let name = asked.object()?;
        let home = caller.home(service, &asked.container()?, &name, Action::Write)?;
        let said = sharing::Said::of(service, &caller, &asked)?;
        let said = said.of_name(service, &caller, (home.id, &name))?;
        Ok(To { caller, container: home.id, said })
    })
    .await?;
    let format = Format::of(&ask)?;
    if format == Format::Xml {
        return Err(Refusal::invalid("hashes come as JSON: format=json"));
    }
    let (calls, handle) = (Arc::clone(&app.calls), Handle::current());
    let body = body.asking(writes_still(&ask, to.container));
    let done = upload(app, body, move |service, input| {
        let said = match said(input) {
            Ok(said) => said,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Once all of it came: no slow client keeps others from their turn.
        let _turn = match said.hashes.len() > SHORT_HASHES {
            true => match handle.block_on(calls.list()) {
                Ok(turn) => Some(turn),
                Err(failure) => return Ok(Err(failure.into())),
            },
            false => None,
        };
        compose(service, &ask, &to, &said)
    });
    match done.await?? {
        Done::Made(response) => Ok(response),
        Done::Missing(missing) => Ok(blocks::hash_list(StatusCode::CONFLICT, format, &missing)?),
    }
}

/// What the body of a request says.
fn said(input: &mut dyn Read) -> Result<Said, Refusal> {
    let body = std::io::BufReader::new(input.take(BODY_BYTES_MAX));
    serde_json::from_reader(body)
        .map_err(|error| Refusal::invalid(format!("the hashes cannot be read: {error}")))
}

fn compose(
    service: &Service,
    ask: &Ask,
    to: &To,
    said: &Said,
) -> Result<Result<Done, Refusal>, Error> {
    let name = match ask.object() {
        Ok(name) => name,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let To { caller, container, said: sharing } = to;
    // Blocks of its own account: a guest there knows hashes of what it may not read.
    if !caller.writes_at_home() {
        return Ok(Err(denied()));
    }
    let (container, veto) = (*container, Veto::default());
    let old = put::old(service, container, &name)?;
    let wanted = Compose {
        container,
        name: &name,
        account: caller.identity.account.id,
        size: said.bytes,
        hashes: &said.hashes,
        sha256: None,
    };
    let result = service.object_compose(
        &wanted,
        &mut || {
            meta::of_new(ask, caller, name.as_str(), old.as_ref())
                .and_then(|meta| sharing.shared(meta))
                .map_err(|refusal| veto.say(refusal))
        },
        &|old| put::check(service, ask, old, &veto),
    );
    let composed = match veto.settle(result)? {
        Ok(composed) => composed,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(Ok(match composed {
        Composed::Made(object, hash) => Done::Made(put::created(&object, Some(hash))),
        Composed::Missing(missing) => Done::Missing(missing),
    }))
}
