//! libnbd's tools and its Python module against an export.

use anyhow::Result;
use archipelago_conformance::program::{program, python};
use archipelago_conformance::site::{Site, same, sparse_file};

#[test]
fn nbdinfo_lists_every_export_by_its_name() -> Result<()> {
    let site = Site::with_volume("web", "16M")?;
    site.cli.run(&["snapshot", "create", "web@before"])?;
    let list = format!("nbd://{}", site.daemon.nbd());
    let list = program("nbdinfo")?.args(["--list", "--json", &list]).json()?;
    let mut names: Vec<&str> = list["exports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|export| export["export-name"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["web", "web@before"]);
    Ok(())
}

#[test]
fn nbdinfo_finds_every_ability_that_the_server_promises() -> Result<()> {
    let site = Site::with_volume("web", "64T")?;
    let uri = site.daemon.uri("web");
    let size = program("nbdinfo")?.args(["--size", &uri]).run()?.text();
    assert_eq!(size.trim(), (64_u64 << 40).to_string());
    for can in
        ["flush", "fua", "trim", "zero", "multi-conn", "structured-reply", "cache", "fast-zero"]
    {
        program("nbdinfo")?.args(["--can", can, &uri]).run()?;
    }
    program("nbdinfo")?.args(["--is", "read-only", &uri]).fails()?;
    Ok(())
}

#[test]
fn nbdinfo_map_tells_data_from_holes() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    site.write("web", 1 << 20, &[1; 8192])?;
    let map = program("nbdinfo")?.args(["--map", "--json", &site.daemon.uri("web")]).json()?;
    let rows: Vec<_> = map
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| (row["offset"].as_u64(), row["length"].as_u64(), row["type"].as_u64()))
        .collect();
    let (mib, end) = (1 << 20, 64 << 20);
    let expected = [
        (Some(0), Some(mib), Some(3)),
        (Some(mib), Some(8192), Some(0)),
        (Some(mib + 8192), Some(end - mib - 8192), Some(3)),
    ];
    assert_eq!(rows, expected, "{map}");
    Ok(())
}

#[test]
fn nbdinfo_shows_what_changed_since_a_snapshot() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    site.write("web", 0, &[1; 1 << 20])?;
    site.cli.run(&["snapshot", "create", "web@before"])?;
    site.write("web", 2 << 20, &[2; 4096])?;
    let context = "--map=archipelago:changed-since:before";
    let map = program("nbdinfo")?.args([context, "--json", &site.daemon.uri("web")]).json()?;
    let changed: Vec<_> = map
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["type"] != 0)
        .map(|row| (row["offset"].as_u64(), row["length"].as_u64()))
        .collect();
    assert_eq!(changed, [(Some(2 << 20), Some(4096))], "{map}");
    Ok(())
}

#[test]
fn nbdcopy_copies_in_out_and_between_volumes() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    site.cli.run(&["volume", "create", "copy", "--size", "64M"])?;
    let (raw, back) = (site.text("raw"), site.text("back"));
    let (web, copy) = (site.daemon.uri("web"), site.daemon.socket_uri("copy"));
    sparse_file(raw.as_ref(), 64 << 20, 2)?;
    for (from, to) in [(&raw, &web), (&web, &copy), (&copy, &back)] {
        program("nbdcopy")?.args(["--flush", from, to]).run()?;
    }
    same(("raw", &raw), ("raw", &back))
}

#[test]
fn nbdcopy_of_an_empty_volume_moves_no_data() -> Result<()> {
    let site = Site::with_volume("big", "1T")?;
    site.cli.run(&["volume", "create", "copy", "--size", "1T"])?;
    let (big, copy) = (site.daemon.uri("big"), site.daemon.uri("copy"));
    program("nbdcopy")?.args(["--destination-is-zero", &big, &copy]).run()?;
    Ok(())
}

/// What the protocol promises, by a client that can be told to break its own rules.
const SESSION: &str = r"
import sys, nbd
h = nbd.NBD(); h.add_meta_context('base:allocation'); h.connect_uri(sys.argv[1])
size = h.get_size(); block = bytes(range(256)) * 16
for off in (0, 512, 4096, 1 << 20, size - 4096):
    h.pwrite(block, off); assert h.pread(4096, off) == block, off
