//! The HTTP client: paths and types of `api` in, values or a [`Failure`] out.

mod early;

use std::env::VarError;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use archipelago_api::{self as api, STREAM_CONTENT_TYPE, VERSION_HEADER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use ureq::middleware::MiddlewareNext;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};
use ureq::{Agent, Body, SendBody, Timeout};

use crate::failure::{Failure, Kind, Result};
use early::{Answered, EarlyAnswer};

/// How long a server may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long the server may take for a call that carries no stream. The longest
/// is `df` of a store with very many maps.
const CALL_MAX: Duration = Duration::from_secs(600);
/// How long a transfer may stand still: over the 15 minutes after which the
/// server gives up, so that it gets to say why.
const STALL_MAX: Duration = Duration::from_secs(20 * 60);
/// The largest JSON answer that is read: a difference of 64 TiB in 4 KiB steps
/// would be more, but no person and hardly a program wants that.
const JSON_BYTES_MAX: u64 = 1 << 30;
/// The largest answer in plain bytes: the hashes of the blocks of a file of 5 TiB are 21 MB.
const BYTES_MAX: u64 = 64 << 20;
/// Bytes that are sent or received at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The variable of the environment with a token.
const TOKEN_VARIABLE: &str = "ARCHIPELAGO_TOKEN";
/// A token is read so far, in bytes: more than any has.
const TOKEN_BYTES_MAX: u64 = 4096;

const START_IT: &str = "is `archipelago serve` running? start it, or set --endpoint or \
                        ARCHIPELAGO_ENDPOINT to where it runs";

/// Where a request says who asks.
const TOKEN_HEADER: &str = "x-auth-token";
/// Where a login, or its end, has the token that it is about.
const SUBJECT_HEADER: &str = "x-subject-token";

/// What says who asks. Never shown.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// Out of a file, or of the variable of the environment; never an argument, which every
    /// process of the machine can read.
    pub fn find(file: Option<&Path>) -> Result<Option<Self>> {
        if let Some(path) = file {
            let what = format!("read the token in {}", path.display());
            let input = std::fs::File::open(path).map_err(Failure::local(&what))?;
            let mut text = String::new();
            input.take(TOKEN_BYTES_MAX).read_to_string(&mut text).map_err(Failure::local(&what))?;
            return Self::new(&text, &path.display().to_string()).map(Some);
        }
        match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => Self::new(&text, TOKEN_VARIABLE).map(Some),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(Self::wrong(TOKEN_VARIABLE)),
        }
    }

    fn new(text: &str, place: &str) -> Result<Self> {
        let text = text.trim();
        // Without any it would be the operator who asks, which nobody means who sets one.
        if text.is_empty() {
            return Err(Self::wrong(place));
        }
        let mut value = HeaderValue::from_str(text).map_err(|_| Self::wrong(place))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    fn wrong(place: &str) -> Failure {
        Failure::new(Kind::Local, format!("{place} has no token in it"))
            .remedy("put one there that `archipelago token issue` prints, or set nothing")
    }
}

/// Where the server is: `http://HOST[:PORT]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint(String);

/// Why an endpoint was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    #[error(
        "https is not spoken yet; write http://HOST:PORT, and use an SSH tunnel to reach another host safely"
    )]
    Https,
    #[error("'{0}' is not an endpoint: write http://HOST:PORT")]
    Malformed(String),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let malformed = || EndpointError::Malformed(text.escape_default().to_string());
        if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err(EndpointError::Https);
        }
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if uri.scheme_str() != Some("http") || !bare || authority.as_str().contains('@') {
            return Err(malformed());
        }
        Ok(Self(format!("http://{authority}")))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How an upload is addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    Post,
    Put,
    Patch,
    /// A `POST` of plain bytes, of which the client knows how many they are.
    Blocks,
}

