//! Users of the command line with tokens: what is theirs, what others let them have, until when.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::daemon::Options;
use archipelago_conformance::nbd::Request;
use archipelago_conformance::program::Program;
use archipelago_conformance::site::Site;

const PASSWORD: &str = "correct horse";
const MIB: usize = 1 << 20;

/// A store with two users, and a disk of 1 MiB as a file.
fn site() -> Result<Site> {
    site_with(&Options::new)
}

fn site_with(options: &dyn Fn(&Path) -> Options) -> Result<Site> {
    let site = Site::with(options)?;
    for user in ["olga", "bob"] {
        site.cli.command(&["user", "create", user]).input(PASSWORD).run()?;
    }
    std::fs::write(site.path("disk.raw"), [7; MIB])?;
    Ok(site)
}

fn token(site: &Site, user: &str) -> Result<String> {
    let issued = site.cli.command(&["token", "issue", user]).input(PASSWORD).run()?;
    Ok(issued.text().trim().to_owned())
}

/// The command line of somebody with a token.
fn with(site: &Site, token: &str, arguments: &[&str]) -> Program {
    site.cli.command(arguments).env("ARCHIPELAGO_TOKEN", token)
}

fn names(site: &Site, token: &str, what: &str) -> Result<Vec<String>> {
    let listed = with(site, token, &[what, "ls", "--json"]).json()?;
    let rows = listed[format!("{what}s")].as_array().cloned().unwrap_or_default();
    Ok(rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)).collect())
}

#[test]
fn an_image_that_is_shared_is_cloned_until_the_right_ends() -> Result<()> {
    let site = site()?;
    let (olga, bob) = (token(&site, "olga")?, token(&site, "bob")?);
    let disk = site.text("disk.raw");
    with(&site, &olga, &["image", "import", &disk, "deb", "--format", "raw"]).run()?;
    let clone =
        |name: &str| with(&site, &bob, &["volume", "create", name, "--from", "image:olga/deb"]);
    // Nothing is shared: nothing is there.
    ensure!(clone("web").fails()?.contains("does not exist"));
    ensure!(names(&site, &bob, "image")?.is_empty());
    with(&site, &olga, &["share", "image:deb", "bob:read"]).run()?;
    ensure!(names(&site, &bob, "image")? == ["olga/deb"]);
    ensure!(clone("web").fails()?.contains("'clone' is not allowed"));
    with(&site, &olga, &["share", "image:deb", "bob:clone"]).run()?;
    clone("web").run()?;
    ensure!(names(&site, &bob, "volume")? == ["web"]);
    ensure!(names(&site, &olga, "volume")?.is_empty());
    // The operator, and NBD, say the full name.
    ensure!(site.cli.names(&["volume", "ls"])? == ["bob/web"]);
    ensure!(site.read("bob/web", 0, MIB as u32)? == [7; MIB]);
    with(&site, &olga, &["share", "rm", "image:deb"]).run()?;
    ensure!(clone("more").fails()?.contains("does not exist"));
    ensure!(names(&site, &bob, "image")?.is_empty());
    let log = site.cli.run(&["audit"])?.text();
    for (who, what, detail) in [
        ("bob", "refused", "clone: nobody has granted it"),
        ("olga", "granted", "bob:clone"),
        ("olga", "revoked", "bob:clone"),
    ] {
        let has =
            |line: &str| [who, what, "image 'olga/deb'", detail].iter().all(|w| line.contains(w));
        ensure!(log.lines().any(has), "{who} {what} {detail}: {log}");
    }
    // Restarted, everybody has what they had.
    let site = site.restart()?;
    ensure!(site.read("bob/web", 0, 4096)? == [7; 4096]);
    let still = site.cli.fails(&["account", "rm", "bob"])?;
    ensure!(still.contains("still owns volumes"), "{still}");
    Ok(())
}

