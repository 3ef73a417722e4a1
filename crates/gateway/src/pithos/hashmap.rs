//! `?hashmap`: a file as the hashes of its blocks.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use archipelago_pool::{
    BlockHash, Compose, Composed, Error, HASHED_BLOCK_BYTES, HASHED_BLOCKS_MAX, Service,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::json;

use super::ask::Ask;
use super::caller::{Caller, Need};
use super::listing::Format;
use super::{blocks, meta, object, put};
use crate::App;
use crate::failure::Failure;
use crate::swift::answer::{self, Refusal, set};
use crate::swift::call;
use crate::swift::listing::escape;
use crate::swift::meta::Veto;
use crate::upload::{Upload, upload};

/// Bytes of a list in a request: each hash with its quotes, a comma and some room.
const BODY_BYTES_MAX: u64 = HASHED_BLOCKS_MAX as u64 * 72 + (64 << 10);

/// The hash of every block.
const ALGORITHM: &str = "sha256";

pub(super) async fn show(app: &App, ask: Arc<Ask>) -> Result<Response, Refusal> {
    // Of a file that nobody hashed yet, all of it is read.
    let permit = app.calls.transfer().await?;
    let service = Arc::clone(&app.service);
    let job = tokio::task::spawn_blocking(move || {
        let done = list(&service, &ask);
        drop(permit);
        done
    });
    job.await.map_err(Failure::panicked)?
}

fn list(service: &Service, ask: &Ask) -> Result<Response, Refusal> {
    let caller = Caller::new(service, ask)?;
    let name = ask.object()?;
    let home = caller.container(service, &ask.container()?, Need::Read)?;
    let content = object::open(service, ask, &home, &name)?;
    let hashes = service.block_hashes(&content)?;
    let object = content.object();
    let hash = BlockHash::of_file(&hashes);
    crate::swift::conditions::check(
        &ask.headers,
        Some(&hash.to_string()),
        object.created_ms,
        &HeaderMap::new(),
    )?;
    let mut headers = meta::headers_of(object, Some(hash));
    headers.remove("accept-ranges");
    let (kind, body) = match Format::of(ask)? {
        Format::Xml => {
            let rows: String = hashes.iter().map(|hash| format!("<hash>{hash}</hash>")).collect();
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<object name=\"{}\" bytes=\"{}\" \
                 block_size=\"{HASHED_BLOCK_BYTES}\" block_hash=\"{ALGORITHM}\">{rows}</object>",
                escape(object.name.as_str()),
                object.size
            );
            (Format::Xml, body)
        }
        _ => {
            let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
            let body = json!({
                "block_hash": ALGORITHM, "block_size": HASHED_BLOCK_BYTES,
                "bytes": object.size, "hashes": hashes,
            });
            (Format::Json, body.to_string())
        }
    };
    set(&mut headers, "content-length", &body.len().to_string());
    Ok(answer::text(kind.content_type(), headers, body))
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

/// What came of a list.
enum Done {
    Made(Response),
    Missing(Vec<BlockHash>),
}

pub(super) async fn put(app: &App, ask: Arc<Ask>, body: Upload) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    let (caller, container) = call(app, move |service| {
        let caller = Caller::new(service, &asked)?;
        let home = caller.container(service, &asked.container()?, Need::Write)?;
        Ok((caller, home.id))
    })
    .await?;
    let format = Format::of(&ask)?;
    if format == Format::Xml {
        return Err(Refusal::invalid("hashes come as JSON: format=json"));
    }
    let done =
        upload(app, body, move |service, input| compose(service, &ask, &caller, container, input));
    match done.await?? {
        Done::Made(response) => Ok(response),
        Done::Missing(missing) => Ok(blocks::hash_list(StatusCode::CONFLICT, format, &missing)),
    }
}

fn compose(
    service: &Service,
    ask: &Ask,
    caller: &Caller,
    container: u64,
    input: &mut dyn Read,
) -> Result<Result<Done, Refusal>, Error> {
    let name = match ask.object() {
        Ok(name) => name,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let body = std::io::BufReader::new(input.take(BODY_BYTES_MAX));
    let said: Said = match serde_json::from_reader(body) {
        Ok(said) => said,
        Err(error) => {
            let text = format!("the hashes cannot be read: {error}");
            return Ok(Err(Refusal::invalid(text)));
        }
    };
    let veto = Veto::default();
    let old = put::old(service, container, &name)?;
    let wanted = Compose {
        container,
        name: &name,
        account: caller.identity.account.id,
        size: said.bytes,
        hashes: &said.hashes,
    };
    let result = service.object_compose(
        &wanted,
        &mut || {
            meta::of_new(ask, caller, name.as_str(), old.as_ref())
                .map_err(|refusal| veto.say(refusal))
        },
        &|old| put::check(service, ask, old, &veto),
    );
    Ok(veto.settle(result)?.map(|composed| match composed {
        Composed::Made(object, hash) => Done::Made(put::created(&object, Some(hash))),
        Composed::Missing(missing) => Done::Missing(missing),
    }))
}
