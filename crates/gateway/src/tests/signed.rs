//! Requests of S3, signed as its clients sign them.

use archipelago_pool::{Named, NewUser, Secret};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use super::harness::{Answer, Harness};
use crate::swift::answer::iso_date;

/// A key of S3.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// Makes a user with an account of its own, and a key for it.
pub(crate) fn user(server: &Harness, name: &str) -> Key {
    let (label, password) = (name.parse().unwrap(), Secret::new("correct horse"));
    let new = NewUser { name: label, password, is_admin: false, account: None };
    server.app.service.user_create(&new).unwrap();
    let named = Named::name(name);
    let (key, secret) = server.app.service.key_create(&named, &named).unwrap();
    Key { id: key.id, secret: secret.expose().to_owned() }
}

/// In the place of the hash of a body.
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Sends a request; `query` has its pairs in their order, encoded.
pub(crate) fn send(
    server: &Harness,
    key: &Key,
    method: &str,
    (path, query): (&str, &str),
    head: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let time = now(server);
    let mut all = vec![("x-amz-content-sha256", UNSIGNED), ("x-amz-date", &*time)];
    all.extend(head);
    let lines = sign(key, &time, method, (path, query), &all);
    let mark = if query.is_empty() { "" } else { "?" };
    server.raw(method, &format!("{path}{mark}{query}"), &lines, body)
}

/// `20250131T000000Z`: the time of the server.
pub(crate) fn now(server: &Harness) -> String {
    let iso = iso_date(server.app.service.now_ms());
    let time: String = iso.chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{time}Z")
}

/// The lines of these headers, one of them with the hash of the body, and of their signature.
pub(crate) fn sign(
    key: &Key,
    time: &str,
    method: &str,
    (path, query): (&str, &str),
    head: &[(&str, &str)],
) -> String {
    let day = &time[..8];
    let mut headers: Vec<(&str, &str)> = vec![("host", "localhost")];
    headers.extend(head);
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let payload = headers.iter().find(|(name, _)| *name == "x-amz-content-sha256").unwrap().1;
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let hash = hex::encode(digest(&SHA256, canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let mac = |key: &[u8], text: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let mut secret = format!("AWS4{}", key.secret).into_bytes();
    for part in [day, "us-east-1", "s3", "aws4_request"] {
        secret = mac(&secret, part);
    }
    let signature = hex::encode(mac(&secret, &text));
    let mut lines: String = headers
        .iter()
        .filter(|(name, _)| *name != "host")
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    lines.push_str(&format!(
        "Authorization: AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},\
         Signature={signature}\r\n",
        key.id
    ));
    lines
}
