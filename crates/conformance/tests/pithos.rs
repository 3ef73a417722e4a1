//! What kamaki, the client of Pithos, sends, replayed by `curl`: kamaki itself needs Python 2.7.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::program::program;
use archipelago_conformance::site::{Site, content};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";
const BLOCK: usize = 4 << 20;
const OCTETS: &str = "Content-Type: application/octet-stream";

/// A request of a client that has a token.
struct Client<'a> {
    site: &'a Site,
    token: String,
    /// What the catalogue says, with the user as kamaki adds it.
    url: String,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

fn curl(site: &Site, arguments: &[&str], body: Option<&Path>) -> Result<Answer> {
    let (head, out) = (site.path("curl.head"), site.path("curl.body"));
    let mut curl = program("curl")?
        .args(["--silent", "--show-error", "--dump-header"])
        .args([&head.display().to_string(), "--output", &out.display().to_string()])
        .args(["--write-out", "%{http_code}"]);
    if let Some(body) = body {
        curl = curl.args(["--data-binary", &format!("@{}", body.display())]);
    }
    let _ = fs::remove_file(&out);
    let said = curl.args(arguments).run()?.text();
    let status = said.trim().parse().with_context(|| said.clone())?;
    let body = fs::read(&out).unwrap_or_default();
    Ok(Answer { status, head: fs::read_to_string(&head)?, body })
}

impl<'a> Client<'a> {
    /// Logs in as kamaki does and reads the catalogue.
    fn new(site: &'a Site, user: &str) -> Result<Self> {
        let body = site.path("login.json");
        let credentials = json!({"username": user, "password": PASSWORD});
        let login = json!({"auth": {"passwordCredentials": credentials}});
        fs::write(&body, login.to_string())?;
        let url = format!("{}/identity/v2.0/tokens", site.daemon.http());
        let json = "Content-Type: application/json";
        let access = curl(site, &["--header", json, &url], Some(&body))?.json()?;
        let access = &access["access"];
        let token = access["token"]["id"].as_str().context("no token")?.to_owned();
        let services = access["serviceCatalog"].as_array().context("no catalogue")?;
        for kind in ["identity", "object-store", "account", "image", "volume", "compute"] {
            let service = services.iter().find(|one| one["type"] == kind).context(kind)?;
            for field in ["versionId", "publicURL", "SNF:uiURL"] {
                ensure!(service["endpoints"][0][field].is_string(), "{kind} has no {field}");
            }
        }
        let store = services.iter().find(|one| one["type"] == "object-store").context("none")?;
        let base = store["endpoints"][0]["publicURL"].as_str().context("no URL")?;
        let id = access["user"]["id"].as_str().context("no user")?;
        Ok(Self { site, token, url: format!("{base}/{id}") })
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        let (token, url) = (format!("X-Auth-Token: {}", self.token), format!("{}{path}", self.url));
        let mut arguments = vec!["--header", &token];
        match method {
            "HEAD" => arguments.push("--head"),
            method => arguments.extend(["--request", method]),
        }
        headers.iter().for_each(|header| arguments.extend(["--header", header]));
        arguments.push(&url);
        let file = self.site.path("request.body");
        if let Some(body) = body {
            fs::write(&file, body)?;
        }
        curl(self.site, &arguments, body.map(|_| file.as_path()))
    }

    fn hashmap(&self, path: &str, list: &Value) -> Result<Answer> {
        let path = format!("{path}?hashmap=True&format=json");
        self.ask("PUT", &path, &[OCTETS], Some(list.to_string().as_bytes()))
    }

    /// Uploads as kamaki does; gives how many blocks travelled.
    fn upload(&self, container: &str, name: &str, bytes: &[u8]) -> Result<usize> {
        let hashes = self.hashes(container, bytes)?;
        let list = json!({"hashes": hashes, "bytes": bytes.len()});
        let path = format!("/{container}/{name}");
        let first = self.hashmap(&path, &list)?;
        if first.status == 201 {
            return Ok(0);
        }
        ensure!(first.status == 409, "{}", first.head);
        let missing = first.json()?;
        let mut sent = 0;
        for (hash, block) in hashes.iter().zip(bytes.chunks(BLOCK)) {
            if !missing.as_array().context("no list")?.contains(hash) {
                continue;
            }
            let path = format!("/{container}?update&format=json");
            let answer = self.ask("POST", &path, &[OCTETS], Some(block))?;
            ensure!(answer.status == 202 && answer.json()? == json!([hash]), "{}", answer.head);
            sent += 1;
        }
        let last = self.hashmap(&path, &list)?;
        ensure!(last.status == 201, "{}", last.head);
        Ok(sent)
    }

    /// As the container says that blocks are hashed, by `sha256sum`.
    fn hashes(&self, container: &str, bytes: &[u8]) -> Result<Vec<Value>> {
        let head = self.ask("HEAD", &format!("/{container}"), &[], None)?;
        ensure!(head.header("X-Container-Block-Size") == Some("4194304"), "{}", head.head);
        ensure!(head.header("X-Container-Block-Hash") == Some("sha256"), "{}", head.head);
        let file = self.site.path("block");
        let hash = |block: &[u8]| {
            let end = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            fs::write(&file, &block[..end])?;
            let said = program("sha256sum")?.args([&file.display().to_string()]).run()?.text();
            Ok(json!(said.split_whitespace().next().context("no hash")?))
        };
        bytes.chunks(BLOCK).map(hash).collect()
    }