#[test]
fn volumes_of_two_users_have_the_same_name_and_nothing_in_common() -> Result<()> {
    let site = site()?;
    let (olga, bob) = (token(&site, "olga")?, token(&site, "bob")?);
    for token in [&olga, &bob] {
        with(&site, token, &["volume", "create", "web", "--size", "1M"]).run()?;
        with(&site, token, &["snapshot", "create", "web@one"]).run()?;
    }
    site.cli.run(&["volume", "create", "web", "--size", "2M"])?;
    site.write("olga/web", 0, &[3; 4096])?;
    ensure!(site.read("bob/web", 0, 4096)? == [0; 4096]);
    ensure!(site.read("web", 0, 4096)? == [0; 4096]);
    with(&site, &olga, &["snapshot", "rollback", "web@one"]).run()?;
    ensure!(site.read("olga/web", 0, 4096)? == [0; 4096]);
    // Only the operator's snapshots are files of the operator.
    site.cli.run(&["snapshot", "create", "web@two"])?;
    let files = site.cli.json(&["file", "ls", "snapshots"])?;
    let files = files["files"].as_array().cloned().unwrap_or_default();
    ensure!(files.len() == 1 && files[0]["object"] == "web@two", "{files:?}");
    for verb in [&["df"][..], &["gc"], &["status"], &["user", "ls"], &["check"], &["file", "ls"]] {
        let refused = with(&site, &olga, verb).fails()?;
        ensure!(refused.contains("for the operator"), "{verb:?}: {refused}");
    }
    site.cli.run(&["check"])?;
    with(&site, &olga, &["volume", "rm", "web", "--force"]).run()?;
    ensure!(site.cli.names(&["volume", "ls"])? == ["bob/web", "web"]);
    Ok(())
}

#[test]
fn a_file_of_an_account_is_cloned_there_and_named_with_its_account() -> Result<()> {
    let site = site()?;
    site.cli.run(&["container", "create", "box", "--account", "olga"])?;
    let key = site.access_key("olga")?;
    let disk = site.text("disk.raw");
    site.aws(&key)?.args(["s3", "cp", &disk, "s3://box/disk"]).run()?;
    let (olga, bob) = (token(&site, "olga")?, token(&site, "bob")?);
    with(&site, &olga, &["volume", "create", "web", "--from", "file:box/disk"]).run()?;
    ensure!(site.read("olga/web", 0, 4096)? == [7; 4096]);
    let clone =
        || with(&site, &bob, &["volume", "create", "mine", "--from", "file:/olga/box/disk"]);
    ensure!(clone().fails()?.contains("does not exist"));
    with(&site, &olga, &["share", "box/disk", "bob:read"]).run()?;
    clone().run()?;
    let df = site.cli.run(&["df"])?.text();
    ensure!(df.contains("file:/olga/box/disk"), "{df}");
    Ok(())
}

#[test]
fn a_token_comes_from_a_file_or_the_environment_and_ends() -> Result<()> {
    let site = site()?;
    let wrong = site.cli.command(&["token", "issue", "bob"]).input("incorrect horse").fails()?;
    ensure!(wrong.contains("log in again") || wrong.contains("authentication"), "{wrong}");
    let bob = token(&site, "bob")?;
    std::fs::write(site.path("token"), format!("{bob}\n"))?;
    let file = site.text("token");
    site.cli.run(&["volume", "create", "web", "--size", "1M", "--token-file", &file])?;
    ensure!(site.cli.names(&["volume", "ls"])? == ["bob/web"]);
    // An empty variable is nobody, and not the operator.
    ensure!(with(&site, "", &["volume", "ls"]).fails()?.contains("no token"));
    with(&site, &bob, &["token", "revoke"]).run()?;
    let ended = with(&site, &bob, &["volume", "ls"]).fails()?;
    ensure!(ended.contains("not valid"), "{ended}");
    Ok(())
}

