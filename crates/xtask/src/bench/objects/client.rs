//! A client of S3 that does little itself: URLs are signed, and one connection is kept.

use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::{Agent, SendBody};

use super::servers::Server;

const BUCKET: &str = "bench";
/// How long a URL that is signed is good.
const SIGNED: Duration = Duration::from_hours(1);
/// No request of the benchmark takes longer.
const ANSWER_WITHIN: Duration = Duration::from_mins(5);

/// A client with a connection of its own.
pub struct Client {
    agent: Agent,
    bucket: Bucket,
    credentials: Credentials,
}

/// One page of a list.
pub struct Listed {
    pub names: usize,
    pub next: Option<String>,
}

impl Client {
    pub fn new(server: &Server) -> Result<Self> {
        let endpoint = server.endpoint.parse().context("the address of the server")?;
        Ok(Self {
            agent: Agent::config_builder().timeout_global(Some(ANSWER_WITHIN)).build().into(),
            bucket: Bucket::new(endpoint, UrlStyle::Path, BUCKET, "us-east-1")?,
            credentials: Credentials::new(server.key.clone(), server.secret.clone()),
        })
    }

    /// Makes the bucket that all others are about.
    pub fn make_bucket(&self) -> Result<()> {
        let url = self.bucket.create_bucket(&self.credentials).sign(SIGNED);
        self.agent.put(url.as_str()).send_empty().context("making the bucket")?;
        Ok(())
    }

    pub fn put(&self, name: &str, body: &[u8]) -> Result<()> {
        let url = self.bucket.put_object(Some(&self.credentials), name).sign(SIGNED);
        self.agent.put(url.as_str()).send(body).with_context(|| format!("PUT {name}"))?;
        Ok(())
    }

    /// Puts `bytes` bytes that are made while they are sent.
    pub fn put_stream(&self, name: &str, bytes: u64, mut body: impl Read) -> Result<()> {
        let url = self.bucket.put_object(Some(&self.credentials), name).sign(SIGNED);
        let request = self.agent.put(url.as_str()).header("content-length", bytes.to_string());
        request.send(SendBody::from_reader(&mut body)).with_context(|| format!("PUT {name}"))?;
        Ok(())
    }

    /// Gets an object and forgets it; gives its size.
    pub fn get(&self, name: &str) -> Result<u64> {
        let url = self.bucket.get_object(Some(&self.credentials), name).sign(SIGNED);
        let answer = self.agent.get(url.as_str()).call();
        let mut answer = answer.with_context(|| format!("GET {name}"))?;
        Ok(io::copy(&mut answer.body_mut().as_reader(), &mut io::sink())?)
    }

    pub fn remove(&self, name: &str) -> Result<()> {
        let url = self.bucket.delete_object(Some(&self.credentials), name).sign(SIGNED);
        self.agent.delete(url.as_str()).call().with_context(|| format!("DELETE {name}"))?;
        Ok(())
    }

    /// A page of a thousand names.
    pub fn list(&self, from: Option<&str>) -> Result<Listed> {
        let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
        if let Some(token) = from {
            action.with_continuation_token(token.to_owned());
        }
        let mut answer = self.agent.get(action.sign(SIGNED).as_str()).call().context("listing")?;
        let text = answer.body_mut().read_to_string()?;
        let tag = "<NextContinuationToken>";
        let next = text.split_once(tag).and_then(|(_, rest)| rest.split_once('<'));
        Ok(Listed {
            names: text.matches("<Key>").count(),
            next: next.map(|(token, _)| token.replace("&amp;", "&")),
        })
    }

    /// Begins an upload in parts; gives its id.
    pub fn begin(&self, name: &str) -> Result<String> {
        let url = self.bucket.create_multipart_upload(Some(&self.credentials), name).sign(SIGNED);
        let mut answer = self.agent.post(url.as_str()).send_empty().context("beginning parts")?;
        let text = answer.body_mut().read_to_string()?;
        let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<'));
        Ok(id.context("no id of the upload")?.0.to_owned())
    }

    /// Sends a part; gives its ETag.
    pub fn part(&self, name: &str, upload: &str, number: u16, body: &[u8]) -> Result<String> {
        let action = self.bucket.upload_part(Some(&self.credentials), name, number, upload);
        let answer = self.agent.put(action.sign(SIGNED).as_str()).send(body);
        let answer = answer.with_context(|| format!("part {number}"))?;
        let etag = answer.headers().get("etag").context("a part without ETag")?;
        Ok(etag.to_str()?.to_owned())
    }

    /// Makes one object of all parts.
    pub fn complete(&self, name: &str, upload: &str, etags: &[String]) -> Result<()> {
        let etags = etags.iter().map(String::as_str);
        let action =
            self.bucket.complete_multipart_upload(Some(&self.credentials), name, upload, etags);
        let url = action.sign(SIGNED);
        let body = action.body();
        let mut answer = self.agent.post(url.as_str()).send(body).context("ending parts")?;
        // Errors come with status 200, as S3 says.
        let text = answer.body_mut().read_to_string()?;
        ensure!(!text.contains("<Error>"), "ending parts: {text}");
        Ok(())
    }
}