h.flush()
h.zero(4096, 0); assert h.pread(4096, 0) == bytes(4096)
h.zero(4096, 4096, nbd.CMD_FLAG_NO_HOLE); assert h.pread(4096, 4096) == bytes(4096)
h.zero(4096, 1 << 20, nbd.CMD_FLAG_FAST_ZERO); assert h.pread(4096, 1 << 20) == bytes(4096)
h.trim(4096, size - 4096); h.cache(1 << 20, 0)
h.pwrite(block, 0, nbd.CMD_FLAG_FUA); assert h.pread(4096, 0) == block
seen = []
h.block_status(size, 0, lambda c, o, e, err: seen.extend(e))
assert seen[1] == 0 and seen[0] >= 4096, seen
h.set_strict_mode(0)
for what in (lambda: h.pread(512, size), lambda: h.pwrite(block, size - 512),
             lambda: h.zero(4096, size), lambda: h.trim(1 << 20, size - 4096)):
    try: what()
    except nbd.Error as error: assert error.errno in ('EINVAL', 'ENOSPC'), error.errno
    else: raise SystemExit('a request beyond the end went through')
assert h.pread(4096, 0) == block
h.shutdown()
";

#[test]
fn python_sees_every_command_keep_its_promise() -> Result<()> {
    let site = Site::with_volume("web", "64M")?;
    for uri in [site.daemon.uri("web"), site.daemon.socket_uri("web")] {
        python("nbd", SESSION, &[&uri])?.run()?;
    }
    Ok(())
}

/// A flush on one connection covers what any connection had acknowledged, and all see one disk.
const CONNECTIONS: &str = r"
import sys, nbd
hs = []
for i in range(4):
    h = nbd.NBD(); h.connect_uri(sys.argv[1]); hs.append(h)
assert hs[0].can_multi_conn()
for turn in range(50):
    for i, h in enumerate(hs):
        data = bytes([turn + 1, i + 1]) * 2048
        h.pwrite(data, 4096 * i)
        for other in hs: assert other.pread(4096, 4096 * i) == data
hs[2].flush()
";

#[test]
fn a_write_on_one_connection_is_seen_by_all_and_one_flush_covers_all() -> Result<()> {
    let mut site = Site::with_volume("web", "16M")?;
    python("nbd", CONNECTIONS, &[&site.daemon.uri("web")])?.run()?;
    site.kill_and_restart()?;
    for at in 0..4_u8 {
        let expected: Vec<u8> = [50, at + 1].repeat(2048);
        assert_eq!(site.read("web", u64::from(at) * 4096, 4096)?, expected);
    }
    Ok(())
}

/// Many commands in flight at once, each answered exactly once.
const IN_FLIGHT: &str = r"
import sys, nbd
h = nbd.NBD(); h.connect_uri(sys.argv[1])
answered = {}
def done(at):
    def called(error):
        answered[at] = answered.get(at, 0) + 1
        assert error.value == 0
        return 1
    return called
buffers = [nbd.Buffer.from_bytearray(bytearray(bytes([at % 251 + 1]) * 4096)) for at in range(1000)]
for at, buffer in enumerate(buffers):
    h.aio_pwrite(buffer, at * 4096, done(at))
while h.aio_in_flight(): h.poll(1000)
assert answered == {at: 1 for at in range(1000)}
for at in range(1000): assert h.pread(4096, at * 4096) == bytes([at % 251 + 1]) * 4096
h.shutdown()
";

#[test]
fn a_thousand_writes_in_flight_are_each_answered_once() -> Result<()> {
    let site = Site::with_volume("web", "16M")?;
    python("nbd", IN_FLIGHT, &[&site.daemon.uri("web")])?.run()?;
    Ok(())
}

#[test]
fn an_unknown_export_is_refused_and_the_server_lives_on() -> Result<()> {
    let site = Site::with_volume("web", "16M")?;
    for export in ["nobody", "web@nothing", "image:none", "%2e%2e/%2e%2e", "a%0ab", "x%00y"] {
        program("nbdinfo")?.args([site.daemon.uri(export)]).fails()?;
    }
    program("nbdinfo")?.args([site.daemon.uri("web")]).run()?;
    Ok(())
}