#[test]
fn tickets_open_what_their_user_may_open_and_plain_names_nothing_where_all_log_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[nbd]\nlogin = 'always'\n")?;
    let config = config.display().to_string();
    let site = site_with(&|data| Options::new(data).args(&["--config", &config]))?;
    let (olga, bob) = (token(&site, "olga")?, token(&site, "bob")?);
    with(&site, &olga, &["volume", "create", "web", "--size", "1M"]).run()?;
    ensure!(site.open("olga/web").is_err());
    let attach = |token: &str, source: &str| -> Result<String> {
        Ok(with(&site, token, &["attach", source]).run()?.text().trim().to_owned())
    };
    let mine = attach(&olga, "volume:web")?;
    let mut client = site.open(&mine)?;
    client.all(&[Request::write(0, &[5; 4096])])?;
    client.flush()?;
    ensure!(with(&site, &bob, &["attach", "volume:olga/web"]).fails()?.contains("does not exist"));
    with(&site, &olga, &["share", "volume:web", "bob:read"]).run()?;
    let shared = attach(&bob, "volume:olga/web")?;
    let mut reader = site.open(&shared)?;
    ensure!(reader.read(0, 4096)? == [5; 4096]);
    ensure!(reader.all(&[Request::write(0, &[6; 4096])]).is_err());
    drop(reader);
    // A ticket is no right: with the share it ends, too.
    with(&site, &olga, &["share", "rm", "volume:web"]).run()?;
    ensure!(site.open(&shared).is_err());
    let (name, secret) = mine.split_once('~').context("a ticket has a mark")?;
    ensure!(name == "olga/web" && site.open(&format!("{name}~{secret}0")).is_err());
    drop(client);
    site.detached("olga/web")
}

#[test]
fn what_is_open_by_a_ticket_ends_with_the_right_and_keeps_the_owner_from_nothing() -> Result<()> {
    let site = site()?;
    let (olga, bob) = (token(&site, "olga")?, token(&site, "bob")?);
    let as_olga = |arguments: &[&str]| with(&site, &olga, arguments).run();
    as_olga(&["volume", "create", "web", "--size", "1M"])?;
    as_olga(&["snapshot", "create", "web@one"])?;
    site.write("olga/web", 0, &[5; 4096])?;
    let attach = || -> Result<String> {
        Ok(with(&site, &bob, &["attach", "volume:olga/web"]).run()?.text().trim().to_owned())
    };
    // A reader has the volume as it is now, whatever its owner does with it.
    as_olga(&["share", "volume:web", "bob:read"])?;
    let ticket = attach()?;
    let mut reader = site.open(&ticket)?;
    as_olga(&["snapshot", "rollback", "web@one"])?;
    as_olga(&["volume", "resize", "web", "512K", "--shrink"])?;
    ensure!(reader.read(0, 4096)? == [5; 4096]);
    ensure!(site.open(&ticket)?.read(0, 4096)? == [0; 4096]);
    // A writer keeps it until the right is taken away.
    as_olga(&["share", "volume:web", "bob:read,write"])?;
    let mut writer = site.open(&ticket)?;
    writer.all(&[Request::write(0, &[6; 4096])])?;
    let resize = ["volume", "resize", "web", "256K", "--shrink"];
    ensure!(with(&site, &olga, &resize).fails()?.contains("attached"));
    as_olga(&["share", "rm", "volume:web"])?;
    as_olga(&resize)?;
    ensure!(writer.all(&[Request::write(0, &[7; 4096])]).is_err());
    ensure!(site.read("olga/web", 0, 4096)? == [6; 4096]);
    // The ticket is not for what has the name later.
    as_olga(&["share", "volume:web", "bob:read"])?;
    ensure!(site.open(&ticket).is_ok());
    as_olga(&["volume", "rename", "web", "old"])?;
    as_olga(&["volume", "create", "web", "--size", "1M"])?;
    as_olga(&["share", "volume:web", "bob:read"])?;
    ensure!(site.open(&ticket).is_err());
    ensure!(site.open(&attach()?).is_ok());
    Ok(())
}
