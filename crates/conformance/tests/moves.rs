//! Volumes that move between a directory, a bucket and RADOS while guests write, with `kill -9`
//! in between; and pools that come, are emptied and go.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::cli::Cli;
use archipelago_conformance::daemon::Options;
use archipelago_conformance::nbd::Request;
use archipelago_conformance::peers::ceph::{Ceph, Purpose};
use archipelago_conformance::program::program;
use archipelago_conformance::site::{Site, random, sparse_file};
use archipelago_conformance::stamp::Chance;
use archipelago_conformance::wait_for;
use serde_json::Value;

const KEY: &str = "MOVEKEYMOVEKEY000000";
const SECRET: &str = "movesecretmovesecretmovesecretmovesecret";
const DISK_BYTES: usize = 16 << 20;
const PIECE_BYTES: usize = 64 << 10;
/// Times that the daemon is killed amid a move, of each move.
const KILLS: u64 = 2;
/// How long a move of so little may take on a busy machine.
const MOVED_WITHIN: Duration = Duration::from_secs(120);

fn settings(folder: &Path) -> Result<impl Fn(&Path) -> Options + use<>> {
    let text = "[segments]\nhot = \"1M\"\ncold = \"1M\"\n[checkpoint]\ninterval_ms = 200\n\
                [collector]\ninterval_ms = 300\ngrace_ms = 50\n[mover]\ninterval_ms = 300\n";
    Options::configured(folder, text)
}

/// The places of a store besides its folder.
fn add_pools(cli: &Cli, folder: &Path, ceph: &Ceph) -> Result<()> {
    let endpoint = ceph.endpoint();
    program("aws")?
        .args(["--endpoint-url", &endpoint, "s3api", "create-bucket", "--bucket", "moves"])
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .run()?;
    let keys = folder.join("keys");
    fs::write(&keys, format!("aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"))?;
    ceph.make_pool("moves")?;
    let bucket = format!("s3://moves/vm?endpoint={endpoint}&credentials={}", keys.display());
    let rados = format!("rados://moves/vm?conf={}", ceph.config().display());
    let disk = format!("file://{}", folder.join("disk2").display());
    for (name, url) in [("far", bucket), ("ceph", rados), ("disk2", disk)] {
        cli.run(&["pool", "add", name, &url])?;
    }
    Ok(())
}

fn stored_in(cli: &Cli, pool: &str) -> Result<u64> {
    let shown = cli.json(&["pool", "show", pool])?;
    shown["segments"].as_u64().with_context(|| format!("{shown}"))
}

/// What a guest has written and flushed.
struct Guest {
    chance: Chance,
    disk: Vec<u8>,
}

impl Guest {
    fn write(&mut self, site: &Site, writes: u64) -> Result<()> {
        let mut client = site.open("web")?;
        for _ in 0..writes {
            let at = self.chance.below((DISK_BYTES / PIECE_BYTES) as u64) as usize * PIECE_BYTES;
            let bytes = random(&mut self.chance, PIECE_BYTES);
            client.all(&[Request::write(at as u64, &bytes)])?;
            self.disk[at..at + PIECE_BYTES].copy_from_slice(&bytes);
        }
        Ok(client.flush()?)
    }

    fn compare(&self, site: &Site) -> Result<()> {
        let read = site.read("web", 0, DISK_BYTES as u32)?;
        ensure!(read == self.disk, "the volume has other bytes than its guest wrote");
        Ok(())
    }
}

#[test]
fn a_volume_moves_from_place_to_place_under_its_guest_and_kills() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut ceph = Ceph::start(folder.path(), Purpose::Facts)?;
    ceph.start_gateway(KEY, SECRET)?;
    let mut site = Site::with(&settings(folder.path())?)?;
    let cli = site.daemon.cli()?;
    sparse_file(&site.path("disk.raw"), DISK_BYTES as u64, 1)?;
    cli.run(&["image", "import", &site.text("disk.raw"), "base"])?;
    cli.run(&["volume", "create", "web", "--from", "image:base"])?;
    add_pools(&cli, folder.path(), &ceph)?;
    let disk = site.read("web", 0, DISK_BYTES as u32)?;
    let mut guest = Guest { chance: Chance::new(5), disk };
    for pool in ["ceph", "far", "disk2", "default"] {
        let cli = site.daemon.cli()?;
        guest.write(&site, 100)?;
        cli.run(&["snapshot", "create", &format!("web@to-{pool}")])?;
        cli.run(&["volume", "move", "web", "--to", pool, "--detach"])?;
        for _ in 0..KILLS {
            guest.write(&site, 30)?;
            site.kill_and_restart()?;
            guest.compare(&site).with_context(|| format!("on the way to {pool}"))?;
        }
        let cli = site.daemon.cli()?;
        cli.run(&["volume", "move", "web", "--to", pool])?;
        guest.compare(&site).with_context(|| format!("in {pool}"))?;
        if pool != "default" {
            ensure!(stored_in(&cli, pool)? > 0, "nothing is in {pool}");
        }
        cli.run(&["check"])?;
    }
    // Nobody wants to be in them any more.
    let cli = site.daemon.cli()?;
    for pool in ["far", "ceph", "disk2"] {
        let empty = wait_for(MOVED_WITHIN, || {
            let _ = cli.run(&["gc", "--now"]);
            stored_in(&cli, pool).is_ok_and(|left| left == 0).then_some(())
        });
        ensure!(empty.is_some(), "pool {pool} is not empty: {}", cli.json(&["pool", "ls"])?);
        cli.run(&["pool", "rm", pool])?;
    }
    guest.compare(&site)?;
    site.kill_and_restart()?;
    guest.compare(&site)?;
    let pools = site.daemon.cli()?.json(&["pool", "ls"])?;
    ensure!(pools["pools"].as_array().is_some_and(|all| all.len() == 1), "{pools}");
    Ok(())
}

