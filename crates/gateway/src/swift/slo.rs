//! Static large objects: a manifest names segments, which must be what it says.
//!
//! The manifest is the content of the object; what it stands for is put together when it is
//! read. Other doors see the manifest.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{Container, Content, Object, Sealing, Service, Which};
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::ETAG;
use axum::response::Response;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::{Need, Rights};
use super::answer::{Refusal, iso_date, set};
use super::ask::{Ask, container_name, object_name};
use super::bulk::{self, Outcome};
use super::listing::Format;
use super::put::{self, Plan};
use super::segments::{self, NamedObject, PIECES_MAX, Piece, Source, Whole};
use super::{call, entries, info, link, meta, ranges, remove, small_body, tempurl};
use crate::App;

/// How deep manifests may name manifests, as Swift has it.
const DEPTH_MAX: usize = 10;
/// Bytes of a manifest as it is kept, which says more than what came.
const KEPT_BYTES_MAX: u64 = 16 << 20;

/// An entry of a manifest as it is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Entry {
    /// `/container/object`
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hash: String,
    bytes: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    content_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_modified: String,
    /// `first-last`, of the segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sub_slo: bool,
    /// Bytes in base64, in the place of a segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl Entry {
    /// Where and how long the part of the segment is.
    fn stretch(&self) -> Option<(u64, u64)> {
        match &self.range {
            None => Some((0, self.bytes)),
            Some(range) => ranges::range(range, self.bytes)?,
        }
    }
}

pub(super) fn is_meant(ask: &Ask) -> bool {
    ask.manifest() == "put"
}

pub(super) async fn put(app: &App, ask: Arc<Ask>, body: Body) -> Result<Response, Refusal> {
    let asked = Arc::clone(&ask);
    let (rights, home) = call(app, move |service| {
        let rights = Rights::new(service, &asked)?;
        let name = (&asked.container()?, &asked.object()?);
        let home = rights.home_to_write(service, name, &asked)?;
        Ok((rights, home))
    })
    .await?;
    let body = small_body(body, info::MANIFEST_BYTES_MAX).await?;
    call(app, move |service| store(service, &ask, &rights, &home, &body)).await
}

/// Checks a manifest, and keeps it.
fn store(
    service: &Service,
    ask: &Ask,
    rights: &Rights,
    home: &Container,
    body: &Bytes,
) -> Result<Response, Refusal> {
    let name = ask.object()?;
    if link::is_meant(ask) {
        return Err(Refusal::invalid("A manifest is no symlink."));
    }
    let given = parse(body)?;
    let mut errors = Vec::new();
    let mut entries = Vec::new();
    let own = format!("/{}/{name}", home.name);
    let mut finder = Finder::new(service, rights);
    for given in &given {
        if given.path == own {
            return Err(Refusal::invalid(
                "A manifest cannot be one of the segments that it names.",
            ));
        }
        match finder.entry(given) {
            Ok(entry) => entries.push(entry),
            Err(why) => errors.push((given.path.clone(), why)),
        }
    }
    if !errors.is_empty() {
        let lines: Vec<String> =
            errors.iter().map(|(path, why)| format!("{path}, {why}")).collect();
        return Err(Refusal::invalid(format_args!("Errors:\n{}", lines.join("\n"))));
    }
    let (etag, size) = summed(&entries)?;
    if put::etag(ask).is_some_and(|said| said != etag) {
        return Err(Refusal::unprocessable());
    }
    let mut kept_meta = meta::of_object(ask, name.as_str(), None)?;
    kept_meta.settings.insert(meta::SLO_ETAG.to_owned(), etag.clone());
    kept_meta.settings.insert(meta::SLO_SIZE.to_owned(), size.to_string());
    let shown: Vec<Value> = entries.iter().map(shown).collect();
    let text = serde_json::to_vec(&shown).map_err(Refusal::invalid)?;
    let plan = Plan {
        container: home.id,
        name,
        size: Some(text.len() as u64),
        etag: None,
        only_new: put::only_new(ask)?,
        meta: kept_meta,
        sealing: Sealing::Default,
        now_ms: ask.now_ms,
    };
    let object = plan.store(service, &mut text.as_slice())??;
    let mut response = put::created(&object, HeaderMap::new());
    set(response.headers_mut(), ETAG, &format!("\"{etag}\""));
    Ok(response)
}

