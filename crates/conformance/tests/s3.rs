//! Objects by the clients of S3, each a round trip that ends in a comparison.

use std::fs;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::program::{Program, program};
use archipelago_conformance::site::{AccessKey, Site, content};

fn new_user(site: &Site, name: &str) -> Result<AccessKey> {
    site.cli.command(&["user", "create", name]).input("correct horse").run()?;
    site.access_key(name)
}

fn rclone(site: &Site, key: &AccessKey) -> Result<Program> {
    Ok(program("rclone")?
        .env("RCLONE_CONFIG", site.text("no-such-file"))
        // A proxy of this machine may want it, and this version cannot do it.
        .env("AWS_CA_BUNDLE", "")
        .env("RCLONE_CONFIG_HERE_TYPE", "s3")
        .env("RCLONE_CONFIG_HERE_PROVIDER", "Other")
        .env("RCLONE_CONFIG_HERE_ENDPOINT", site.daemon.http())
        .env("RCLONE_CONFIG_HERE_ACCESS_KEY_ID", &key.id)
        .env("RCLONE_CONFIG_HERE_SECRET_ACCESS_KEY", &key.secret))
}

#[test]
fn a_file_that_was_uploaded_is_a_disk_at_once() -> Result<()> {
    let site = Site::new()?;
    let key = site.access_key("admin")?;
    let (from, to) = (site.text("disk.img"), site.text("back.img"));
    // Above the size at which the program sends parts.
    let bytes = content(20 << 20);
    fs::write(&from, &bytes)?;
    site.aws(&key)?.args(["s3", "mb", "s3://images"]).run()?;
    site.aws(&key)?.args(["s3", "cp", &from, "s3://images/a b/disk.img"]).run()?;
    site.cli.run(&["volume", "create", "web", "--from", "file:images/a b/disk.img"])?;
    program("nbdcopy")?.args([&site.daemon.socket_uri("web"), &to]).run()?;
    ensure!(fs::read(&to)? == bytes, "the volume reads otherwise");
    // And the other way: what the command line put is an object.
    site.cli.run(&["file", "put", &from, "images/put"])?;
    site.aws(&key)?.args(["s3", "cp", "s3://images/put", &to]).run()?;
    ensure!(fs::read(&to)? == bytes, "the object reads otherwise");
    // What no request of S3 could reach is not listed.
    site.cli.run(&["container", "create", "q", "public"])?;
    let buckets = site.aws(&key)?.args(["s3", "ls"]).run()?.text();
    ensure!(buckets.trim_end().ends_with(" images"), "{buckets}");
    ensure!(buckets.lines().count() == 1, "{buckets}");
    Ok(())
}

#[test]
fn the_program_of_aws_lists_copies_signs_and_removes() -> Result<()> {
    let site = Site::new()?;
    let key = new_user(&site, "bob")?;
    let run = |arguments: &[&str]| -> Result<String> {
        Ok(site.aws(&key)?.args(arguments).run()?.text())
    };
    fs::write(site.path("small"), "text")?;
    run(&["s3", "mb", "s3://box"])?;
    run(&["s3", "cp", &site.text("small"), "s3://box/dir/small"])?;
    run(&["s3", "cp", "s3://box/dir/small", "s3://box/copy"])?;
    let listed = run(&["s3", "ls", "s3://box/", "--recursive"])?;
    ensure!(listed.lines().count() == 2 && listed.contains("dir/small"), "{listed}");
    let url = run(&["s3", "presign", "s3://box/copy"])?;
    let got = program("curl")?.args(["-sf", url.trim()]).run()?;
    ensure!(got.text() == "text", "{}", got.text());
    let bare = url.split('?').next().context("no address")?;
    program("curl")?.args(["-sf", bare]).fails()?;
    run(&["s3", "rb", "s3://box", "--force"])?;
    ensure!(run(&["s3", "ls"])?.is_empty());
    Ok(())
}

#[test]
fn what_the_program_of_aws_encrypts_with_its_own_key_opens_with_that_only() -> Result<()> {
    let site = Site::new()?;
    let key = site.access_key("admin")?;
    let (from, to) = (site.text("from"), site.text("to"));
    // Above the size at which the program sends parts.
    let bytes = content(20 << 20);
    fs::write(&from, &bytes)?;
    fs::write(site.path("key"), [7; 32])?;
    fs::write(site.path("other"), [8; 32])?;
    let with =
        |name: &str| ["--sse-c".to_owned(), format!("--sse-c-key=fileb://{}", site.text(name))];
    let run = |words: &[&str], more: &[String]| -> Result<Program> {
        Ok(site.aws(&key)?.args(["s3"]).args(words).args(more))
    };
    run(&["mb", "s3://box"], &[])?.run()?;
    run(&["cp", &from, "s3://box/disk"], &with("key"))?.run()?;
    run(&["cp", "s3://box/disk", &to], &with("key"))?.run()?;
    ensure!(fs::read(&to)? == bytes, "the object reads otherwise");
    run(&["cp", "s3://box/disk", &to], &with("other"))?.fails()?;
    run(&["cp", "s3://box/disk", &to], &[])?.fails()?;
    // Nothing that works on maps takes it for a disk, and other doors say what to do.
    site.cli.command(&["volume", "create", "web", "--from", "file:box/disk"]).fails()?;
    site.cli.command(&["file", "get", "box/disk", &site.text("out")]).fails()?;
    // What the store encrypts is there for every door.
    run(&["cp", &from, "s3://box/kept", "--sse", "AES256"], &[])?.run()?;
    site.cli.run(&["file", "get", "box/kept", &site.text("kept")])?;
    ensure!(fs::read(site.path("kept"))? == bytes, "the file reads otherwise");
    site.cli.command(&["volume", "create", "web", "--from", "file:box/kept"]).fails()?;
    Ok(())
}

