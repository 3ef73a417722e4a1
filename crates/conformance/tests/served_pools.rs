//! The daemon over pools that are no folder: a bucket of the RADOS gateway, and RADOS itself.
//!
//! That the pools do what the store asks of them is in `pools.rs`; here is the whole: guests,
//! images, snapshots and collections over them, `kill -9`, a lost catalog.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::crash::{ROUNDS_VARIABLE, campaign_in};
use archipelago_conformance::daemon::{Options, offline};
use archipelago_conformance::env;
use archipelago_conformance::nbd::{Client, Request};
use archipelago_conformance::peers::ceph::{Ceph, Purpose, Shape};
use archipelago_conformance::program::program;
use archipelago_conformance::site::{Site, random, sparse_file};
use archipelago_conformance::stamp::Chance;
use archipelago_conformance::wait_for;
use rustix::process::Signal;

const KEY: &str = "POOLKEYPOOLKEY000000";
const SECRET: &str = "poolsecretpoolsecretpoolsecretpoolsecret";
const POOL: &str = "pool";
/// Of each pool, in the suite.
const KILLS: u32 = 4;
/// A load that goes on beyond this has hung. The cluster needs some 10 s to miss an OSD.
const LOAD_MAX: Duration = Duration::from_secs(120);
const DISK_BYTES: u32 = 6 << 20;

fn with_place(folder: &Path, url: &str) -> Result<impl Fn(&Path) -> Options + use<>> {
    let text = format!(
        "[pool]\nurl = \"{url}\"\n[segments]\nhot = \"1M\"\ncold = \"1M\"\n\
         [checkpoint]\ninterval_ms = 200\n[collector]\ninterval_ms = 200\ngrace_ms = 50\n"
    );
    Options::configured(folder, &text)
}

/// What is in the store, by name.
fn contents(site: &Site) -> Result<Vec<[u8; 32]>> {
    let all = ["image:base", "v", "c", "v@s"];
    all.iter().map(|name| Ok(*blake3::hash(&site.read(name, 0, DISK_BYTES)?).as_bytes())).collect()
}

/// A life of a store in one place: to the byte after `kill -9`, and after its catalog is lost.
fn lives_in(url: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::with(&with_place(folder.path(), url)?)?;
    let cli = site.daemon.cli()?;
    sparse_file(&site.path("disk.raw"), u64::from(DISK_BYTES), 1)?;
    cli.run(&["image", "import", &site.text("disk.raw"), "base"])?;
    cli.run(&["volume", "create", "v", "--from", "image:base"])?;
    let mut guest = Client::connect(site.daemon.nbd(), "v")?;
    for n in 0..300 {
        let bytes = random(&mut Chance::new(n), 32 << 10);
        guest.all(&[Request::write(n * 7 % 180 * (32 << 10), &bytes)])?;
        if n % 10 == 0 {
            guest.flush()?;
        }
    }
    guest.flush()?;
    drop(guest);
    cli.run(&["snapshot", "create", "v@s"])?;
    cli.run(&["volume", "create", "c", "--from", "volume:v"])?;
    site.write("c", 4096, &[7; 4096])?;
    site.write("v", 0, &[8; 4096])?;
    ensure!(!site.data().join("pool").exists(), "there is a folder for segments");
    let before = contents(&site)?;

    // It knows its place without being told.
    site.kill_and_restart()?;
    ensure!(contents(&site)? == before, "something differs after the kill");
    let cli = site.daemon.cli()?;
    cli.run(&["gc", "--now"])?;
    cli.run(&["check"])?;
    ensure!(contents(&site)? == before, "something differs after a collection");

    site.daemon.kill();
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let _ = fs::remove_file(site.data().join(name));
    }
    offline(&["rebuild"], &site.data())?.run()?;
    offline(&["check"], &site.data())?.run().context("after the rebuild")?;
    site.daemon = Options::new(&site.data()).like(&site.daemon).start()?;
    ensure!(contents(&site)? == before, "something differs after the rebuild");

    site.daemon.kill();
    let elsewhere = url.replacen('?', "/elsewhere?", 1);
    let said = with_place(folder.path(), &elsewhere)?(&site.data()).refuses()?;
    ensure!(said.contains("a store keeps its pool"), "it says: {said}");
    Ok(())
}