/// The ETag and the size of what entries stand for.
fn summed(entries: &[Entry]) -> Result<(String, u64), Refusal> {
    let (mut md5, mut size) = (Md5::new(), 0_u64);
    for entry in entries {
        let (_, len) = entry.stretch().ok_or_else(damaged)?;
        size = size.saturating_add(len);
        match &entry.range {
            Some(range) => md5.update(format!("{}:{range};", entry.hash)),
            None => md5.update(&entry.hash),
        }
    }
    Ok((hex::encode(md5.finalize()), size))
}

/// Whether what a manifest names is there, too, in the account that a copy goes to.
pub(super) fn check_elsewhere(
    service: &Service,
    rights: &Rights,
    content: &Content,
) -> Result<(), Refusal> {
    let mut finder = Finder::new(service, rights);
    let mut lines = Vec::new();
    for entry in kept(content)?.iter().filter(|entry| entry.data.is_none()) {
        let why = match finder.object(&entry.name) {
            Ok(object) => {
                let same =
                    stands_for(&object) == entry.hash && meta::shown_size(&object) == entry.bytes;
                if same { continue } else { "Etag Mismatch".to_owned() }
            }
            Err(refusal) => refusal.status().to_string(),
        };
        lines.push(format!("{}, {why}", entry.name));
    }
    match lines.is_empty() {
        true => Ok(()),
        false => Err(Refusal::invalid(format_args!("Errors:\n{}", lines.join("\n")))),
    }
}

/// The ETag of a segment: of what it stands for, where it is a manifest itself.
fn stands_for(segment: &Object) -> String {
    let slo = segment.meta.settings.get(meta::SLO_ETAG);
    slo.cloned().unwrap_or_else(|| segment.entity_tag())
}

/// An entry of a manifest as it came.
struct Given {
    path: String,
    etag: Option<String>,
    size: Option<u64>,
    range: Option<String>,
    data: Option<String>,
}

fn parse(body: &[u8]) -> Result<Vec<Given>, Refusal> {
    let list = entries::read(body, info::MANIFEST_SEGMENTS_MAX)
        .map_err(|_| Refusal::invalid("Manifest must be valid JSON: a list of segments."))?;
    if list.len() > info::MANIFEST_SEGMENTS_MAX {
        return Err(Refusal::too_large(format_args!(
            "Number of object-backed segments must be <= {}",
            info::MANIFEST_SEGMENTS_MAX
        )));
    }
    let mut out = Vec::new();
    let mut errors = Vec::new();
    for (at, value) in list.iter().enumerate() {
        match given(value) {
            Ok(given) => out.push(given),
            Err(why) => errors.push(format!("Index {at}: {why}")),
        }
    }
    if !errors.is_empty() {
        return Err(Refusal::invalid(errors.join("\n")));
    }
    if out.iter().all(|given| given.data.is_some()) {
        return Err(Refusal::invalid(
            "Inline data segments require at least one object-backed segment.",
        ));
    }
    Ok(out)
}

fn given(value: &Value) -> Result<Given, String> {
    let fields = value.as_object().ok_or("not a JSON object")?;
    let known = ["path", "etag", "size_bytes", "range", "data"];
    if let Some(extra) = fields.keys().find(|key| !known.contains(&key.as_str())) {
        let extra: String = extra.chars().take(64).flat_map(char::escape_default).collect();
        return Err(format!("extraneous keys \"{extra}\""));
    }
    let text = |name: &str| -> Result<Option<String>, String> {
        match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("{name} must be a string")),
        }
    };
    if let Some(data) = text("data")? {
        let bytes = tempurl::base64(&data).ok_or("data must be valid base64")?;
        if fields.len() > 1 || bytes.is_empty() {
            return Err("data stands alone, and is not empty".to_owned());
        }
        return Ok(Given {
            path: String::new(),
            etag: None,
            size: Some(bytes.len() as u64),
            range: None,
            data: Some(data),
        });
    }
    let path = text("path")?.ok_or("expected keys to include path")?;
    let path = format!("/{}", path.trim_start_matches('/'));
    if path.trim_start_matches('/').split_once('/').is_none_or(|(_, object)| object.is_empty()) {
        return Err(
            "path does not refer to an object. Path must be of the form /container/object."
                .to_owned(),
        );
    }
    let size = match fields.get("size_bytes") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.parse().map_err(|_| "invalid size_bytes")?),
        Some(value) => Some(value.as_u64().ok_or("invalid size_bytes")?),
    };
    if size == Some(0) {
        return Err("too small; each segment must be at least 1 byte.".to_owned());
    }
    let range = text("range")?;
    if let Some(range) = &range
        && ranges::range(range, u64::MAX).is_none()
    {
        return Err("invalid range".to_owned());
    }
    let etag = text("etag")?.filter(|etag| !etag.is_empty());
    Ok(Given { path, etag, size, range, data: None })
}