#[test]
fn old_versions_are_there_until_they_are_removed_by_id() -> Result<()> {
    let site = Site::new()?;
    let key = new_user(&site, "bob")?;
    let api = |arguments: &[&str]| -> Result<String> {
        let output = ["--output", "text"];
        Ok(site.aws(&key)?.args(["s3api"]).args(arguments).args(output).run()?.text())
    };
    let bucket = ["--bucket", "box"];
    let with = |words: &[&str]| -> Result<String> { api(&[words, &bucket].concat()) };
    with(&["create-bucket"])?;
    with(&["put-bucket-versioning", "--versioning-configuration", "Status=Enabled"])?;
    for text in ["one", "two"] {
        fs::write(site.path("f"), text)?;
        with(&["put-object", "--key", "f", "--body", &site.text("f")])?;
    }
    with(&["delete-object", "--key", "f"])?;
    let ids = with(&["list-object-versions", "--query", "Versions[].VersionId"])?;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    ensure!(ids.len() == 2, "{ids:?}");
    let back = site.text("back");
    with(&["get-object", "--key", "f", "--version-id", ids[1], &back])?;
    ensure!(fs::read_to_string(&back)? == "one");
    Ok(())
}

#[test]
fn rclone_makes_two_trees_equal_both_ways() -> Result<()> {
    let site = Site::new()?;
    let key = new_user(&site, "bob")?;
    let (from, to) = (site.path("from"), site.path("to"));
    fs::create_dir_all(from.join("a/b"))?;
    fs::write(from.join("a/b/\u{fc}mlaut +%.txt"), "x")?;
    fs::write(from.join("empty"), "")?;
    fs::write(from.join("big"), content(9 << 20))?;
    let (from, to) = (from.display().to_string(), to.display().to_string());
    rclone(&site, &key)?.args(["sync", &from, "here:tree"]).run()?;
    rclone(&site, &key)?.args(["check", &from, "here:tree"]).run()?;
    fs::remove_file(site.path("from").join("empty"))?;
    rclone(&site, &key)?.args(["sync", &from, "here:tree"]).run()?;
    rclone(&site, &key)?.args(["sync", "here:tree", &to]).run()?;
    program("diff")?.args(["-r", &from, &to]).run()?;
    Ok(())
}

#[test]
fn s3cmd_puts_gets_and_removes() -> Result<()> {
    let site = Site::new()?;
    let key = new_user(&site, "bob")?;
    let host = site.daemon.http().trim_start_matches("http://").to_owned();
    let config = format!(
        "[default]\nbucket_location = us-east-1\naccess_key = {}\nsecret_key = {}\nhost_base = {host}\nhost_bucket = {host}\n\
         use_https = False\n",
        key.id, key.secret
    );
    fs::write(site.path("s3cfg"), config)?;
    let run = |arguments: &[&str]| -> Result<String> {
        let config = ["-c", &site.text("s3cfg")];
        Ok(program("s3cmd")?.args(config).args(arguments).run()?.text())
    };
    let bytes = content(17 << 20);
    fs::write(site.path("f"), &bytes)?;
    run(&["mb", "s3://box"])?;
    run(&["put", &site.text("f"), "s3://box/f"])?;
    run(&["get", "s3://box/f", &site.text("back")])?;
    ensure!(fs::read(site.path("back"))? == bytes);
    run(&["del", "s3://box/f"])?;
    run(&["rb", "s3://box"])?;
    Ok(())
}

#[test]
fn somebody_else_sees_nothing_until_let_in() -> Result<()> {
    let site = Site::new()?;
    let (bob, eve) = (new_user(&site, "bob")?, new_user(&site, "eve")?);
    fs::write(site.path("f"), "secret")?;
    site.aws(&bob)?.args(["s3", "mb", "s3://box"]).run()?;
    site.aws(&bob)?.args(["s3", "cp", &site.text("f"), "s3://box/f"]).run()?;
    for arguments in
        [["s3", "ls", "s3://box"], ["s3", "rb", "s3://box"], ["s3", "rm", "s3://box/f"]]
    {
        site.aws(&eve)?.args(arguments).fails()?;
    }
    let get = ["s3", "cp", "s3://box/f", "-"];
    let refused = site.aws(&eve)?.args(get).fails()?;
    ensure!(refused.contains("403"), "{refused}");
    let wrong = AccessKey { id: bob.id.clone(), secret: eve.secret.clone() };
    site.aws(&wrong)?.args(get).fails()?;
    let policy = "{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"eve\"},\
                  \"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::box/*\"}]}";
    let put = ["s3api", "put-bucket-policy", "--bucket", "box", "--policy", policy];
    site.aws(&bob)?.args(put).run()?;
    ensure!(site.aws(&eve)?.args(get).run()?.text() == "secret");
    site.aws(&eve)?.args(["s3", "rm", "s3://box/f"]).fails()?;
    Ok(())
}

