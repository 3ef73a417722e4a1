//! fio's NBD engine writes and verifies checksums while snapshots and clones
//! are made of what it writes.

use std::fs::File;
use std::time::Duration;

use anyhow::Result;
use archipelago_conformance::env;
use archipelago_conformance::program::{Program, program};
use archipelago_conformance::site::Site;

fn fio(uri: &str, seed: u32, more: &[&str]) -> Result<Program> {
    let job = format!("--uri={uri}");
    let seed = format!("--randseed={seed}");
    let base = ["--name=v", "--ioengine=nbd", "--rw=randwrite", "--verify=crc32c"];
    Ok(program("fio")?.args(base).args(["--verify_fatal=1", &job, &seed]).args(more))
}

#[test]
fn fio_finds_every_checksum_at_depth_16() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    let size = ["--bs=4k", "--size=64M", "--io_size=32M", "--iodepth=16"];
    fio(&site.daemon.uri("web"), 7, &size)?.run()?;
    Ok(())
}

#[test]
fn fio_finds_every_checksum_with_sizes_from_512_bytes() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    let size = ["--bsrange=512-64k", "--size=64M", "--io_size=32M", "--iodepth=8"];
    fio(&site.daemon.socket_uri("web"), 8, &size)?.args(["--verify_backlog=256"]).run()?;
    Ok(())
}

/// The snapshots are not looked at here: the crash campaign judges them block by block. What
/// matters is that the writer never sees a wrong byte, before, in and after each cut.
#[test]
fn fio_finds_every_checksum_while_snapshots_and_clones_are_made() -> Result<()> {
    let site = Site::with_volume("web", "128M")?;
    let log = File::create(site.path("log"))?;
    let size = ["--bs=4k", "--size=128M", "--io_size=96M", "--iodepth=16", "--fsync=64"];
    let mut writer =
        fio(&site.daemon.uri("web"), 9, &size)?.args(["--verify_backlog=1024"]).background(&log)?;
    let mut made = 0;
    while writer.is_running() && made < 40 {
        let (snapshot, clone) = (format!("web@s{made}"), format!("c{made}"));
        site.cli.run(&["snapshot", "create", &snapshot])?;
        let source = format!("snapshot:{snapshot}");
        site.cli.run(&["volume", "create", &clone, "--from", &source])?;
        if made % 3 == 0 {
            let live = format!("live{made}");
            site.cli.run(&["volume", "create", &live, "--from", "volume:web"])?;
        }
        made += 1;
        env().clock().sleep(Duration::from_millis(50));
    }
    let status = writer.wait(Duration::from_secs(240))?;
    assert!(status.success(), "{status}: {}", std::fs::read_to_string(site.path("log"))?);
    assert!(made > 0, "fio ended before the first snapshot");
    // A snapshot and the clone made of it are one disk, whatever was written since.
    let (one, two) = (site.daemon.uri("web@s0"), site.daemon.uri("c0"));
    archipelago_conformance::site::same(("raw", &one), ("raw", &two))
}

#[test]
fn fio_on_a_clone_and_on_its_source_at_once_do_not_meet() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    site.cli.run(&["volume", "create", "web2", "--from", "volume:web"])?;
    let size = ["--bs=4k", "--size=64M", "--io_size=24M", "--iodepth=16"];
    let log = File::create(site.path("log"))?;
    let mut other = fio(&site.daemon.uri("web2"), 11, &size)?.background(&log)?;
    fio(&site.daemon.uri("web"), 10, &size)?.run()?;
    assert!(other.wait(Duration::from_secs(120))?.success());
    Ok(())
}
