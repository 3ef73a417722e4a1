//! OpenStack Swift's functional tests, their native part, with auth v1.

use std::fs;
use std::path::Path;

use anyhow::Result;
use archipelago_conformance::cli::Cli;

use super::suite::{PASSWORD, Prepared, Suite, make_user};

pub struct Swift;

/// Accounts are in front of it; the suite says so in a header, and nobody looks it up.
const DOMAIN: &str = "swift.example.org";

/// Users as the suite wants them: two accounts with an owner each, somebody without rights in the
/// first, a service, and an administrator of all.
const USERS: [(&str, &[&str]); 5] = [
    ("tester", &["--account", "test", "--role", "admin"]),
    ("tester2", &["--account", "test2", "--role", "admin"]),
    ("tester3", &["--account", "test", "--role", "guest"]),
    ("tester5", &["--account", "test5", "--role", "admin"]),
    ("tester6", &["--account", "test", "--role", "admin", "--admin"]),
];

impl Suite for Swift {
    fn name(&self) -> &'static str {
        "swift"
    }

    fn variable(&self) -> &'static str {
        "ARCHIPELAGO_SWIFT_SUITE"
    }

    fn source(&self) -> &'static str {
        "git clone --depth 1 https://opendev.org/openstack/swift, or unpack what `pip download \
         --no-binary :all: --no-deps swift==2.38.3` gives"
    }

    fn folder(&self) -> &'static str {
        "test/functional"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["pytest", "pytest-timeout", "boto3", "python-swiftclient", "keystoneauth1"]
    }

    fn list(&self) -> &'static str {
        "swift-passed.txt"
    }

    fn tests(&self) -> &'static [&'static str] {
        // One file has a name that pytest does not look for.
        &[
            "-o",
            "python_files=test_*.py tests.py",
            "--ignore=test/functional/s3api",
            "test/functional",
        ]
    }

    fn serve(&self) -> &'static [&'static str] {
        &["--swift-domain", DOMAIN]
    }

    fn prepare(&self, cli: &Cli, http: &str, out: &Path) -> Result<Prepared> {
        for account in ["test", "test2", "test5"] {
            cli.run(&["account", "create", account])?;
        }
        for (name, more) in USERS {
            make_user(cli, &[&[name], more].concat())?;
        }
        let config = out.join("test.conf");
        fs::write(&config, configuration(http))?;
        let config = config.display().to_string();
        Ok(Prepared { environment: vec![("SWIFT_TEST_CONFIG_FILE", config)] })
    }
}

fn configuration(http: &str) -> String {
    let mut text = format!(
        "[func_test]\nauth_version = 1\nauth_uri = {http}/auth/v1.0\ncollate = C\ninsecure = yes\n\
         storage_domain = {DOMAIN}\naccount = test\nusername = tester\npassword = {PASSWORD}\n\
         username3 = tester3\npassword3 = {PASSWORD}\n"
    );
    for (number, account) in [(2, "test2"), (5, "test5"), (6, "test")] {
        text.push_str(&format!(
            "account{number} = {account}\nusername{number} = tester{number}\n\
             password{number} = {PASSWORD}\n"
        ));
    }
    text.push_str("[unit_test]\nfake_syslog = True\n");
    text
}
