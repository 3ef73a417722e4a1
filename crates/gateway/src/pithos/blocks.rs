//! Blocks: `POST` to a container with bytes in its body.

use std::sync::Arc;

use archipelago_pool::BlockHash;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::ask::Ask;
use super::caller::{Caller, Need};
use super::listing::Format;
use super::put;
use crate::App;
use crate::swift::answer::{self, Refusal};
use crate::swift::call;
use crate::swift::listing::escape;
use crate::upload::{Upload, upload};

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
        caller.container(service, &asked.container()?, Need::Own)?;
        Ok(caller.identity.account.id)
    })
    .await?;
    let size = put::size(&ask)?;
    let stored = upload(app, body, move |service, input| service.blocks_put(account, size, input));
    let hashes = stored.await?;
    Ok(hash_list(StatusCode::ACCEPTED, Format::of(&ask)?, &hashes))
}

/// Hashes, as lines, JSON or XML.
pub(super) fn hash_list(status: StatusCode, format: Format, hashes: &[BlockHash]) -> Response {
    let body = match format {
        Format::Text => hashes.iter().map(|hash| format!("{hash}\n")).collect(),
        Format::Json => {
            Value::Array(hashes.iter().map(|hash| hash.to_string().into()).collect()).to_string()
        }
        Format::Xml => {
            let rows: String = hashes
                .iter()
                .map(|hash| format!("<hash>{}</hash>", escape(&hash.to_string())))
                .collect();
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hashes>{rows}</hashes>")
        }
    };
    let mut response = answer::text(format.content_type(), HeaderMap::new(), body);
    *response.status_mut() = status;
    response
}