#[test]
fn what_is_appended_at_the_end_is_there_and_elsewhere_is_refused() -> Result<()> {
    let site = Site::new()?;
    let key = site.access_key("admin")?;
    let (first, second) = (site.text("first"), site.text("second"));
    let bytes = content(200_001);
    fs::write(&first, &bytes[..150_000])?;
    fs::write(&second, &bytes[150_000..])?;
    let append = |file: &str, offset: &str| -> Result<Program> {
        let put = ["s3api", "put-object", "--bucket", "logs", "--key", "a", "--body", file];
        Ok(site.aws(&key)?.args(put).args(["--write-offset-bytes", offset]))
    };
    site.aws(&key)?.args(["s3", "mb", "s3://logs"]).run()?;
    append(&first, "0")?.run()?;
    append(&second, "150000")?.run()?;
    let refused = append(&second, "150000")?.output()?;
    ensure!(!refused.status.success() && refused.stderr.contains("InvalidWriteOffset"));
    let to = site.text("back");
    site.aws(&key)?.args(["s3", "cp", "s3://logs/a", &to]).run()?;
    ensure!(fs::read(&to)? == bytes, "the object reads otherwise");
    Ok(())
}

#[test]
fn a_bucket_that_holds_what_it_may_takes_no_more() -> Result<()> {
    let site = Site::new()?;
    let key = new_user(&site, "bob")?;
    let (small, large) = (site.text("small"), site.text("large"));
    fs::write(&small, content(600))?;
    // Above the size at which the program sends parts.
    fs::write(&large, content(9 << 20))?;
    site.aws(&key)?.args(["s3", "mb", "s3://box"]).run()?;
    site.cli.run(&["container", "quota", "box", "1000", "--account", "bob"])?;
    site.aws(&key)?.args(["s3", "cp", &small, "s3://box/one"]).run()?;
    for from in [&small, &large, "s3://box/one"] {
        let refused = site.aws(&key)?.args(["s3", "cp", from, "s3://box/two"]).fails()?;
        ensure!(refused.contains("QuotaExceeded"), "{from}: {refused}");
    }
    site.aws(&key)?.args(["s3", "cp", &small, "s3://box/one"]).run()?;
    let shown = site.cli.json(&["container", "show", "box", "--account", "bob"])?;
    ensure!(shown["used_bytes"] == 600, "{shown}");
    Ok(())
}

#[test]
fn rules_of_a_lifecycle_come_back_and_say_when_an_object_ends() -> Result<()> {
    let site = Site::new()?;
    let key = new_user(&site, "bob")?;
    let api = |arguments: &[&str]| -> Result<Program> {
        let bucket = ["--bucket", "box", "--output", "text"];
        Ok(site.aws(&key)?.args(["s3api"]).args(arguments).args(bucket))
    };
    api(&["create-bucket"])?.run()?;
    let put = |rule: &str| -> Result<Program> {
        let rules = format!("{{\"Rules\":[{rule}]}}");
        api(&["put-bucket-lifecycle-configuration", "--lifecycle-configuration", &rules])
    };
    let rule = "{\"ID\":\"old logs\",\"Status\":\"Enabled\",\"Filter\":{\"Prefix\":\"logs/\"},\
                \"Expiration\":{\"Days\":3}}";
    put(rule)?.run()?;
    let ids = ["get-bucket-lifecycle-configuration", "--query", "Rules[].ID"];
    ensure!(api(&ids)?.run()?.text().trim() == "old logs");
    fs::write(site.path("f"), "text")?;
    let (file, expiration) = (site.text("f"), ["--query", "Expiration"]);
    let object = |verb: &str, name: &str, more: &[&str]| -> Result<String> {
        let words = [&[verb, "--key", name][..], more, &expiration].concat();
        Ok(api(&words)?.run()?.text())
    };
    let told = object("put-object", "logs/a", &["--body", &file])?;
    ensure!(told.contains("rule-id=\"old logs\"") && told.contains("00:00:00 GMT"), "{told}");
    ensure!(object("head-object", "logs/a", &[])? == told);
    ensure!(object("put-object", "b", &["--body", &file])?.trim() == "None");
    let moves = "{\"ID\":\"x\",\"Status\":\"Enabled\",\"Filter\":{\"Prefix\":\"\"},\
                 \"Transitions\":[{\"Days\":1,\"StorageClass\":\"GLACIER\"}]}";
    let refused = put(moves)?.fails()?;
    ensure!(refused.contains("InvalidStorageClass"), "{refused}");
    api(&["delete-bucket-lifecycle"])?.run()?;
    ensure!(api(&ids)?.fails()?.contains("NoSuchLifecycleConfiguration"));
    Ok(())
}
