//! Containers as web sites: metadata of a container names the page that stands for a folder
//! (`Web-Index`), the page for what is not there (`Web-Error`), and whether folders are listed
//! (`Web-Listings`, with `Web-Listings-CSS`).
//!
//! It is for whoever comes without a token, and for others who say `X-Web-Mode: true`. A page
//! needs the right to read, a listing the right to list. Only a signed URL for all names that
//! begin so shows a listing of these, too, where the container lists at all.

use std::sync::Arc;

use archipelago_pool::{Container, Object, Service, Step, Walk};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::access::{Need, Rights};
use super::account::META;
use super::answer::{self, Refusal, set};
use super::ask::{Ask, Level, encode, is_true};
use super::info::LISTING_MAX;
use super::listing::escape;
use super::{call, meta, object, reads};
use crate::App;
use crate::server::Hangup;

/// The type of an object that stands for a folder.
const FOLDER_TYPE: &str = "application/directory";

/// Whether a request may be one for a page.
pub(super) fn is_meant(ask: &Ask) -> bool {
    let known = ["x-auth-token", "x-storage-token"].iter().any(|name| ask.header(name).is_some());
    let wanted = ask.header("x-web-mode").is_some_and(is_true);
    reads(&ask.method) && ask.level() != Level::Account && (!known || wanted)
}

/// What a container says of itself as a site.
struct Site {
    index: Option<String>,
    error: Option<String>,
    listings: bool,
    css: Option<String>,
}

impl Site {
    fn of(container: &Container) -> Option<Self> {
        let text = |name: &str| {
            let value = container.settings.get(&format!("{META}{name}"))?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let (index, listings) = (text("web-index"), text("web-listings"));
        (index.is_some() || listings.is_some()).then(|| Self {
            index,
            error: text("web-error"),
            listings: listings.as_deref().is_some_and(is_true),
            css: text("web-listings-css"),
        })
    }
}

/// The page that a request is for; `None` where the container is no site, so that the door
/// itself answers.
pub(super) async fn show(
    app: &App,
    hangup: &Hangup,
    ask: &Arc<Ask>,
) -> Result<Option<Response>, Refusal> {
    let asked = Arc::clone(ask);
    let Some(site) = call(app, move |service| site(service, &asked)).await? else {
        return Ok(None);
    };
    let page = Page { app, hangup, ask };
    let answer = match ask.level() {
        Level::Object => page.of_object(&site).await,
        Level::Account | Level::Container => page.of_folder(&site, "").await,
    };
    match answer {
        Err(refusal) if refusal.is_not_found() => page.missing(&site, refusal).await.map(Some),
        answer => answer.map(Some),
    }
}

fn site(service: &Service, ask: &Ask) -> Result<Option<Site>, Refusal> {
    // Whoever may not is told so by the door itself.
    let Ok(rights) = Rights::new(service, ask) else { return Ok(None) };
    let reads = ask.level() == Level::Object || rights.link_prefix().is_some();
    let need = if reads { Need::Read } else { Need::List };
    let Ok(container) = rights.container(service, &ask.container()?, need) else { return Ok(None) };
    Ok(Site::of(&container))
}

/// A page under way.
struct Page<'a> {
    app: &'a App,
    hangup: &'a Hangup,
    ask: &'a Arc<Ask>,
}