/// Looks segments up, each container once.
struct Finder<'a> {
    service: &'a Service,
    rights: &'a Rights,
    /// The same, for what is read later.
    shared: Arc<Rights>,
    homes: HashMap<String, u64>,
    /// Manifests that were read.
    opened: usize,
}

/// Manifests that one request reads at most: they may name each other, and one a thousand
/// times.
const MANIFESTS_MAX: usize = 1000;

impl<'a> Finder<'a> {
    fn new(service: &'a Service, rights: &'a Rights) -> Self {
        let shared = Arc::new(rights.clone());
        Self { service, rights, shared, homes: HashMap::new(), opened: 0 }
    }

    /// The container of a segment, for one who may read that.
    fn home(&mut self, container: &str, object: &ObjectName) -> Result<u64, Refusal> {
        if let Some(id) = self.homes.get(container) {
            return Ok(*id);
        }
        let name = container_name(container)?;
        let home = self.rights.home(self.service, &name, object, Need::Read)?;
        // To others each segment is one of its own.
        if self.rights.check_read().is_ok() {
            self.homes.insert(container.to_owned(), home.id);
        }
        Ok(home.id)
    }

    /// `/container/object`
    fn segment(&mut self, path: &str) -> Result<(u64, ObjectName), Refusal> {
        let (container, object) =
            path.trim_start_matches('/').split_once('/').ok_or_else(damaged)?;
        let object = object_name(object)?;
        Ok((self.home(container, &object)?, object))
    }

    fn object(&mut self, path: &str) -> Result<Object, Refusal> {
        let (container, name) = self.segment(path)?;
        let object = self.service.object(container, &name, Which::Latest)?;
        let led = link::target(self.service, self.rights, &object)?;
        Ok(led.map_or(object, |(_, target)| target))
    }

    /// What is kept of an entry, once its segment was found to be what it says.
    fn entry(&mut self, given: &Given) -> Result<Entry, String> {
        if let Some(data) = &given.data {
            let bytes = tempurl::base64(data).ok_or("data must be valid base64")?;
            return Ok(Entry {
                hash: hex::encode(Md5::digest(&bytes)),
                bytes: bytes.len() as u64,
                data: Some(data.clone()),
                ..Entry::default()
            });
        }
        let object = self.object(&given.path).map_err(|refusal| refusal.status().to_string())?;
        let is_slo = object.meta.settings.contains_key(meta::SLO_ETAG);
        let (bytes, etag) = (meta::shown_size(&object), stands_for(&object));
        if given.size.is_some_and(|size| size != bytes) {
            return Err("Size Mismatch".to_owned());
        }
        if given.etag.as_ref().is_some_and(|said| said.trim_matches('"') != etag) {
            return Err("Etag Mismatch".to_owned());
        }
        if bytes == 0 {
            return Err("Too Small; each segment must be at least 1 byte.".to_owned());
        }
        let mut entry = Entry {
            name: given.path.clone(),
            hash: etag.clone(),
            bytes,
            content_type: meta::content_type(&object.meta).to_owned(),
            last_modified: iso_date(meta::changed_ms(&object)),
            range: None,
            sub_slo: is_slo,
            data: None,
        };
        if let Some(range) = &given.range {
            let found = ranges::range(range, bytes).flatten();
            let (offset, len) = found.ok_or("Unsatisfiable Range")?;
            let whole = (offset, len) == (0, bytes);
            entry.range = (!whole).then(|| format!("{offset}-{}", offset + len - 1));
        }
        Ok(entry)
    }