/// An answer in plain bytes.
pub struct Bytes {
    headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Bytes {
    /// A header, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A server.
pub struct Client {
    endpoint: Endpoint,
    token: Option<Token>,
    agent: Agent,
    answered: Answered,
}

impl Client {
    /// Opens no connection yet. Each request shows `token`, which says who asks.
    pub fn new(endpoint: Endpoint, token: Option<Token>) -> Self {
        let shown = token.clone();
        let config = Agent::config_builder()
            .middleware(move |mut request: Request<SendBody<'_>>, next: MiddlewareNext<'_>| {
                if let Some(Token(token)) = &shown {
                    request.headers_mut().insert(TOKEN_HEADER, token.clone());
                }
                next.handle(request)
            })
            .http_status_as_error(false)
            // The server is near; what the environment says of proxies is about the web.
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("archipelago/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_per_read(Some(STALL_MAX))
            .timeout_per_write(Some(STALL_MAX))
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .build();
        let answered = Answered::default();
        let connector = TcpConnector::default().chain(EarlyAnswer::new(answered.clone()));
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        Self { endpoint, token, agent, answered }
    }

    /// The same server for whoever has this token.
    pub fn with_token(&self, token: &str) -> Result<Self> {
        Ok(Self::new(self.endpoint.clone(), Some(Token::new(token, "the answer to a login")?)))
    }

    /// The same server and the same token, on connections of its own.
    pub fn another(&self) -> Self {
        Self::new(self.endpoint.clone(), self.token.clone())
    }

    /// `POST` of JSON that is answered with a token in a header.
    pub fn issue<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(String, T)> {
        let request =
            self.agent.post(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        let mut answer = self.accept(request.build().send_json(body), path)?;
        let token = answer.headers().get(SUBJECT_HEADER).and_then(|value| value.to_str().ok());
        let token = token.map(str::to_owned);
        let token = token.ok_or_else(|| self.foreign(path, "a login without a token"))?;
        let body = answer.body_mut().read_json().map_err(|error| self.unsent(&error))?;
        Ok((token, body))
    }

    /// `DELETE` of the token that each request shows.
    pub fn revoke(&self, path: &str) -> Result {
        let Some(Token(token)) = &self.token else {
            return Err(Failure::new(Kind::Local, "there is no token to revoke")
                .remedy("set ARCHIPELAGO_TOKEN or --token-file"));
        };
        let request = self.agent.delete(self.url(path)).header(SUBJECT_HEADER, token.clone());
        let request = request.config().timeout_recv_response(Some(CALL_MAX));
        self.accept(request.build().call(), path).map(|_| ())
    }

    /// Whom it talks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the server is there, before work is done for it.
    pub fn ping(&self) -> Result {
        self.get::<api::Health>(api::path::HEALTH).map(|_| ())
    }

    /// `GET` of a value.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.agent.get(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        self.value(request.build().call(), path)
    }

    /// `GET` of a value that may not exist.
    pub fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        match self.get(path) {
            Ok(value) => Ok(Some(value)),
            Err(failure) if failure.kind() == Kind::Server(api::ErrorKind::NotFound) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// `POST` of JSON.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let request =
            self.agent.post(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        self.value(request.build().send_json(body), path)
    }

    /// `POST` of nothing.
    pub fn post_empty<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request =
            self.agent.post(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        self.value(request.build().send_empty(), path)
    }

    /// `PUT` of nothing.
    pub fn put_empty<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.agent.put(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        self.value(request.build().send_empty(), path)
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Result {
        let request =
            self.agent.delete(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        self.accept(request.build().call(), path).map(|_| ())
    }

    /// Sends a transfer stream, or plain bytes to `PATCH` with. `body` is read only once the server has agreed
    /// to have it, and no further once it has answered.
    pub fn upload<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &mut dyn Read,
    ) -> Result<T> {
        let url = self.url(path);
        let request = match method {
            Method::Post | Method::Blocks => self.agent.post(url),
            Method::Put => self.agent.put(url),
            Method::Patch => self.agent.patch(url),
        };
        let kind = match method {
            Method::Post | Method::Put => STREAM_CONTENT_TYPE,
            Method::Patch | Method::Blocks => "application/octet-stream",
        };
        let mut body = self.answered.stop(body);
        let answer = request
            .content_type(kind)
            .header("expect", "100-continue")
            .send(SendBody::from_reader(&mut body));
        self.value(answer, path)
    }

    /// Receives a transfer stream.
    pub fn download(&self, path: &str) -> Result<impl Read + use<>> {
        let answer = self.accept(self.agent.get(self.url(path)).call(), path)?;
        let kind = answer.headers().get("content-type").and_then(|value| value.to_str().ok());
        if kind != Some(STREAM_CONTENT_TYPE) {
            return Err(self.foreign(path, "an answer that is no transfer stream"));
        }
        // Chunks may be smaller than what is asked for at once.
        Ok(io::BufReader::with_capacity(BUFFER_BYTES, answer.into_body().into_reader()))
    }

    /// `GET` of plain bytes, all in memory.
    pub fn get_bytes(&self, path: &str) -> Result<Bytes> {
        let request = self.agent.get(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        self.bytes(request.build().call(), path)
    }

    /// `POST` of JSON that is answered so.
    pub fn post_for_bytes(&self, path: &str, body: &impl Serialize) -> Result<Bytes> {
        let request =
            self.agent.post(self.url(path)).config().timeout_recv_response(Some(CALL_MAX));
        self.bytes(request.build().send_json(body), path)
    }

    fn bytes(&self, answer: Result<Response<Body>, ureq::Error>, path: &str) -> Result<Bytes> {
        let mut answer = self.accept(answer, path)?;
        let headers = std::mem::take(answer.headers_mut());
        let body = answer.body_mut().with_config().limit(BYTES_MAX).read_to_vec();
        Ok(Bytes { headers, bytes: body.map_err(|error| self.unsent(&error))? })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    fn value<T: DeserializeOwned>(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
        path: &str,
    ) -> Result<T> {
        let mut answer = self.accept(answer, path)?;
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(JSON_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| self.unsent(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| self.foreign(path, &error.to_string()))
    }

    /// Takes an answer that means success and comes from a server of ours.
    fn accept(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
        path: &str,
    ) -> Result<Response<Body>> {
        let mut answer = answer.map_err(|error| self.unsent(&error))?;
        let version = answer.headers().get(VERSION_HEADER).and_then(|value| value.to_str().ok());
        match version {
            None => return Err(self.foreign(path, &format!("status {}", answer.status()))),
            Some(version) if version != api::VERSION.to_string() => {
                let message = format!(
                    "the server at {} speaks version {} of the API, and this program {}",
                    self.endpoint,
                    version.escape_default(),
                    api::VERSION
                );
                return Err(Failure::new(Kind::Protocol, message)
                    .remedy("use the archipelago program of the server's version"));
            }
            Some(_) => {}
        }
        if answer.status().is_success() { Ok(answer) } else { Err(self.refusal(&mut answer, path)) }
    }

    /// The error that the server answered.
    fn refusal(&self, answer: &mut Response<Body>, path: &str) -> Failure {
        let status = answer.status();
        let body: serde_json::Value = match answer.body_mut().read_json() {
            Ok(body) => body,
            Err(_) => return self.foreign(path, &format!("status {status} without a reason")),
        };
        // By hand: a newer server may have kinds that are unknown here.
        let kind = serde_json::from_value(body["kind"].clone()).unwrap_or(match status {
            StatusCode::NOT_FOUND => api::ErrorKind::NotFound,
            StatusCode::UNAUTHORIZED => api::ErrorKind::Unauthenticated,
            StatusCode::TOO_MANY_REQUESTS => api::ErrorKind::Throttled,
            _ => api::ErrorKind::Internal,
        });
        // Logins are refused in the words of Keystone.
        let message = body["message"].as_str().or_else(|| body["error"]["message"].as_str());
        let message = message.unwrap_or("the server gave no reason");
        Failure::new(Kind::Server(kind), crate::output::text::plain(message))
    }

    /// The answer makes no sense.
    pub fn foreign(&self, path: &str, what: &str) -> Failure {
        let message =
            format!("the answer of {} to {path} is not understood: {what}", self.endpoint);
        Failure::new(Kind::Protocol, message).remedy(
            "does another program listen there? set --endpoint to that of `archipelago serve`",
        )
    }

    /// A request without an answer.
    fn unsent(&self, error: &ureq::Error) -> Failure {
        let endpoint = &self.endpoint;
        let none = |why: &str| {
            Failure::new(Kind::Unreachable, format!("no server answers at {endpoint}: {why}"))
                .remedy(START_IT)
        };
        match error {
            ureq::Error::HostNotFound => none("there is no such host"),
            ureq::Error::ConnectionFailed => none("the connection failed"),
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => none("it takes too long"),
            ureq::Error::Timeout(_) => {
                Failure::new(Kind::Unreachable, format!("the server at {endpoint} stands still"))
                    .remedy("it may still do what was asked; see `archipelago status` and its log")
            }
            ureq::Error::Io(io)
                if matches!(
                    io.kind(),
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::HostUnreachable
                        | io::ErrorKind::NetworkUnreachable
                        | io::ErrorKind::AddrNotAvailable
                ) =>
            {
                none(&reason(io))
            }
            other => Failure::new(
                Kind::Unreachable,
                format!("the connection to {endpoint} broke: {other}"),
            )
            .remedy("see the log of `archipelago serve`, and try again"),
        }
    }
}

/// The words of the operating system, without its number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