/// Guests write and flush on while the server of a bucket stands still, and what they wrote
/// goes there once it moves again, without a restart.
fn bears_a_pause(ceph: &Ceph, url: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::with(&with_place(folder.path(), url)?)?;
    let cli = site.daemon.cli()?;
    cli.run(&["volume", "create", "v", "--size", "16M"])?;
    let mut guest = Client::connect(site.daemon.nbd(), "v")?;
    guest.all(&[Request::write(0, &[1; 4096])])?;
    let gateway = ceph.gateway().context("no gateway")?;
    gateway.signal(Signal::STOP)?;
    let written = (0..48u64).try_for_each(|n| -> Result<()> {
        guest.all(&[Request::write(n << 17, &random(&mut Chance::new(n), 1 << 17))])?;
        Ok(guest.flush()?)
    });
    gateway.signal(Signal::CONT)?;
    written.context("while the bucket stood still")?;
    drop(guest);
    cli.run(&["gc", "--now"])?;
    site.kill_and_restart()?;
    let whole = site.read("v", 0, 6 << 20)?;
    let expected = (0..48u64).flat_map(|n| random(&mut Chance::new(n), 1 << 17));
    ensure!(whole.into_iter().eq(expected), "something differs");
    Ok(())
}

fn survives_kills(place: &dyn Fn(u32) -> Option<String>) -> Result<()> {
    let mut bytes = [0; 8];
    env().random().fill(&mut bytes);
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().and_then(|text| text.parse().ok());
    campaign_in(place, rounds.unwrap_or(KILLS), u64::from_le_bytes(bytes), |line| {
        println!("{line}")
    })
}

#[test]
fn a_store_in_a_bucket_keeps_what_it_acknowledged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut ceph = Ceph::start(folder.path(), Purpose::Facts)?;
    ceph.start_gateway(KEY, SECRET)?;
    let endpoint = ceph.endpoint();
    program("aws")?
        .args(["--endpoint-url", &endpoint, "s3api", "create-bucket", "--bucket", POOL])
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .run()?;
    let keys = folder.path().join("keys");
    let text = format!("aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
    fs::write(&keys, text)?;
    let keys = keys.display();
    let url = |prefix: &str| format!("s3://{POOL}/{prefix}?endpoint={endpoint}&credentials={keys}");
    let absent = url("x").replace("s3://pool/", "s3://absent/");
    let fresh = tempfile::tempdir()?;
    let said = with_place(fresh.path(), &absent)?(&fresh.path().join("data")).refuses()?;
    ensure!(said.contains("make it"), "it says: {said}");
    // What could not be reached has made no store: the next try may name another place.
    lives_in(&url("one"))?;
    bears_a_pause(&ceph, &url("two"))?;
    survives_kills(&|round| Some(url(&format!("crash-{round}"))))
}

#[test]
fn a_store_in_rados_keeps_what_it_acknowledged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(folder.path(), Purpose::Facts)?;
    ceph.make_pool(POOL)?;
    let config = ceph.config().display();
    let url = |namespace: &str| format!("rados://{POOL}/{namespace}?conf={config}");
    lives_in(&url("one"))?;
    survives_kills(&|round| Some(url(&format!("crash-{round}"))))
}

/// With keys (cephx), of a user who may do what the manual says and no more.
#[test]
fn one_of_three_osds_dies_under_load_and_no_request_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let shape = Shape { purpose: Purpose::Facts, osds: 3, keys: true };
    let mut ceph = Ceph::shaped(folder.path(), shape)?;
    ceph.make_pool(POOL)?;
    let config = ceph.make_user("archipelago", POOL)?;
    let url = format!("rados://{POOL}/one?conf={}&user=archipelago", config.display());
    let site = Site::with(&with_place(folder.path(), &url)?)?;
    let cli = site.daemon.cli()?;
    cli.run(&["volume", "create", "web", "--size", "32M"])?;
    let log = folder.path().join("fio.log");
    let uri = format!("--uri={}", site.daemon.uri("web"));
    let mut fio = program("fio")?
        .args(["--name=v", "--ioengine=nbd", "--rw=randwrite", "--bs=4k", "--iodepth=8"])
        .args(["--size=32M", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=256"])
        .args(["--fsync=64", "--time_based", "--runtime=20", "--randrepeat=0"])
        .args([&uri])
        .background(&File::create(&log)?)?;
    let underway = || {
        let pools = cli.json(&["pool", "ls"]).ok()?;
        pools["pools"][0]["segments"].as_u64().filter(|segments| *segments > 4)
    };
    ensure!(wait_for(LOAD_MAX, underway).is_some(), "{}", fs::read_to_string(&log)?);
    ceph.kill_an_osd()?;
    ensure!(fio.is_running(), "it came too late: {}", fs::read_to_string(&log)?);
    let status = fio.wait(LOAD_MAX)?;
    ensure!(status.success(), "{}", fs::read_to_string(&log)?);
    cli.run(&["snapshot", "create", "web@after"])?;
    cli.run(&["gc", "--now"])?;
    cli.run(&["check"])?;
    Ok(())
}
