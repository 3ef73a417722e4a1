//! Where a catalog on PostgreSQL is: a url, what it means, and who we are there.
//!
//! `postgres://USER@HOST:PORT/DATABASE?schema=NAME&passfile=FILE`; `host=FOLDER` for a UNIX socket.
//!
//! No password is in a url: it comes from `passfile`, or from `PGPASSWORD` or `PGPASSFILE` in the
//! environment. Files are as libpq has them: `HOST:PORT:DATABASE:USER:PASSWORD`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use archipelago_env::{Env, Mode};
use url::Url;
use zeroize::Zeroizing;

use crate::error::{Error, io_kind};

const PORT: u16 = 5432;
/// Where the tables are, if the url does not say.
const SCHEMA: &str = "public";
/// As long as PostgreSQL lets names be, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// The longest file with passwords, in bytes.
const PASSFILE_BYTES_MAX: usize = 64 << 10;

/// The server's address.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Name(String),
    /// The folder of a UNIX socket.
    Socket(PathBuf),
}

/// What a url says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    host: Host,
    port: u16,
    user: String,
    database: String,
    pub(super) schema: String,
    passfile: Option<PathBuf>,
    shown: String,
}

/// What is told of it. It has no secret.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn wrong(why: &str) -> Error {
    Error::invalid(format!(
        "the url of the catalog: {why}; write postgres://USER@HOST:PORT/DATABASE?schema=NAME, with \
         host=FOLDER for the UNIX socket in a folder"
    ))
}

