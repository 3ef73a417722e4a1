//! Signed URLs: whoever has one may do what it was made for, without a token.
//!
//! The signature is an HMAC of method, end and path, with a key that an administrator of the
//! account keeps with the account or with the container.

use archipelago_pool::{Container, ErrorKind, Hmac, Named, Service};
use base64_simd::{STANDARD, URL_SAFE};

use super::access::Need;
use super::account::{META, TEMP_KEY};
use super::answer::{Refusal, http_date};
use super::ask::{Ask, Level};
use super::reads;

/// What a signed URL allows.
pub(super) struct Scope {
    account: String,
    container: String,
    /// The key was the container's: nothing outside of it may be read.
    only_container: bool,
    reads: bool,
    /// What the names of all that it is for begin with; `None` if it is for one.
    prefix: Option<String>,
}

impl Scope {
    /// What names begin with that it lets be listed, where a container is a site with listings.
    pub(super) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref().filter(|_| self.reads)
    }

    pub(super) fn allows(&self, account: &str, container: &Container, need: Need) -> bool {
        let same = container.name.as_str() == self.container;
        self.account == account
            && match need {
                // Segments of a manifest may be elsewhere in the account.
                Need::Read => self.reads && (same || !self.only_container),
                Need::Write | Need::Remove => !self.reads && same,
                Need::List | Need::Change => false,
            }
    }
}

fn refused(ask: &Ask) -> Refusal {
    Refusal::unauthorized(&ask.account)
}

/// Whether a request has a signature that is good; `None` when it has none at all.
pub(super) fn check(service: &Service, ask: &Ask) -> Result<Option<Scope>, Refusal> {
    let (sig, expires) = match (ask.param("temp_url_sig"), ask.param("temp_url_expires")) {
        (None, None) => return Ok(None),
        (Some(sig), Some(expires)) => (sig, expires),
        _ => return Err(refused(ask)),
    };
    let ends = end(expires).ok_or_else(|| refused(ask))?;
    let now = i64::try_from(ask.now_ms / 1000).unwrap_or(i64::MAX);
    // An address cannot be checked behind a proxy: rather nobody than anybody.
    let site = ask.level() == Level::Container && reads(&ask.method);
    let placed = ask.level() == Level::Object || site;
    let unknown = ask.has_param("temp_url_ip_range") || !placed;
    let (algorithm, digest) = signature(sig).ok_or_else(|| refused(ask))?;
    if ends <= now || unknown {
        return Err(refused(ask));
    }
    let paths = signed_paths(ask).ok_or_else(|| refused(ask))?;
    let methods: &[&str] = match ask.method.as_str() {
        "HEAD" => &["HEAD", "GET", "PUT", "POST"],
        "GET" => &["GET"],
        "PUT" => &["PUT"],
        "POST" => &["POST"],
        "DELETE" => &["DELETE"],
        _ => return Err(refused(ask)),
    };
    let container = ask.container()?;
    let mut good = None;
    for (key, only_container) in keys(service, ask, &container)? {
        for method in methods {
            for path in &paths {
                let text = format!("{method}\n{ends}\n{path}");
                if algorithm.is(key.as_bytes(), text.as_bytes(), &digest) {
                    good = Some(only_container);
                }
            }
        }
    }
    let only_container = good.ok_or_else(|| refused(ask))?;
    if ask.has_param("multipart-manifest") && !reads(&ask.method) {
        return Err(Refusal::invalid("Manifests are not written with a signed URL"));
    }
    Ok(Some(Scope {
        account: ask.account.clone(),
        container: container.to_string(),
        only_container,
        reads: reads(&ask.method),
        prefix: ask.param("temp_url_prefix").map(str::to_owned),
    }))
}

/// Seconds since 1970, or a time as ISO 8601.
fn end(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let day = (text.len() == 10).then(|| format!("{text}T00:00:00Z"));
    let text = day.as_deref().unwrap_or(text);
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second)
}