    /// Appends what entries stand for.
    fn pieces(
        &mut self,
        entries: &[Entry],
        depth: usize,
        out: &mut Vec<Piece>,
    ) -> Result<(), Refusal> {
        for entry in entries {
            let (offset, len) = entry.stretch().ok_or_else(damaged)?;
            if let Some(data) = &entry.data {
                let bytes = tempurl::base64(data).ok_or_else(damaged)?;
                let source = Arc::new(Source::Inline(bytes));
                out.push(Piece { source, offset, len });
            } else if entry.sub_slo {
                out.extend(self.nested(entry, depth)?.slice(offset, len));
            } else {
                let (container, name) = self.segment(&entry.name)?;
                let etag = Some(entry.hash.clone());
                let rights = Arc::clone(&self.shared);
                let size = entry.bytes;
                let source = Source::Named(NamedObject { container, name, size, etag, rights });
                out.push(Piece { source: Arc::new(source), offset, len });
            }
            if out.len() > PIECES_MAX {
                return Err(Refusal::conflict("The manifest stands for too many segments."));
            }
        }
        Ok(())
    }

    /// What a manifest among the segments stands for.
    fn nested(&mut self, entry: &Entry, depth: usize) -> Result<Whole, Refusal> {
        if depth + 1 >= DEPTH_MAX {
            return Err(Refusal::conflict("Manifests name each other too deeply."));
        }
        self.opened += 1;
        if self.opened > MANIFESTS_MAX {
            return Err(Refusal::conflict("The manifest stands for too many manifests."));
        }
        let (container, name) = self.segment(&entry.name)?;
        let content = self.service.object_open(container, &name, Which::Latest)?;
        self.rights.check_writers(self.service, container, content.object())?;
        let content = link::follow(self.service, self.rights, content)?;
        if content.object().meta.settings.get(meta::SLO_ETAG) != Some(&entry.hash) {
            return Err(Refusal::conflict("A segment is not what the manifest names any more."));
        }
        let mut whole = Whole {
            pieces: Vec::new(),
            size: entry.bytes,
            etag: None,
            dynamic: false,
            parts: Vec::new(),
        };
        self.pieces(&kept(&content)?, depth + 1, &mut whole.pieces)?;
        Ok(whole)
    }
}

fn damaged() -> Refusal {
    Refusal::conflict("The manifest is not what this service wrote; put it again.")
}

/// The entries of a manifest.
fn kept(content: &Content) -> Result<Vec<Entry>, Refusal> {
    let mut entries: Vec<Entry> =
        serde_json::from_slice(&text_of(content)?).map_err(|_| damaged())?;
    for entry in &mut entries {
        if let Some(data) = &entry.data {
            let bytes = tempurl::base64(data).ok_or_else(damaged)?;
            (entry.bytes, entry.hash) = (bytes.len() as u64, hex::encode(Md5::digest(&bytes)));
        }
    }
    Ok(entries)
}

fn text_of(content: &Content) -> Result<Vec<u8>, Refusal> {
    let size = content.object().size;
    if size > KEPT_BYTES_MAX {
        return Err(damaged());
    }
    let mut bytes = Vec::new();
    content.range(0, size).read_to_end(&mut bytes).map_err(segments::told)?;
    Ok(bytes)
}

/// What a manifest stands for.
pub(super) fn whole(
    service: &Service,
    rights: &Rights,
    content: &Content,
) -> Result<Whole, Refusal> {
    let entries = kept(content)?;
    let (etag, size) = summed(&entries)?;
    let mut finder = Finder::new(service, rights);
    let lens = entries.iter().filter_map(|entry| entry.stretch().map(|(_, len)| len));
    let (parts, etag) = (lens.collect(), Some(format!("\"{etag}\"")));
    let mut whole = Whole { pieces: Vec::new(), size, etag, dynamic: false, parts };
    // Whoever may not read the segments has no object: that is a conflict, not a refusal.
    finder.pieces(&entries, 0, &mut whole.pieces).map_err(|refusal| match refusal.is_denied() {
        true => Refusal::conflict("A segment of the manifest cannot be read."),
        false => refusal,
    })?;
    // The first is looked at while there still can be a status.
    if let Some(first) = entries.iter().find(|entry| entry.data.is_none() && !entry.sub_slo) {
        let same = finder
            .object(&first.name)
            .is_ok_and(|object| object.size == first.bytes && object.entity_tag() == first.hash);
        if !same {
            return Err(Refusal::conflict("A segment is not what the manifest names any more."));
        }
    }
    Ok(whole)
}

