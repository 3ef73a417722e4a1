//! Logins by the clients of OpenStack and Swift.

use anyhow::{Context, Result, ensure};
use archipelago_conformance::program::{Program, program};
use archipelago_conformance::site::Site;

const PASSWORD: &str = "correct horse";

/// A store whose user `bob` has an account of his own and reads account `lab`.
fn site() -> Result<Site> {
    let site = Site::new()?;
    site.cli.command(&["user", "create", "bob"]).input(PASSWORD).run()?;
    site.cli.run(&["account", "create", "lab"])?;
    site.cli.run(&["user", "join", "bob", "lab", "--role", "reader"])?;
    Ok(site)
}

/// What follows `word` in the announcement of the first start.
fn told(announcement: &str, word: &str) -> Result<String> {
    let mut words = announcement.split_whitespace().skip_while(|one| *one != word);
    words.nth(1).map(str::to_owned).with_context(|| format!("no {word}: {announcement}"))
}

fn openstack(site: &Site, user: &str, password: &str, project: &str) -> Result<Program> {
    Ok(program("openstack")?
        .env("OS_AUTH_URL", format!("{}/identity/v3", site.daemon.http()))
        .env("OS_IDENTITY_API_VERSION", "3")
        .env("OS_USERNAME", user)
        .env("OS_PASSWORD", password)
        .env("OS_PROJECT_NAME", project)
        .env("OS_USER_DOMAIN_NAME", "Default")
        .env("OS_PROJECT_DOMAIN_NAME", "Default"))
}

#[test]
fn openstack_logs_in_with_what_the_first_start_told_and_sees_everybody() -> Result<()> {
    let site = site()?;
    let password = told(&site.daemon.printed(), "password")?;
    let run = |arguments: &[&str]| -> Result<String> {
        Ok(openstack(&site, "admin", &password, "admin")?.args(arguments).run()?.text())
    };
    let columns = ["-f", "value", "-c", "Name"];
    let users = run(&[&["user", "list"], &columns[..]].concat())?;
    assert_eq!(users.lines().collect::<Vec<_>>(), ["admin", "bob"]);
    let projects = run(&[&["project", "list"], &columns[..]].concat())?;
    assert_eq!(projects.lines().collect::<Vec<_>>(), ["admin", "bob", "lab"]);
    let id = run(&["project", "show", "lab", "-f", "value", "-c", "id"])?;
    assert_eq!(id.trim().len(), 32);
    let catalog = run(&["catalog", "show", "object-store", "-f", "json"])?;
    assert!(catalog.contains("/object/v1/AUTH_"), "{catalog}");
    let restarted = site.restart()?;
    assert!(told(&restarted.daemon.printed(), "password").is_err());
    Ok(())
}

#[test]
fn a_user_of_openstack_gets_a_token_and_an_s3_key_and_ends_them() -> Result<()> {
    let site = site()?;
    let run = |project: &str, arguments: &[&str]| -> Result<String> {
        Ok(openstack(&site, "bob", PASSWORD, project)?.args(arguments).run()?.text())
    };
    let token = run("lab", &["token", "issue", "-f", "value", "-c", "id"])?;
    run("lab", &["token", "revoke", token.trim()])?;
    let made = run("bob", &["ec2", "credentials", "create", "-f", "value", "-c", "access"])?;
    let key = made.trim();
    assert_eq!(site.cli.json(&["user", "key", "ls", "bob"])?["keys"][0]["id"], key);
    run("bob", &["ec2", "credentials", "delete", key])?;
    let wrong = openstack(&site, "bob", "wrong", "bob")?.args(["token", "issue"]).output()?;
    ensure!(!wrong.status.success() && wrong.stderr.contains("401"), "{}", wrong.stderr);
    let foreign = openstack(&site, "bob", PASSWORD, "admin")?.args(["token", "issue"]).output()?;
    ensure!(!foreign.status.success() && foreign.stderr.contains("401"), "{}", foreign.stderr);
    Ok(())
}

#[test]
fn swift_logs_in_without_keystone() -> Result<()> {
    let site = site()?;
    let url = format!("{}/auth/v1.0", site.daemon.http());
    let log_in = |user: &str, key: &str| -> Result<Program> {
        Ok(program("swift")?.args(["-A", &url, "-U", user, "-K", key, "auth"]))
    };
    let said = log_in("bob:bob", PASSWORD)?.run()?.text();
    assert!(said.contains("/v1/AUTH_") && said.contains("OS_AUTH_TOKEN="), "{said}");
    log_in("lab:bob", PASSWORD)?.run()?;
    assert!(!log_in("admin:bob", PASSWORD)?.output()?.status.success());
    assert!(!log_in("bob:bob", "wrong")?.output()?.status.success());
    Ok(())
}