/// The paths that may have been signed: this one, or what all paths of the URL begin with.
/// Many programs sign `/v1/...`, as it is on other servers, whatever stands before it.
fn signed_paths(ask: &Ask) -> Option<Vec<String>> {
    let mut out = Vec::new();
    for path in [ask.path.as_str(), ask.bare_path()] {
        let Some(prefix) = ask.param("temp_url_prefix") else {
            // A container alone is nothing that can be signed.
            if ask.level() == Level::Object {
                out.push(path.to_owned());
            }
            continue;
        };
        if ask.level() != Level::Object {
            // Its page is below all prefixes but this.
            if prefix.is_empty() {
                out.push(format!("prefix:{}/", path.trim_end_matches('/')));
            }
            continue;
        }
        let object = ask.object().ok()?;
        let home = path.strip_suffix(object.as_str())?;
        if !object.as_str().starts_with(prefix) {
            return None;
        }
        out.push(format!("prefix:{home}{prefix}"));
    }
    Some(out)
}

/// `sha256:BASE64`, or hexadecimal, whose length tells which it is.
fn signature(text: &str) -> Option<(Hmac, Vec<u8>)> {
    if let Some((name, encoded)) = text.split_once(':') {
        let algorithm = match name {
            "sha1" => Hmac::Sha1,
            "sha256" => Hmac::Sha256,
            "sha512" => Hmac::Sha512,
            _ => return None,
        };
        let mut encoded = encoded.replace('+', "-").replace('/', "_");
        while encoded.len() % 4 != 0 {
            encoded.push('=');
        }
        return Some((algorithm, URL_SAFE.decode_to_vec(encoded).ok()?));
    }
    let algorithm = match text.len() {
        40 => Hmac::Sha1,
        64 => Hmac::Sha256,
        128 => Hmac::Sha512,
        _ => return None,
    };
    Some((algorithm, hex::decode(text).ok()?))
}

/// Nothing, when that is what the error says.
fn absent<T>(error: archipelago_pool::Error) -> Result<Option<T>, Refusal> {
    match error.kind() {
        ErrorKind::NotFound => Ok(None),
        _ => Err(Refusal::from(error)),
    }
}

/// The keys of the account and of the container, and whether one is the container's.
fn keys(
    service: &Service,
    ask: &Ask,
    container: &archipelago_model::ContainerName,
) -> Result<Vec<(String, bool)>, Refusal> {
    let mut out = Vec::new();
    let uuid = ask.account.strip_prefix("AUTH_").ok_or_else(|| refused(ask))?;
    let account = service.account(&Named::Uuid(uuid.to_owned())).map(Some).or_else(absent)?;
    let Some(account) = account.filter(|account| account.enabled) else { return Ok(out) };
    let names = [format!("{META}{TEMP_KEY}"), format!("{META}{TEMP_KEY}-2")];
    let settings = service.account_settings(account.id).map(Some).or_else(absent)?;
    let of_container = service.container(account.id, container).map(Some).or_else(absent)?;
    let of_container = of_container.map(|container| container.settings);
    for (settings, only_container) in [(settings, false), (of_container, true)] {
        let Some(settings) = settings else { continue };
        out.extend(names.iter().filter_map(|name| {
            settings
                .get(name)
                .filter(|key| !key.is_empty())
                .map(|key| (key.clone(), only_container))
        }));
    }
    Ok(out)
}

/// What the answer to a signed URL is called when it is kept. `has`: the object says it itself.
pub(super) fn disposition(ask: &Ask, has: bool) -> Option<String> {
    let kind = if ask.has_param("inline") { "inline" } else { "attachment" };
    let name = match ask.param("filename").filter(|name| !name.is_empty()) {
        Some(name) => name,
        None if ask.has_param("inline") => return (!has).then(|| "inline".to_owned()),
        None if has => return None,
        None => ask.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default(),
    };
    let plain: String = name
        .chars()
        .filter(|c| !c.is_control())
        .flat_map(|c| match c {
            '"' => vec!['%', '2', '2'],
            c => vec![c],
        })
        .collect();
    let encoded = super::ask::encode(name);
    Some(format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"))
}

/// When a signed URL ends, for a header.
pub(super) fn expires_date(ask: &Ask) -> Option<String> {
    let seconds = u64::try_from(end(ask.param("temp_url_expires")?)?).ok()?;
    Some(http_date(seconds.checked_mul(1000)?))
}

/// Bytes in base64.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode_to_vec(text).ok()
}