    fn download(&self, path: &str) -> Result<Vec<u8>> {
        let list =
            self.ask("GET", &format!("{path}?hashmap=True&format=json"), &[], None)?.json()?;
        let size = list["bytes"].as_u64().context("no size")? as usize;
        let mut out = Vec::new();
        while out.len() < size {
            let end = (out.len() + BLOCK).min(size) - 1;
            let range = format!("Range: bytes={}-{end}", out.len());
            let answer = self.ask("GET", path, &[&range], None)?;
            ensure!(answer.status == 206, "{}", answer.head);
            out.extend(answer.body);
        }
        Ok(out)
    }
}

fn site() -> Result<Site> {
    let site = Site::new()?;
    site.cli.command(&["user", "create", "bob"]).input(PASSWORD).run()?;
    site.cli.command(&["user", "create", "eve"]).input(PASSWORD).run()?;
    Ok(site)
}

#[test]
fn a_file_goes_up_by_hashes_once_and_comes_back_and_again_moves_nothing() -> Result<()> {
    let site = site()?;
    let bob = Client::new(&site, "bob")?;
    ensure!(bob.ask("PUT", "/pithos", &[], None)?.status == 201);
    let mut bytes = content(2 * BLOCK + 12_345);
    bytes[BLOCK - 100..BLOCK].fill(0);
    ensure!(bob.ask("HEAD", "/pithos/f", &[], None)?.status == 404);
    ensure!(bob.upload("pithos", "f", &bytes)? == 3);
    ensure!(bob.download("/pithos/f")? == bytes);
    ensure!(bob.upload("pithos", "again", &bytes)? == 0);
    bytes[BLOCK + 5] ^= 1;
    ensure!(bob.upload("pithos", "changed", &bytes)? == 1);
    ensure!(bob.download("/pithos/changed")? == bytes);
    let listed = bob.ask("GET", "/pithos?format=json", &[], None)?.json()?;
    let names: Vec<_> = listed.as_array().context("no list")?.iter().map(|o| &o["name"]).collect();
    ensure!(names == [&json!("again"), &json!("changed"), &json!("f")]);
    ensure!(listed[0]["hash"] == listed[2]["hash"]);
    Ok(())
}

#[test]
fn hashes_of_somebody_else_are_all_missing() -> Result<()> {
    let site = site()?;
    let (bob, eve) = (Client::new(&site, "bob")?, Client::new(&site, "eve")?);
    let bytes = content(BLOCK + 1);
    for client in [&bob, &eve] {
        ensure!(client.ask("PUT", "/box", &[], None)?.status == 201);
    }
    bob.upload("box", "f", &bytes)?;
    let hashes = bob.hashes("box", &bytes)?;
    let answer = eve.hashmap("/box/f", &json!({"hashes": hashes, "bytes": bytes.len()}))?;
    ensure!(answer.status == 409 && answer.json()? == json!(hashes), "{}", answer.head);
    Ok(())
}

#[test]
fn what_comes_by_pithos_is_what_swift_and_a_volume_show_and_the_other_way_round() -> Result<()> {
    let site = Site::new()?;
    site.cli.command(&["user", "passwd", "admin"]).input(PASSWORD).run()?;
    let admin = Client::new(&site, "admin")?;
    ensure!(admin.ask("PUT", "/box", &[], None)?.status == 201);
    let bytes = content(BLOCK + 4096);
    admin.upload("box", "disk", &bytes)?;
    let file = site.path("disk");
    fs::write(&file, &bytes)?;
    let md5 = program("md5sum")?.args([&file.display().to_string()]).run()?.text();
    let md5 = md5.split_whitespace().next().context("no hash")?.to_owned();
    let (user, key) = ("X-Auth-User: admin:admin", format!("X-Auth-Key: {PASSWORD}"));
    let login = format!("{}/auth/v1.0", site.daemon.http());
    let login = curl(&site, &["--header", user, "--header", &key, &login], None)?;
    let header = |name| login.header(name).map(str::to_owned).context(login.head.clone());
    let swift =
        Client { site: &site, token: header("x-auth-token")?, url: header("x-storage-url")? };
    let shown = swift.ask("GET", "/box/disk", &[], None)?;
    ensure!(shown.body == bytes && shown.header("etag") == Some(&md5), "{}", shown.head);
    site.cli.run(&["volume", "create", "web", "--from", "file:box/disk"])?;
    ensure!(swift.ask("PUT", "/box/other", &[], Some(&bytes))?.status == 201);
    // Its blocks are known once somebody has asked for their hashes.
    ensure!(admin.download("/box/other")? == bytes);
    ensure!(admin.ask("DELETE", "/box/disk", &[], None)?.status == 204);
    ensure!(admin.ask("DELETE", "/box?until=99999999999", &[], None)?.status == 204);
    ensure!(admin.upload("box", "third", &bytes)? == 0);
    Ok(())
}