#[test]
fn fio_finds_every_checksum_while_its_volume_moves() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::with(&settings(folder.path())?)?;
    let cli = site.daemon.cli()?;
    cli.run(&["volume", "create", "web", "--size", "64M"])?;
    let disk = format!("file://{}", folder.path().join("disk2").display());
    cli.run(&["pool", "add", "disk2", &disk])?;
    let uri = format!("--uri={}", site.daemon.uri("web"));
    let mut fio = program("fio")?
        .args(["--name=v", "--ioengine=nbd", "--rw=randwrite", "--bs=4k", "--iodepth=16"])
        .args(["--size=64M", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=1024"])
        .args(["--time_based", "--runtime=24", "--randrepeat=0"])
        .args([&uri])
        .background(&File::create(folder.path().join("fio.log"))?)?;
    let (mut moves, mut moved) = (0, 0);
    while fio.is_running() {
        let pool = ["disk2", "default"][moves % 2];
        cli.run(&["volume", "move", "web", "--to", pool])?;
        moved += stored_in(&cli, "disk2")?;
        moves += 1;
    }
    let status = fio.wait(MOVED_WITHIN)?;
    ensure!(status.success(), "{}", fs::read_to_string(folder.path().join("fio.log"))?);
    println!("{moves} moves, {moved} segments");
    ensure!(moves > 2 && moved > 0, "{moves} moves, {moved} segments");
    cli.run(&["check"])?;
    Ok(())
}

#[test]
fn a_pool_that_is_unplugged_is_told_and_comes_back_without_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::with(&settings(folder.path())?)?;
    let cli = site.daemon.cli()?;
    let (disk, aside) = (folder.path().join("disk2"), folder.path().join("aside"));
    cli.run(&["pool", "add", "disk2", &format!("file://{}", disk.display())])?;
    for (name, byte) in [("web", 7), ("other", 9)] {
        cli.run(&["volume", "create", name, "--size", "4M"])?;
        site.write(name, 0, &[byte; 1 << 20])?;
    }
    cli.run(&["snapshot", "create", "web@s"])?;
    cli.run(&["gc", "--now"])?;
    cli.run(&["volume", "move", "web", "--to", "disk2"])?;
    site.daemon.kill();
    fs::rename(&disk, &aside)?;
    site.daemon = settings(folder.path())?(&site.data()).like(&site.daemon).start()?;
    let cli = site.daemon.cli()?;
    let state =
        |cli: &Cli| -> Result<Value> { Ok(cli.json(&["pool", "show", "disk2"])?["away"].clone()) };
    ensure!(state(&cli)?.is_string(), "nobody says that it is away");
    ensure!(site.read("other", 0, 1 << 20)? == [9; 1 << 20], "others do not go on");
    ensure!(site.read("web", 0, 4096).is_err(), "it reads what is not there");
    fs::rename(&aside, &disk)?;
    let back =
        wait_for(MOVED_WITHIN, || state(&cli).is_ok_and(|away| away.is_null()).then_some(()));
    ensure!(back.is_some(), "it does not come back");
    ensure!(site.read("web", 0, 1 << 20)? == [7; 1 << 20], "it is not what it was");
    Ok(())
}

#[test]
fn what_cannot_be_a_pool_is_refused_with_the_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::with(&settings(folder.path())?)?;
    let cli = site.daemon.cli()?;
    let url = |name: &str| format!("file://{}", folder.path().join(name).display());
    fs::create_dir(folder.path().join("full"))?;
    fs::write(folder.path().join("full/letter"), "dear")?;
    cli.run(&["pool", "add", "one", &url("one")])?;
    for (name, url, why) in [
        ("full", url("full"), "is not empty"),
        ("two", url("one"), "belongs to"),
        ("one", url("three"), "exists already"),
        ("s", "s3://key:secret@bucket/x".to_owned(), "a name or a password"),
        ("n", "nfs://host/x".to_owned(), "begins with neither"),
    ] {
        let said = cli.fails(&["pool", "add", name, &url])?;
        ensure!(said.contains(why) && !said.contains("secret"), "{name} {url}: {said}");
    }
    for (verb, why) in [("rm", "has the log"), ("drain", "has the log")] {
        let said = cli.fails(&["pool", verb, "default"])?;
        ensure!(said.contains(why), "{verb}: {said}");
    }
    cli.run(&["volume", "create", "web", "--size", "1M"])?;
    cli.run(&["volume", "move", "web", "--to", "one"])?;
    let said = cli.fails(&["pool", "rm", "one"])?;
    ensure!(said.contains("in use"), "{said}");
    cli.run(&["pool", "drain", "one"])?;
    let said = cli.fails(&["volume", "move", "web", "--to", "one"])?;
    ensure!(said.contains("is drained"), "{said}");
    cli.run(&["pool", "use", "one"])?;
    cli.run(&["volume", "move", "web", "--to", "none"])?;
    cli.run(&["pool", "rm", "one"])?;
    Ok(())
}

