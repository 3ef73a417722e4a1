//! ceph/s3-tests: what is not only about its own server, nor about what needs services beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use archipelago_conformance::cli::Cli;

use super::suite::{Prepared, Suite, field, make_user};

pub struct S3;

/// What the suite takes for a day of the rules of buckets, in seconds; it waits for whole ones.
const DAY_S: u64 = 10;
/// What the daemon takes for one. A little less: rules are followed at the ends of days, so what
/// ends after one day is gone within two, and the suite looks when two of its own are over.
const DAY_MS: u64 = 9000;
/// How often the daemon looks whether a day has ended.
const INTERVAL_MS: u64 = 200;

impl Suite for S3 {
    fn name(&self) -> &'static str {
        "s3"
    }

    fn variable(&self) -> &'static str {
        "ARCHIPELAGO_S3_SUITE"
    }

    fn source(&self) -> &'static str {
        "git clone https://github.com/ceph/s3-tests; the list is of commit 8f0ae7b"
    }

    fn folder(&self) -> &'static str {
        "s3tests/functional"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["pytest-timeout"]
    }

    fn list(&self) -> &'static str {
        "s3-tests-passed.txt"
    }

    fn tests(&self) -> &'static [&'static str] {
        &[
            "s3tests/functional/test_s3.py",
            "s3tests/functional/test_headers.py",
            "-m",
            // What ends by rules is marked as failing on AWS for the length of its days alone.
            "(not (fails_on_aws or bucket_logging or s3select or s3website or sns or \
             cloud_transition or cloud_restore or lifecycle_transition or sse_s3 or auth_aws2 or \
             appendobject or storage_class)) or \
             (lifecycle_expiration and not (lifecycle_transition or cloud_transition))",
        ]
    }

    fn serve(&self) -> &'static [&'static str] {
        &[]
    }

    fn settings(&self) -> Option<String> {
        let text = format!("[lifecycle]\ninterval_ms = {INTERVAL_MS}\nday_ms = {DAY_MS}\n");
        Some(text)
    }

    fn prepare(&self, cli: &Cli, http: &str, out: &Path) -> Result<Prepared> {
        let (main, alt) = (user(cli, "main")?, user(cli, "alt")?);
        let config = out.join("s3tests.conf");
        fs::write(&config, configuration(http, &main, &alt)?)?;
        let environment = vec![
            ("S3TEST_CONF", config.display().to_string()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CA_BUNDLE", String::new()),
        ];
        Ok(Prepared { environment })
    }
}

/// Somebody with an account and a key.
struct User {
    name: &'static str,
    /// The account's, as it stands in lists of rights.
    id: String,
    key: String,
    secret: String,
}

fn user(cli: &Cli, name: &'static str) -> Result<User> {
    make_user(cli, &[name])?;
    let key = cli.json(&["user", "key", "create", name])?;
    let accounts = cli.json(&["account", "ls"])?;
    let rows = accounts["accounts"].as_array().context("no accounts")?;
    let own = rows.iter().find(|row| row["name"] == name).context("no account")?;
    let (id, key, secret) = (field(own, "id")?, field(&key, "id")?, field(&key, "secret")?);
    Ok(User { name, id, key, secret })
}

fn configuration(http: &str, main: &User, alt: &User) -> Result<String> {
    let address = http.trim_start_matches("http://");
    let (host, port) = address.rsplit_once(':').context("an address has a port")?;
    let mut text = format!(
        "[DEFAULT]\nhost = {host}\nport = {port}\nis_secure = False\nssl_verify = False\n\
         [fixtures]\nbucket prefix = conf-{{random}}-\niam name prefix = conf-\n\
         iam path prefix = /conf/\n"
    );
    // Sections of what is left out must be there all the same.
    for (section, user) in [
        ("s3 main", main),
        ("s3 alt", alt),
        ("s3 tenant", alt),
        ("iam", main),
        ("iam root", main),
        ("iam alt root", alt),
    ] {
        let User { name, id, key, secret } = user;
        text.push_str(&format!(
            "[{section}]\ndisplay_name = {name}\nuser_id = {id}\nemail = {name}@example.com\n\
             access_key = {key}\nsecret_key = {secret}\n"
        ));
        match section {
            "s3 main" => {
                text.push_str(&format!("api_name = default\nlc_debug_interval = {DAY_S}\n"));
            }
            "s3 tenant" => text.push_str("tenant = testx\n"),
            _ => {}
        }
    }
    text.push_str(
        "[webidentity]\ntoken=x\naud=x\nsub=x\nazp=x\nuser_token=x\nthumbprint=x\nKC_REALM=x\n",
    );
    Ok(text)
}
