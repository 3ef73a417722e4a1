//! Settings: defaults, under the configuration file, under the command line.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use archipelago_gateway::Login;
use archipelago_model::size::parse_bytes;
use archipelago_pool as pool;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::{DEFAULT_DATA, DEFAULT_NBD_ADDRESS, ServeError, ServeOptions};

/// The port of NBD when an address has none.
const NBD_PORT: u16 = 10809;
/// The port of HTTP when an address has none.
const HTTP_PORT: u16 = 7480;
/// The longest configuration file, in bytes: larger ones are a mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people, in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(format!("'{}' is no log format; use human or json", text.escape_default())),
        }
    }
}

/// Where NBD listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NbdAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// The files of TLS for NBD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) required: bool,
}

/// All settings, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) http_hosts: Vec<String>,
    pub(crate) http_login: Login,
    pub(crate) s3_domains: Vec<String>,
    pub(crate) swift_domains: Vec<String>,
    pub(crate) nbd: Vec<NbdAddress>,
    pub(crate) nbd_login: Login,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) allow_remote: bool,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) pool: pool::Config,
}

/// The configuration file, which `example.toml` explains. A key that is not
/// here is an error.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    data: Option<PathBuf>,
    allow_remote: Option<bool>,
    http: HttpSection,
    nbd: NbdSection,
    tls: Option<TlsSection>,
    log: LogSection,
    cache: CacheSection,
    checkpoint: CheckpointSection,
    segments: SegmentsSection,
    collector: CollectorSection,
    backup: BackupSection,
    lifecycle: LifecycleSection,
    pool: PoolSection,
    catalog: CatalogSection,
    mover: MoverSection,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MoverSection {
    interval_ms: Option<u64>,
    bytes_per_second: Option<Bytes>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PoolSection {
    url: Option<String>,
    bytes_per_second: Option<Bytes>,
    requests_per_second: Option<u64>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CatalogSection {
    url: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpSection {
    listen: Option<String>,
    hosts: Vec<String>,
    login: LoginWord,
    s3_domains: Vec<String>,
    swift_domains: Vec<String>,
}

/// Who has to log in.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum LoginWord {
    #[default]
    Remote,
    Always,
    Never,
}

impl From<LoginWord> for Login {
    fn from(word: LoginWord) -> Self {
        match word {
            LoginWord::Remote => Self::Remote,
            LoginWord::Always => Self::Always,
            LoginWord::Never => Self::Never,
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NbdSection {
    listen: Option<Vec<String>>,
    login: LoginWord,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    #[serde(default)]
    required: bool,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    format: Option<LogFormat>,
    filter: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CacheSection {
    chunks: Option<Bytes>,
    nodes: Option<Bytes>,
    slots: Option<Bytes>,
    bytes: Option<Bytes>,
    path: Option<PathBuf>,
    directories: bool,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CheckpointSection {
    interval_ms: Option<u64>,
    log: Option<Bytes>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SegmentsSection {
    hot: Option<Bytes>,
    cold: Option<Bytes>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CollectorSection {
    interval_ms: Option<u64>,
    grace_ms: Option<u64>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BackupSection {
    interval_ms: Option<u64>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LifecycleSection {
    interval_ms: Option<u64>,
    day_ms: Option<NonZeroU64>,
    upload_age_ms: Option<u64>,
    trust_clock: bool,
}

/// A number of bytes: `67108864` or `"64M"`.
#[derive(Clone, Copy, Debug)]
struct Bytes(u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, or a string as \"64M\"")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Bytes, E> {
                u64::try_from(bytes).map(Bytes).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                parse_bytes(text).map(Bytes).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl Config {
    /// Reads the file, if one is named, and puts everything together.
    pub(crate) fn load(options: &ServeOptions) -> Result<Self, ServeError> {
        let (file, base) = match &options.config {
            None => (ConfigFile::default(), PathBuf::new()),
            Some(path) => (read_file(path)?, path.parent().map(Path::to_owned).unwrap_or_default()),
        };
        let config = Self::overlay(options, file, &base)?;
        config.refuse_remote()?;
        Ok(config)
    }

    fn overlay(options: &ServeOptions, file: ConfigFile, base: &Path) -> Result<Self, ServeError> {
        let pool = pool_config(&file, base)?;
        let data = options.data.clone().or(file.data.map(|path| base.join(path)));
        let http = options.http.as_deref().or(file.http.listen.as_deref());
        let nbd = if options.nbd.is_empty() {
            match file.nbd.listen {
                Some(listen) => nbd_addresses(&listen, base)?,
                None => nbd_addresses(&[DEFAULT_NBD_ADDRESS.to_owned()], base)?,
            }
        } else {
            nbd_addresses(&options.nbd, Path::new(""))?
        };
        Ok(Self {
            data: data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA)),
            http: address(http.unwrap_or(archipelago_api::DEFAULT_HTTP_ADDRESS), HTTP_PORT)?,
            http_hosts: file.http.hosts,
            http_login: file.http.login.into(),
            s3_domains: domains(&options.s3_domains, file.http.s3_domains)?,
            swift_domains: domains(&options.swift_domains, file.http.swift_domains)?,
            nbd,
            nbd_login: file.nbd.login.into(),
            tls: file.tls.map(|tls| tls_files(tls, base)),
            allow_remote: options.allow_remote || file.allow_remote.unwrap_or(false),
            log_format: options.log_format.or(file.log.format).unwrap_or_default(),
            log_filter: (options.log_filter.clone().or(file.log.filter))
                .unwrap_or_else(|| "info".to_owned()),
            pool,
        })
    }

    fn refuse_remote(&self) -> Result<(), ServeError> {
        if self.allow_remote {
            return Ok(());
        }
        if !is_local(&self.http) {
            return Err(ServeError::Remote { what: "HTTP", address: self.http });
        }
        for nbd in &self.nbd {
            if let NbdAddress::Tcp(address) = *nbd
                && !is_local(&address)
            {
                return Err(ServeError::Remote { what: "NBD", address });
            }
        }
        Ok(())
    }

    /// What the operator of a store with so many accounts has to be warned of.
    pub(crate) fn warning_of_accounts(&self, accounts: usize) -> Option<String> {
        let trusts = self.http_login == Login::Remote && accounts > 1;
        trusts.then(|| {
            format!(
                "the store has {accounts} accounts: {TRUSTING}; say `login = \"always\"` in \
                 [http] unless this machine is yours alone"
            )
        })
    }

    /// What the operator has to be warned of: each a sentence.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if !is_local(&self.http) && self.http_login == Login::Never {
            out.push(format!(
                "HTTP listens on {} and nobody has to log in: whoever reaches it may read, change \
                 and remove everything; take `login = \"never\"` out of [http]",
                self.http
            ));
        }
        if !is_local(&self.http) {
            let proxy = match self.http_login {
                Login::Remote => format!(" and say `login = \"always\"` in [http]: {TRUSTING}"),
                Login::Always | Login::Never => String::new(),
            };
            out.push(format!(
                "HTTP listens on {} without TLS: who can listen on the way learns tokens; put a \
                 proxy that ends TLS in front of it{proxy}",
                self.http
            ));
        }
        let protected =
            self.tls.as_ref().is_some_and(|tls| tls.required && tls.client_ca.is_some());
        for nbd in &self.nbd {
            let NbdAddress::Tcp(address) = nbd else { continue };
            if is_local(address) || protected {
                continue;
            }
            out.push(match self.nbd_login {
                Login::Never => format!(
                    "NBD listens on {address} without asking for client certificates or tickets: \
                     whoever reaches it may read and write every volume; set `required` and \
                     `client_ca` in [tls]"
                ),
                Login::Remote | Login::Always => format!(
                    "NBD listens on {address} without asking for client certificates: who can \
                     listen on the way learns tickets and data; set `required` and `client_ca` in \
                     [tls]"
                ),
            });
        }
        out
    }
}

/// What is to be known of `login = "remote"`.
const TRUSTING: &str = "who connects to HTTP from this machine without a token is the operator: \
                        that is every user and container of it, and whoever comes through a proxy \
                        that does not say so";

fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn read_file(path: &Path) -> Result<ConfigFile, ServeError> {
    let bytes = read_limited(path, "the configuration file")?;
    let wrong = |message: String| ServeError::Config { path: path.to_owned(), message };
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".to_owned()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))
}

/// Reads a small file.
pub(crate) fn read_limited(path: &Path, what: &'static str) -> Result<Vec<u8>, ServeError> {
    use std::io::Read;

    let failed = |source| ServeError::Read { what, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(std::io::Error::other("it is larger than 1 MiB")));
    }
    Ok(bytes)
}

fn tls_files(tls: TlsSection, base: &Path) -> TlsFiles {
    TlsFiles {
        cert: base.join(tls.cert),
        key: base.join(tls.key),
        client_ca: tls.client_ca.map(|path| base.join(path)),
        required: tls.required,
    }
}

fn pool_config(file: &ConfigFile, base: &Path) -> Result<pool::Config, ServeError> {
    let ConfigFile { cache, checkpoint, segments, collector, backup, lifecycle, .. } = file;
    let trust_clock = lifecycle.trust_clock;
    let pool_url = file.pool.url.clone();
    let pool_rates = pool::PoolRates {
        bytes: file.pool.bytes_per_second.and_then(|bytes| NonZeroU64::new(bytes.0)),
        requests: file.pool.requests_per_second.and_then(NonZeroU64::new),
    };
    let catalog_url = file.catalog.url.clone();
    let host_cache = host_cache(cache, base)?;
    let mut config = pool::Config {
        trust_clock,
        pool_url,
        catalog_url,
        pool_rates,
        host_cache,
        ..pool::Config::default()
    };
    for (given, setting) in [
        (cache.chunks.map(|bytes| bytes.0), &mut config.chunk_cache_bytes),
        (cache.nodes.map(|bytes| bytes.0), &mut config.node_cache_bytes),
        (cache.slots.map(|bytes| bytes.0), &mut config.slot_cache_bytes),
        (checkpoint.log.map(|bytes| bytes.0), &mut config.log_checkpoint_bytes),
        (checkpoint.interval_ms, &mut config.checkpoint_interval_ms),
        (segments.hot.map(|bytes| bytes.0), &mut config.hot_segment_bytes),
        (segments.cold.map(|bytes| bytes.0), &mut config.cold_segment_bytes),
        (collector.interval_ms, &mut config.collector_interval_ms),
        (collector.grace_ms, &mut config.collector_grace_ms),
        (backup.interval_ms, &mut config.backup_interval_ms),
        (file.mover.interval_ms, &mut config.mover_interval_ms),
        (file.mover.bytes_per_second.map(|bytes| bytes.0), &mut config.mover_bytes_per_second),
        (lifecycle.interval_ms, &mut config.lifecycle_interval_ms),
        (lifecycle.day_ms.map(NonZeroU64::get), &mut config.lifecycle_day_ms),
        (lifecycle.upload_age_ms, &mut config.upload_age_ms),
    ] {
        if let Some(value) = given {
            *setting = value;
        }
    }
    Ok(config)
}

/// The cache of pools on a disk of the host.
fn host_cache(cache: &CacheSection, base: &Path) -> Result<pool::HostCacheConfig, ServeError> {
    let bytes = cache.bytes.map_or(0, |bytes| bytes.0);
    if bytes > 0 && bytes < pool::CACHE_BYTES_MIN {
        return Err(ServeError::Setting(format!(
            "[cache] bytes is {bytes}: a cache on a disk has {} bytes at least, and 0 is none",
            pool::CACHE_BYTES_MIN
        )));
    }
    Ok(pool::HostCacheConfig {
        bytes,
        folder: cache.path.as_ref().map(|path| base.join(path)),
        directories: cache.directories,
    })
}

fn nbd_addresses(texts: &[String], base: &Path) -> Result<Vec<NbdAddress>, ServeError> {
    let parse = |text: &String| match text.strip_prefix("unix:") {
        Some("") => Err(ServeError::Setting(
            "'unix:' names no socket; write unix:PATH, as unix:/run/archipelago.sock".to_owned(),
        )),
        Some(path) => Ok(NbdAddress::Unix(base.join(path))),
        None => address(text, NBD_PORT).map(NbdAddress::Tcp),
    };
    texts.iter().map(parse).collect()
}

/// Domains of the command line, else of the file; each is labels and dots.
fn domains(options: &[String], file: Vec<String>) -> Result<Vec<String>, ServeError> {
    let names = if options.is_empty() { file } else { options.to_vec() };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match names.iter().find(|name| !name.split('.').all(is_label)) {
        Some(wrong) => Err(ServeError::Setting(format!(
            "'{}' is not a domain: use a name as s3.example.org, without a port",
            wrong.escape_default()
        ))),
        None => Ok(names),
    }
}

/// Parses `127.0.0.1:7480`, `[::1]:7480`, `localhost:7480`, or the same without
/// a port. Names other than localhost are no addresses: what they stand for may
/// change, and with it who can connect.
fn address(text: &str, default_port: u16) -> Result<SocketAddr, ServeError> {
    let wrong = || {
        ServeError::Setting(format!(
            "'{}' is not an address to listen on; write ADDRESS:PORT, as 127.0.0.1:{default_port}",
            text.escape_default()
        ))
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Ok(SocketAddr::new(ip, default_port));
    }
    let (host, port) = match text.split_once(':') {
        None => (text, default_port),
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
    };
    if host == "localhost" {
        Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests;
