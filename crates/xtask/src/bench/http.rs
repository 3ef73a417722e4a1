//! A client of the HTTP API that keeps its connection and times its requests:
//! what a resident program sees, without the start of a process.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use archipelago_conformance::env;
use serde_json::Value;

/// No request of the benchmark takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A connection.
pub struct Http {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Http {
    /// Connects to `http://HOST:PORT`.
    pub fn connect(endpoint: &str) -> Result<Self> {
        let host = endpoint.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).with_context(|| format!("connecting to {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream: BufReader::new(stream), host })
    }

    /// Posts JSON; says how long the answer took. Anything but success is an error.
    pub fn post(&mut self, path: &str, body: &Value) -> Result<Duration> {
        let body = body.to_string();
        let clock = env().clock();
        let begin = clock.monotonic();
        let (status, answer) = self.call("POST", path, &body)?;
        let took = clock.monotonic() - begin;
        ensure!((200..300).contains(&status), "POST {path} {body:.200}: {status} {answer}");
        Ok(took)
    }

    /// Posts, gets or deletes, and gives the JSON of the answer, null where there is none.
    pub fn ask(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.call(method, path, &body)?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(serde_json::from_str(&answer).unwrap_or(Value::Null))
    }

    /// Sends bytes; anything but success is an error.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.stream.get_mut().write_all(body)?;
        let (status, answer) = answer(&mut self.stream)?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(())
    }

    /// A figure of `/metrics`; `None` when there is none of that name.
    pub fn metric(&mut self, name: &str) -> Result<Option<f64>> {
        let (status, text) = self.call("GET", "/metrics", "")?;
        ensure!(status == 200, "GET /metrics: {status} {text}");
        Ok(figure(&text, name))
    }

    /// Figures that must be there.
    pub fn metrics<const N: usize>(&mut self, names: [&str; N]) -> Result<[f64; N]> {
        let (status, text) = self.call("GET", "/metrics", "")?;
        ensure!(status == 200, "GET /metrics: {status} {text}");
        let mut found = [0.0; N];
        for (slot, name) in found.iter_mut().zip(names) {
            *slot = figure(&text, name).with_context(|| format!("/metrics has no {name}"))?;
        }
        Ok(found)
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let length = body.len();
        let host = &self.host;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        answer(&mut self.stream)
    }
}

/// Reads one answer with a known length.
fn answer(stream: &mut impl BufRead) -> Result<(u16, String)> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.with_context(|| format!("no HTTP answer: {line:?}"))?;
    let mut length = 0;
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the answer ends in its head");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().context("Content-Length")?,
            "transfer-encoding" => bail!("the answer to a small request has no length"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A figure without labels in Prometheus' text format.
fn figure(text: &str, name: &str) -> Option<f64> {
    let full = format!("archipelago_{name} ");
    text.lines().find_map(|line| line.strip_prefix(&full)?.trim().parse().ok())
}

#[cfg(test)]
mod tests;