/// The manifest itself, as it is kept, or `as_given`: as it could be put again.
pub(super) fn manifest(content: &Content, as_given: bool) -> Result<Whole, Refusal> {
    let text = match as_given {
        false => text_of(content)?,
        true => {
            let entries: Vec<Value> = kept(content)?.iter().map(raw).collect();
            serde_json::to_vec(&entries).map_err(Refusal::invalid)?
        }
    };
    let (size, etag) = (text.len() as u64, Some(hex::encode(Md5::digest(&text))));
    let source = Arc::new(Source::Inline(text));
    Ok(Whole {
        pieces: vec![Piece { source, offset: 0, len: size }],
        size,
        etag,
        dynamic: false,
        parts: Vec::new(),
    })
}

/// An entry as it is kept: of data nothing else, since it can be told from it.
fn shown(entry: &Entry) -> Value {
    match &entry.data {
        Some(data) => json!({"data": data}),
        None => json!(entry),
    }
}

fn raw(entry: &Entry) -> Value {
    if let Some(data) = &entry.data {
        return json!({"data": data});
    }
    let mut out = json!({"path": entry.name, "etag": entry.hash, "size_bytes": entry.bytes});
    if let Some(range) = &entry.range {
        out["range"] = json!(range);
    }
    out
}

/// Removes a manifest with its segments.
pub(super) fn remove(
    service: &Service,
    ask: &Ask,
    rights: &Rights,
    home: &Container,
    name: &ObjectName,
) -> Result<Response, Refusal> {
    let mut outcome = Outcome::default();
    let path = format!("/{}/{name}", home.name);
    let content = match service.object_open(home.id, name, Which::Latest) {
        Ok(content) => Some(content),
        Err(error) if error.kind() == archipelago_pool::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    match content {
        None => outcome.not_found += 1,
        Some(content) if !content.object().meta.settings.contains_key(meta::SLO_ETAG) => {
            outcome.errors.push((path, "400 Bad Request: not an SLO manifest".to_owned()));
        }
        Some(content) => {
            remove::check(ask, Some(content.object()))?;
            let mut paths = Vec::new();
            segment_paths(service, rights, &kept(&content)?, 0, &mut paths)?;
            for path in paths {
                let result = bulk::one(service, rights, &path, ask.now_ms);
                outcome.count(&path, result);
            }
            let result = remove::one_as_said(service, ask, home, (name, Which::Latest));
            outcome.count(&path, result.map(drop));
        }
    }
    Ok(outcome.answer(Format::of(ask)?))
}

/// Paths of all segments, those of nested manifests before theirs.
fn segment_paths(
    service: &Service,
    rights: &Rights,
    entries: &[Entry],
    depth: usize,
    out: &mut Vec<String>,
) -> Result<(), Refusal> {
    let mut finder = Finder::new(service, rights);
    for entry in entries.iter().filter(|entry| entry.data.is_none()) {
        // Each is looked into once, however often it is named.
        if out.contains(&entry.name) {
            continue;
        }
        out.push(entry.name.clone());
        if entry.sub_slo && depth + 1 < DEPTH_MAX {
            let (container, name) = finder.segment(&entry.name)?;
            let content = service.object_open(container, &name, Which::Latest);
            let content = content.map(|content| link::follow(service, rights, content));
            if let Ok(Ok(content)) = content {
                segment_paths(service, rights, &kept(&content)?, depth + 1, out)?;
            }
        }
        if out.len() > info::DELETES_MAX * DEPTH_MAX {
            return Err(Refusal::conflict("The manifest stands for too many segments."));
        }
    }
    Ok(())
}
