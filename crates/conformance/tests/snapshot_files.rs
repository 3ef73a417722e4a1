//! Snapshots are files: other people's programs list and read them, and change nothing.

use std::fs;

use anyhow::{Result, ensure};
use archipelago_conformance::program::{Program, program};
use archipelago_conformance::site::{Site, random};
use archipelago_conformance::stamp::Chance;

const PASSWORD: &str = "correct horse";

/// The program of AWS, as the administrator.
fn aws(site: &Site) -> Result<Program> {
    site.aws(&site.access_key("admin")?)
}

fn swift(site: &Site) -> Result<Program> {
    let url = format!("{}/auth/v1.0", site.daemon.http());
    Ok(program("swift")?.args(["-A", &url, "-U", "admin:admin", "-K", PASSWORD]))
}

/// A site with the snapshot `web@paper`, and what is in it.
fn site() -> Result<(Site, Vec<u8>)> {
    let site = Site::with_volume("web", "2M")?;
    let bytes = random(&mut Chance::new(3), 1 << 20);
    site.write("web", 0, &bytes)?;
    site.cli.run(&["snapshot", "create", "web@paper"])?;
    site.write("web", 0, &random(&mut Chance::new(4), 1 << 20))?;
    site.cli.command(&["user", "passwd", "admin"]).input(PASSWORD).run()?;
    let mut whole = bytes;
    whole.resize(2 << 20, 0);
    Ok((site, whole))
}

#[test]
fn the_program_of_aws_reads_a_snapshot_and_cannot_change_it() -> Result<()> {
    let (site, bytes) = site()?;
    let (to, other) = (site.text("to"), site.text("other"));
    fs::write(&other, "other")?;
    let url = "s3://snapshots/web@paper";
    let listed = aws(&site)?.args(["s3", "ls", "s3://snapshots/"]).run()?.text();
    ensure!(listed.contains("2097152 web@paper"), "{listed}");
    aws(&site)?.args(["s3", "cp", url, &to]).run()?;
    ensure!(fs::read(&to)? == bytes, "the object reads otherwise");
    let object = ["--bucket", "snapshots", "--key", "web@paper"];
    let get = ["s3api", "get-object", "--range", "bytes=700-1299"];
    aws(&site)?.args(get).args(object).args([&to]).run()?;
    ensure!(fs::read(&to)? == bytes[700..1300], "the range reads otherwise");
    aws(&site)?.args(["s3", "cp", &other, url]).fails()?;
    aws(&site)?.args(["s3", "rm", url]).fails()?;
    aws(&site)?.args(["s3", "cp", &other, "s3://snapshots/other"]).fails()?;
    aws(&site)?.args(["s3", "cp", url, "s3://snapshots/copy"]).fails()?;
    aws(&site)?.args(["s3", "mb", "s3://kept"]).run()?;
    aws(&site)?.args(["s3", "cp", url, "s3://kept/copy"]).run()?;
    site.cli.run(&["snapshot", "rm", "web@paper"])?;
    let listed = aws(&site)?.args(["s3", "ls", "s3://snapshots/"]).run()?.text();
    ensure!(listed.trim().is_empty(), "{listed}");
    site.cli.run(&["file", "get", "kept/copy", &to, "--force"])?;
    ensure!(fs::read(&to)? == bytes, "the copy reads otherwise");
    Ok(())
}

#[test]
fn the_swift_program_reads_a_snapshot_and_cannot_change_it() -> Result<()> {
    let (site, bytes) = site()?;
    let (to, other) = (site.text("to"), site.text("other"));
    fs::write(&other, "other")?;
    let listed = swift(&site)?.args(["list", "snapshots"]).run()?.text();
    ensure!(listed.trim() == "web@paper", "{listed}");
    swift(&site)?.args(["download", "snapshots", "web@paper", "-o", &to]).run()?;
    ensure!(fs::read(&to)? == bytes, "the object reads otherwise");
    let put = ["upload", "snapshots", &other, "--object-name", "web@paper"];
    swift(&site)?.args(put).fails()?;
    swift(&site)?.args(["upload", "snapshots", &other, "--object-name", "other"]).fails()?;
    swift(&site)?.args(["delete", "snapshots", "web@paper"]).fails()?;
    let said = site.cli.fails(&["file", "rm", "snapshots/web@paper"])?;
    ensure!(said.contains("snapshot rm web@paper"), "{said}");
    site.cli.run(&["file", "get", "snapshots/web@paper", &to, "--force"])?;
    ensure!(fs::read(&to)? == bytes, "the file reads otherwise");
    Ok(())
}