#[test]
fn fio_finds_every_checksum_while_one_of_two_pools_goes_and_comes_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::with(&settings(folder.path())?)?;
    let cli = site.daemon.cli()?;
    cli.run(&["volume", "create", "web", "--size", "64M"])?;
    let (disk, aside) = (folder.path().join("disk2"), folder.path().join("aside"));
    for name in ["disk2", "disk3"] {
        let url = format!("file://{}", folder.path().join(name).display());
        cli.run(&["pool", "add", name, &url])?;
    }
    cli.run(&["volume", "move", "web", "--to", "disk2"])?;
    cli.run(&["pool", "mirror", "disk2", "--to", "disk3"])?;
    let uri = format!("--uri={}", site.daemon.uri("web"));
    let mut fio = program("fio")?
        .args(["--name=v", "--ioengine=nbd", "--rw=randrw", "--bs=4k", "--iodepth=16"])
        .args(["--size=64M", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=1024"])
        .args(["--time_based", "--runtime=20", "--randrepeat=0"])
        .args([&uri])
        .background(&File::create(folder.path().join("fio.log"))?)?;
    let mut rounds = 0;
    while fio.is_running() {
        // What guests wrote leaves the log, and so does what they read.
        cli.run(&["gc", "--now"])?;
        cli.run(&["pool", "mirror", "disk2", "--to", "disk3"])?;
        fs::rename(&disk, &aside)?;
        let read = site.read("web", 0, 1 << 20).map(drop);
        fs::rename(&aside, &disk)?;
        read.context("while a pool was away")?;
        rounds += 1;
    }
    let status = fio.wait(MOVED_WITHIN)?;
    ensure!(status.success(), "{}", fs::read_to_string(folder.path().join("fio.log"))?);
    ensure!(rounds > 1, "{rounds} rounds");
    cli.run(&["check"])?;
    Ok(())
}

#[test]
fn a_store_goes_on_without_a_pool_that_is_mirrored_and_scrub_heals_what_rots() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::with(&settings(folder.path())?)?;
    let cli = site.daemon.cli()?;
    for name in ["disk2", "disk3"] {
        let url = format!("file://{}", folder.path().join(name).display());
        cli.run(&["pool", "add", name, &url])?;
    }
    cli.run(&["volume", "create", "web", "--size", "8M"])?;
    let bytes = random(&mut Chance::new(3), 4 << 20);
    site.write("web", 0, &bytes)?;
    cli.run(&["snapshot", "create", "web@s"])?;
    cli.run(&["gc", "--now"])?;
    cli.run(&["volume", "move", "web", "--to", "disk2"])?;
    cli.run(&["pool", "mirror", "disk2", "--to", "disk3"])?;
    let copies = cli.json(&["pool", "show", "disk3"])?["copies"].as_u64();
    ensure!(copies.is_some_and(|copies| copies > 0), "{copies:?} copies");
    // A bit of every segment of one pool.
    site.daemon.kill();
    let mut rotten = 0;
    for shard in fs::read_dir(folder.path().join("disk2/segments"))? {
        for file in fs::read_dir(shard?.path())? {
            let path = file?.path();
            let mut raw = fs::read(&path)?;
            let at = raw.len() / 2;
            raw[at] ^= 4;
            fs::write(&path, raw)?;
            rotten += 1;
        }
    }
    site.daemon = settings(folder.path())?(&site.data()).like(&site.daemon).start()?;
    let cli = site.daemon.cli()?;
    ensure!(site.read("web", 0, 4 << 20)? == bytes, "it is not read from the whole copies");
    let scrub = cli.json(&["scrub"])?;
    ensure!(scrub["healed"].as_u64() == Some(rotten), "{rotten} rotten: {scrub}");
    ensure!(scrub["damages"].as_array().is_some_and(Vec::is_empty), "{scrub}");
    // One dies for ever.
    site.daemon.kill();
    fs::remove_dir_all(folder.path().join("disk2"))?;
    site.daemon = settings(folder.path())?(&site.data()).like(&site.daemon).start()?;
    let cli = site.daemon.cli()?;
    ensure!(site.read("web", 0, 4 << 20)? == bytes, "it is not read without the pool");
    let said = cli.fails(&["pool", "rm", "disk2"])?;
    ensure!(said.contains("in use"), "{said}");
    cli.run(&["pool", "rm", "disk2", "--lost"])?;
    ensure!(site.read("web", 0, 4 << 20)? == bytes, "it is not what it was");
    cli.run(&["check"])?;
    Ok(())
}
