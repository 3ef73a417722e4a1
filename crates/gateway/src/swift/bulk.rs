//! Many removals in one request: `POST ?bulk-delete`, a path a line.

use std::sync::Arc;

use archipelago_pool::{ErrorKind, Service, Which};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::json;

use super::access::{Need, Rights};
use super::answer::{self, Refusal};
use super::ask::{Ask, container_name, decode, encode, object_name};
use super::listing::{Format, escape};
use super::{call, info, remove, small_body};
use crate::App;

/// Bytes of a list of paths: each is at most three times as long as its names.
const BODY_BYTES_MAX: usize =
    info::DELETES_MAX * 3 * (info::CONTAINER_NAME_BYTES_MAX + info::OBJECT_NAME_BYTES_MAX + 4);

pub(super) fn is_meant(ask: &Ask) -> bool {
    // Whatever else the path names: it is the account's list, never a removal of that.
    ask.has_param("bulk-delete") && matches!(ask.method.as_str(), "POST" | "DELETE")
}

pub(super) async fn remove(app: &App, ask: Arc<Ask>, body: Body) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    let rights = call(app, move |service| {
        let rights = Rights::new(service, &asked)?;
        // Each removal is checked below; strangers learn nothing of the account here.
        rights.check_read()?;
        Ok(rights)
    })
    .await?;
    let body = small_body(body, BODY_BYTES_MAX).await?;
    call(app, move |service| {
        let outcome = all(service, &ask, &rights, &body)?;
        Ok(outcome.answer(Format::of(&ask)?))
    })
    .await
}

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    pub deleted: u64,
    pub not_found: u64,
    /// Paths, encoded, and why.
    pub errors: Vec<(String, String)>,
}

impl Outcome {
    /// Counts a removal.
    pub(super) fn count(&mut self, path: &str, result: Result<(), Refusal>) {
        match result {
            Ok(()) => self.deleted += 1,
            Err(refusal) if refusal.is_not_found() => self.not_found += 1,
            Err(refusal) => self.errors.push((encode(path), refusal.status().to_string())),
        }
    }

    pub(super) fn answer(&self, format: Format) -> Response {
        let status = match self.errors.is_empty() {
            true if self.deleted + self.not_found == 0 => "400 Bad Request",
            true => "200 OK",
            false => "400 Bad Request",
        };
        let body = if self.deleted + self.not_found == 0 && self.errors.is_empty() {
            "Invalid bulk delete."
        } else {
            ""
        };
        let text = match format {
            Format::Json => json!({
                "Number Deleted": self.deleted,
                "Number Not Found": self.not_found,
                "Response Status": status,
                "Response Body": body,
                "Errors": self.errors,
            })
            .to_string(),
            Format::Plain => self.plain(status, body),
            Format::Xml | Format::TextXml => self.xml(status, body),
        };
        answer::text(format.content_type(), HeaderMap::new(), text)
    }

    fn plain(&self, status: &str, body: &str) -> String {
        let mut text = format!(
            "Number Deleted: {}\nNumber Not Found: {}\nResponse Body: {body}\n\
             Response Status: {status}\nErrors:\n",
            self.deleted, self.not_found
        );
        for (path, why) in &self.errors {
            text.push_str(&format!("{path}, {why}\n"));
        }
        text
    }

    fn xml(&self, status: &str, body: &str) -> String {
        let mut text = format!(
            "<delete><number_deleted>{}</number_deleted><number_not_found>{}</number_not_found>\
             <response_body>{body}</response_body><response_status>{status}</response_status>\
             <errors>",
            self.deleted, self.not_found
        );
        for (path, why) in &self.errors {
            // Paths are encoded, so that nothing in them is XML.
            let why = escape(why);
            text.push_str(&format!("<object><name>{path}</name><status>{why}</status></object>"));
        }
        text.push_str("</errors></delete>");
        text
    }
}

fn all(service: &Service, ask: &Ask, rights: &Rights, body: &Bytes) -> Result<Outcome, Refusal> {
    let mut outcome = Outcome::default();
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for (at, line) in lines.enumerate() {
        if at == info::DELETES_MAX {
            return Err(Refusal::too_large(format_args!(
                "Maximum Bulk Deletes: {} per request",
                info::DELETES_MAX
            )));
        }
        let text = std::str::from_utf8(line.trim_ascii()).ok().and_then(|line| decode(line, false));
        let Some(path) = text else {
            outcome.errors.push((String::new(), "412 Precondition Failed".to_owned()));
            continue;
        };
        let result = one(service, rights, &path, ask.now_ms);
        outcome.count(&path, result);
    }
    Ok(outcome)
}

/// Removes `/container/object`, or an empty `/container`.
pub(super) fn one(
    service: &Service,
    rights: &Rights,
    path: &str,
    now_ms: u64,
) -> Result<(), Refusal> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (container, object) = match path.split_once('/') {
        Some((container, object)) if !object.is_empty() => (container, Some(object)),
        Some((container, _)) => (container, None),
        None => (path, None),
    };
    let need = if object.is_some() { Need::Remove } else { Need::Change };
    let home = rights.container(service, &container_name(container)?, need)?;
    match object {
        Some(object) => {
            let name = object_name(object)?;
            remove::one(service, &home, &name, Which::Latest, now_ms).map(|_| ())
        }
        None => match service.container_remove(home.id) {
            Err(error) if error.kind() == ErrorKind::InUse => {
                Err(Refusal::conflict("The container is not empty."))
            }
            other => Ok(other?),
        },
    }
}