impl Page<'_> {
    /// An object of the container.
    async fn get(&self, name: &str) -> Result<Response, Refusal> {
        object::show(self.app, self.hangup.clone(), Arc::new(self.ask.at(name))).await
    }

    async fn of_object(&self, site: &Site) -> Result<Response, Refusal> {
        let name = self.ask.object()?;
        match object::show(self.app, self.hangup.clone(), Arc::clone(self.ask)).await {
            Ok(response) if !is_folder(&response) => return Ok(response),
            Err(refusal) if !refusal.is_not_found() => return Err(refusal),
            _ => {}
        }
        self.of_folder(site, name.as_str()).await
    }

    /// The page for a folder, whose name ends with `/` unless it is the container.
    async fn of_folder(&self, site: &Site, folder: &str) -> Result<Response, Refusal> {
        let is_complete = self.ask.path.ends_with('/');
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{}/", folder.trim_end_matches('/')),
        };
        if folder.is_empty() && !is_complete {
            return Ok(self.redirect());
        }
        if let Some(index) = &site.index {
            match self.get(&format!("{prefix}{index}")).await {
                Ok(_) if !is_complete => return Ok(self.redirect()),
                Ok(response) => return Ok(response),
                Err(refusal) if !refusal.is_not_found() => return Err(refusal),
                Err(_) => {}
            }
        }
        if !is_complete {
            return if self.rows(&prefix, 1).await?.is_empty() {
                Err(Refusal::not_found())
            } else {
                Ok(self.redirect())
            };
        }
        if !site.listings {
            return Err(Refusal::not_found());
        }
        let rows = self.rows(&prefix, LISTING_MAX).await?;
        if rows.is_empty() && !prefix.is_empty() {
            return Err(Refusal::not_found());
        }
        let text = html(self.ask, site.css.as_deref(), &prefix, &rows);
        Ok(answer::text("text/html; charset=UTF-8", HeaderMap::new(), text))
    }

    async fn rows(&self, prefix: &str, limit: usize) -> Result<Vec<Step<Object>>, Refusal> {
        let (ask, prefix) = (Arc::clone(self.ask), prefix.to_owned());
        call(self.app, move |service| {
            let rights = Rights::new(service, &ask)?;
            let signed = rights.link_prefix().is_some_and(|signed| prefix.starts_with(signed));
            let need = if signed { Need::Read } else { Need::List };
            let home = rights.container(service, &ask.container()?, need)?;
            let delimiter = Some("/".to_owned());
            Ok(service
                .object_walk(home.id, &Walk { prefix, delimiter, limit, ..Walk::default() })?
                .steps)
        })
        .await
    }

    /// The site's own page for what is not there.
    async fn missing(&self, site: &Site, refusal: Refusal) -> Result<Response, Refusal> {
        let Some(error) = &site.error else { return Err(refusal) };
        match self.get(&format!("404{error}")).await {
            Ok(mut response) => {
                *response.status_mut() = StatusCode::NOT_FOUND;
                Ok(response)
            }
            Err(_) => Err(refusal),
        }
    }

    /// To the same path as a folder, so that links of the page lead into it.
    fn redirect(&self) -> Response {
        let host = self.ask.header(HOST.as_str()).unwrap_or("localhost");
        let tls = self.ask.header("x-forwarded-proto") == Some("https");
        let scheme = if tls { "https" } else { "http" };
        let mut headers = HeaderMap::new();
        let path = encode(&self.ask.asked_path);
        let location = format!("{scheme}://{host}{path}/{}", signature(self.ask));
        set(&mut headers, LOCATION, &location);
        answer::empty(StatusCode::MOVED_PERMANENTLY, headers)
    }
}

fn is_folder(response: &Response) -> bool {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    header(CONTENT_TYPE) == Some(FOLDER_TYPE) && matches!(header(CONTENT_LENGTH), Some("0" | "1"))
}

/// The query that makes links of a page as good as its own address.
fn signature(ask: &Ask) -> String {
    let signed = ["temp_url_prefix", "temp_url_expires", "temp_url_sig"];
    if !ask.has_param(signed[2]) {
        return String::new();
    }
    let text = |name| format!("{name}={}", encode(ask.param(name).unwrap_or_default()));
    let inline = if ask.has_param("inline") { "&inline" } else { "" };
    format!("?{}{inline}", signed.map(text).join("&"))
}

/// A folder as a page.
fn html(ask: &Ask, css: Option<&str>, prefix: &str, rows: &[Step<Object>]) -> String {
    let title = format!("Listing of {}", escape(&ask.path));
    let (signature, top) = (signature(ask), ask.param("temp_url_prefix").unwrap_or_default());
    let query = escape(&signature);
    let style = match css {
        Some(css) => {
            let up = match css.starts_with('/') || css.contains("://") {
                true => String::new(),
                false => "../".repeat(prefix.matches('/').count()),
            };
            let href = escape(&css.split("://").map(encode).collect::<Vec<_>>().join("://"));
            format!("<link rel=\"stylesheet\" type=\"text/css\" href=\"{up}{href}\" />\n")
        }
        None => String::new(),
    };
    let mut out = format!(
        "<!DOCTYPE html>\n<html>\n<head>\n<title>{title}</title>\n{style}</head>\n<body>\n\
         <h1>{title}</h1>\n<table>\n"
    );
    if prefix.len() > top.len() {
        out.push_str(&format!(
            "<tr><td><a href=\"../{query}\">../</a></td><td></td><td></td></tr>\n"
        ));
    }
    for step in rows {
        let (name, bytes, date) = match step {
            Step::Prefix(name) => (name.as_str(), String::new(), String::new()),
            Step::Item(object) => {
                let date = answer::http_date(meta::changed_ms(object));
                (object.name.as_str(), meta::shown_size(object).to_string(), date)
            }
        };
        let name = name.strip_prefix(prefix).unwrap_or(name);
        if name.is_empty() {
            continue;
        }
        out.push_str(&format!(
            "<tr><td><a href=\"./{}{query}\">{}</a></td><td>{bytes}</td><td>{date}</td></tr>\n",
            encode(name),
            escape(name)
        ));
    }
    out.push_str("</table>\n</body>\n</html>\n");
    out
}