impl Settings {
    /// What a url means, before it is repeated in any message.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // What may be a secret is not repeated.
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(wrong("it does not begin with postgres:"));
        }
        if url.password().is_some() {
            return Err(wrong(
                "it has a password in it; that belongs into a file (passfile=FILE) or the \
                 environment (PGPASSWORD, PGPASSFILE)",
            ));
        }
        let mut query: Vec<(Cow<'_, str>, Cow<'_, str>)> = url.query_pairs().collect();
        let mut take = |key: &str| {
            let at = query.iter().position(|(name, _)| name == key)?;
            Some(query.swap_remove(at).1.into_owned())
        };
        let host = take("host").or_else(|| url.host_str().and_then(decoded));
        let host = host.filter(|host| !host.is_empty()).ok_or_else(|| wrong("it names no host"))?;
        let host = match host.starts_with('/') {
            true => Host::Socket(host.into()),
            false => Host::Name(host.trim_matches(['[', ']']).to_owned()),
        };
        let user = take("user").or_else(|| decoded(url.username()));
        let ssl = take("sslmode");
        let settings = Self {
            port: url.port().unwrap_or(PORT),
            user: user.filter(|user| !user.is_empty()).ok_or_else(|| wrong("it names no user"))?,
            database: decoded(url.path().trim_matches('/'))
                .filter(|name| !name.is_empty() && !name.contains('/'))
                .ok_or_else(|| wrong("it names no database"))?,
            schema: take("schema").unwrap_or_else(|| SCHEMA.to_owned()),
            passfile: take("passfile").map(PathBuf::from),
            shown: text.to_owned(),
            host,
        };
        if let Some((key, _)) = query.first() {
            return Err(wrong(&format!("it has '{}', which means nothing", key.escape_default())));
        }
        settings.check(ssl.as_deref())?;
        Ok(settings)
    }

    fn check(&self, ssl: Option<&str>) -> Result<(), Error> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let name = self.schema.as_bytes();
        let begins = name.first().is_some_and(|b| !b.is_ascii_digit());
        if !begins || !name.iter().all(|b| plain(*b)) || name.len() > NAME_BYTES_MAX {
            return Err(wrong("a schema has 1 to 63 of a-z 0-9 _, and begins with no digit"));
        }
        let has_nul = |text: &str| text.contains('\0');
        if [&self.user, &self.database].into_iter().any(|text| has_nul(text)) {
            return Err(wrong("it has a NUL character"));
        }
        match (ssl, self.is_here()) {
            (Some("disable"), _) | (None, true) => Ok(()),
            (None, false) => Err(wrong(
                "this program speaks to PostgreSQL without TLS, so that only a server on this \
                 machine is reached: by a UNIX socket, a loopback address, or a tunnel that ends \
                 at one (sslmode=disable, where the network is yours alone)",
            )),
            (Some(_), _) => Err(wrong(
                "this program speaks to PostgreSQL without TLS: of sslmode it knows 'disable'; \
                 lead the way through a tunnel that ends at a loopback address",
            )),
        }
    }

    /// Whether nobody listens on the way.
    fn is_here(&self) -> bool {
        match &self.host {
            Host::Socket(_) => true,
            Host::Name(name) => {
                let address = name.parse::<IpAddr>();
                name == "localhost" || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
            }
        }
    }

    /// What the library needs to connect. Files with passwords are read each time: passwords
    /// change.
    pub(super) fn config(&self, env: &Env) -> Result<tokio_postgres::Config, Error> {
        let mut config = tokio_postgres::Config::new();
        match &self.host {
            Host::Name(name) => config.host(name),
            Host::Socket(folder) => config.host_path(folder),
        };
        config.port(self.port).user(&self.user).dbname(&self.database);
        if let Some(password) = self.password(env)? {
            config.password(password.as_bytes());
        }
        Ok(config)
    }

    fn password(&self, env: &Env) -> Result<Option<Zeroizing<String>>, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(file) = &self.passfile {
            let found = self.in_file(env, file)?;
            return found.map(Some).ok_or_else(|| {
                Error::invalid(format!(
                    "{} has no password for the catalog {self}: add a line \
                     HOST:PORT:DATABASE:USER:PASSWORD, where * fits all",
                    file.display()
                ))
            });
        }
        if let Some(password) = variable("PGPASSWORD") {
            return Ok(Some(Zeroizing::new(password)));
        }
        // Without one the server may still let us in.
        variable("PGPASSFILE").map_or(Ok(None), |file| self.in_file(env, Path::new(&file)))
    }

    fn in_file(&self, env: &Env, path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
        let failed = |error: std::io::Error| {
            let message = format!(
                "cannot read {} with the password of the catalog: {error}; mend passfile in \
                 [catalog] url, or PGPASSFILE",
                path.display()
            );
            Error::new(io_kind(&error), message).with_source(error)
        };
        let file = env.disk().open(path, Mode::Read).map_err(failed)?;
        let mut bytes = Zeroizing::new(vec![0; PASSFILE_BYTES_MAX]);
        let len = file.read_at(0, &mut bytes).map_err(failed)?;
        let text = Zeroizing::new(String::from_utf8_lossy(&bytes[..len]).into_owned());
        Ok(text.lines().find_map(|line| self.password_of(line)))
    }

    /// The password of a line that is for us.
    fn password_of(&self, line: &str) -> Option<Zeroizing<String>> {
        if line.starts_with('#') {
            return None;
        }
        let mut fields = fields(line).into_iter();
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Socket(_) => "localhost".to_owned(),
        };
        let port = self.port.to_string();
        for ours in [&host, &port, &self.database, &self.user] {
            fields.next().filter(|field| **field == "*" || **field == *ours)?;
        }
        fields.next()
    }
}

/// The parts of a line of a file with passwords; a backslash takes the meaning from what follows.
fn fields(line: &str) -> Vec<Zeroizing<String>> {
    let mut out = vec![Zeroizing::new(String::new())];
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            ':' => {
                out.push(Zeroizing::new(String::new()));
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            other => other,
        };
        if let Some(last) = out.last_mut() {
            last.push(char);
        }
    }
    out
}

/// The text behind what a url escapes.
fn decoded(text: &str) -> Option<String> {
    let pair = format!("x={}", text.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
    decoded.map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests;
