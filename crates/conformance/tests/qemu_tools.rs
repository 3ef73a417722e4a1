//! QEMU's tools against an export: they see the disk that a guest would see.

use anyhow::Result;
use archipelago_conformance::program::program;
use archipelago_conformance::site::{Site, same, sparse_file};

#[test]
fn qemu_img_info_tells_the_size_and_that_it_is_raw() -> Result<()> {
    let site = Site::with_volume("web", "10G")?;
    for uri in [site.daemon.uri("web"), site.daemon.socket_uri("web")] {
        let info = program("qemu-img")?.args(["info", "--output=json", &uri]).json()?;
        assert_eq!(info["virtual-size"], 10_u64 << 30);
        assert_eq!(info["format"], "raw");
    }
    Ok(())
}

#[test]
fn qemu_img_convert_copies_in_and_out_and_compare_agrees() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    let (raw, back, uri) = (site.text("raw"), site.text("back.qcow2"), site.daemon.uri("web"));
    sparse_file(raw.as_ref(), 64 << 20, 1)?;
    program("qemu-img")?
        .args(["convert", "-n", "-W", "-f", "raw", "-O", "raw", &raw, &uri])
        .run()?;
    same(("raw", &raw), ("raw", &uri))?;
    program("qemu-img")?.args(["convert", "-f", "raw", "-O", "qcow2", &uri, &back]).run()?;
    same(("raw", &raw), ("qcow2", &back))?;
    let damage = ["-f", "raw", "-c", "write -P 0x77 1M 512", &uri];
    program("qemu-io")?.args(damage).run()?;
    assert!(same(("raw", &raw), ("raw", &uri)).is_err(), "compare sees one changed sector");
    Ok(())
}

#[test]
fn qemu_img_map_shows_holes_where_nothing_was_written() -> Result<()> {
    let site = Site::with_volume("web", "1G")?;
    let uri = site.daemon.uri("web");
    let write = ["-f", "raw", "-c", "write -P 1 512M 64k", &uri];
    program("qemu-io")?.args(write).run()?;
    let map = program("qemu-img")?.args(["map", "-f", "raw", "--output=json", &uri]).json()?;
    let data: Vec<(u64, u64)> = map
        .as_array()
        .into_iter()
        .flatten()
        .filter(|range| range["data"] == true)
        .filter_map(|range| Some((range["start"].as_u64()?, range["length"].as_u64()?)))
        .collect();
    assert_eq!(data, [(512 << 20, 64 << 10)], "{map}");
    Ok(())
}

#[test]
fn qemu_img_bench_writes_and_flushes_many_requests_at_once() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    let uri = site.daemon.uri("web");
    let base = ["bench", "-f", "raw", "-c", "2000", "-d", "32", "-s", "4096", "-t", "none"];
    program("qemu-img")?.args(base).args(["-w", "--flush-interval=100", &uri]).run()?;
    program("qemu-img")?.args(base).args([&uri]).run()?;
    Ok(())
}

#[test]
fn qemu_io_reads_what_it_wrote_zeroed_and_discarded() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    let uri = site.daemon.socket_uri("web");
    let steps = [
        "write -P 0x5a 4096 65536",
        "read -P 0x5a 4096 65536",
        "write -z 8192 4096",
        "read -P 0 8192 4096",
        "read -P 0x5a 12288 4096",
        "write -z -u 12288 4096",
        "read -P 0 12288 4096",
        "discard 16384 4096",
        "read -P 0 16384 4096",
        "write -f -P 0x33 512 512",
        "read -P 0x33 512 512",
        "read -P 0 0 512",
        "writev -P 0x44 32M 512 4096 512",
        "read -P 0x44 32M 5120",
        "flush",
    ];
    let commands = steps.iter().flat_map(|step| ["-c", step]);
    let said = program("qemu-io")?.args(["-f", "raw"]).args(commands).args([&uri]).run()?.text();
    assert!(!said.contains("verification failed"), "{said}");
    Ok(())
}

#[test]
fn requests_up_to_32_mib_are_served_whole() -> Result<()> {
    let site = Site::with_volume("web", "128M")?;
    let steps = ["-c", "write -P 9 1M 32M", "-c", "read -P 9 1M 32M", "-c", "read -P 0 0 1M"];
    let said =
        program("qemu-io")?.args(["-f", "raw"]).args(steps).args([site.daemon.uri("web")]).run()?;
    assert!(!said.text().contains("verification failed"), "{}", said.text());
    Ok(())
}

#[test]
fn a_snapshot_and_an_image_are_read_only_to_qemu() -> Result<()> {
    let site = Site::with_volume("web", "16M")?;
    site.write("web", 0, &[1; 4096])?;
    site.cli.run(&["snapshot", "create", "web@one"])?;
    let uri = site.daemon.uri("web@one");
    program("qemu-io")?.args(["-r", "-f", "raw", "-c", "read -P 1 0 4096", &uri]).run()?;
    program("qemu-io")?.args(["-f", "raw", "-c", "write 0 4096", &uri]).fails()?;
    assert_eq!(site.read("web@one", 0, 4096)?, [1; 4096]);
    Ok(())
}

/// It asks on its standard input, so that the same process lives through the kill.
#[test]
fn a_qemu_client_that_reconnects_goes_on_after_kill_9() -> Result<()> {
    use std::time::Duration;
    let mut site = Site::with_volume("web", "16M")?;
    let (host, port) = site.daemon.nbd().rsplit_once(':').unwrap();
    let disk = format!(
        "driver=nbd,server.type=inet,server.host={host},server.port={port},export=web,\
         reconnect-delay=60"
    );
    let log = std::fs::File::create(site.path("log"))?;
    let mut client = program("qemu-io")?.args(["--image-opts", &disk]).background(&log)?;
    client.write("write -P 0x21 0 1M\nflush\n")?;
    let printed = |what: &str| {
        let path = site.path("log");
        archipelago_conformance::wait_for(Duration::from_secs(60), || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            text.contains(what).then_some(text)
        })
    };
    assert!(printed("wrote 1048576/1048576 bytes at offset 0").is_some());
    site.kill_and_restart()?;
    client.write("read -P 0x21 0 1M\nwrite -P 0x22 1M 1M\nflush\nread -P 0x22 1M 1M\nquit\n")?;
    let status = client.wait(Duration::from_secs(90))?;
    let said = std::fs::read_to_string(site.path("log"))?;
    assert!(status.success(), "{status}: {said}");
    assert!(!said.contains("failed") && !said.contains("error"), "{said}");
    assert_eq!(site.read("web", 1 << 20, 4096)?, [0x22; 4096]);
    Ok(())
}
