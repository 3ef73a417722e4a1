//! What requests do, in all three styles.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::client::{
    Chunk, Client, DF, EINVAL, ENOSPC, EPERM, FAST_ZERO, FUA, NO_HOLE, OFFSET_DATA, OFFSET_HOLE,
    Style, cmd, serve,
};
use crate::memory::{Memory, MemoryExports};

const MIB: u64 = 1 << 20;
const STYLES: [Style; 3] = [Style::Simple, Style::Structured, Style::Extended];

fn exports(size: u64) -> Arc<MemoryExports> {
    let exports = MemoryExports::default()
        .with("v", Memory::new(size))
        .with("ro", Memory::new(size).read_only());
    Arc::new(exports)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index / 7 + index) as u8).collect()
}

#[test]
fn what_was_written_is_read_in_every_style_and_size() {
    let exports = exports(128 * MIB);
    let server = serve(&exports);
    let all = pattern(MIB as usize).repeat(48);
    for style in STYLES {
        let mut client = Client::open(&server, "v", style);
        for len in [512, 4096, 256 << 10, (256 << 10) + 512, MIB as usize, 32 << 20, 48 << 20] {
            let data = &all[..len];
            assert_eq!(client.do_write(0, 4096, data), 0);
            assert!(client.do_read(4096, len).unwrap() == data, "{len} bytes, {style:?}");
        }
    }
}

#[test]
fn requests_that_are_not_in_sectors_change_just_what_they_name() {
    let exports = exports(MIB);
    let server = serve(&exports);
    for style in STYLES {
        let mut client = Client::open(&server, "v", style);
        let mut model = pattern(8192);
        assert_eq!(client.do_write(0, 0, &model), 0);
        for (offset, len) in [(1, 1), (511, 2), (700, 3000), (512, 700), (4000, 4096)] {
            let data = vec![0xa5; len];
            assert_eq!(client.do_write(0, offset as u64, &data), 0);
            model[offset..offset + len].copy_from_slice(&data);
        }
        for (offset, len) in [(3u64, 5u64), (1000, 1500)] {
            assert_eq!(client.run(cmd::WRITE_ZEROES, 0, offset, len), 0);
            model[offset as usize..][..len as usize].fill(0);
        }
        // A trim does what it can, and must touch nothing else.
        assert_eq!(client.run(cmd::TRIM, 0, 5001, 20), 0);
        assert_eq!(client.run(cmd::TRIM, 0, 5000, 1000), 0);
        model[5120..5632].fill(0);
        assert_eq!(client.do_read(0, 8192), Ok(model.clone()));
        assert_eq!(client.do_read(4001, 77), Ok(model[4001..4078].to_vec()));
    }
}

#[test]
fn a_batch_of_writes_reaches_the_export_as_one() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Simple);
    let mut bytes = Vec::new();
    for index in 0..32u64 {
        let data = vec![index as u8 + 1; 4096];
        bytes.extend(client.write_bytes(0, index, index * 8192, &data));
    }
    client.send(&bytes);
    let mut cookies: Vec<_> = (0..32).map(|_| client.result()).collect();
    cookies.sort_unstable();
    assert_eq!(cookies, (0..32).map(|index| (0, index)).collect::<Vec<_>>());
    let calls = exports.get("v").writes.load(SeqCst);
    assert!(calls <= 8, "32 writes that came together took {calls} calls");
    assert_eq!(exports.get("v").bytes(31 * 8192, 4096), vec![32; 4096]);
}

#[test]
fn one_sync_serves_all_flushes_and_fua_writes_that_came_together() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Structured);
    let mut bytes = Vec::new();
    for cookie in 0..8 {
        bytes.extend(client.header(cmd::FLUSH, 0, cookie, 0, 0));
        bytes.extend(client.write_bytes(FUA, 100 + cookie, cookie * 512, &[7; 512]));
    }
    client.send(&bytes);
    for _ in 0..16 {
        assert_eq!(client.result().0, 0);
    }
    let syncs = exports.get("v").flushes.load(SeqCst);
    assert!((1..=4).contains(&syncs), "{syncs} syncs");
}

#[test]
fn fua_waits_for_a_sync_with_every_command_that_changes() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Extended);
    assert_eq!(client.do_write(FUA, 0, &[1; 512]), 0);
    assert_eq!(client.do_write(FUA, 0, &vec![1; 512 << 10]), 0);
    assert_eq!(client.run(cmd::WRITE_ZEROES, FUA, 0, 512), 0);
    assert_eq!(client.run(cmd::TRIM, FUA, 0, 512), 0);
    assert_eq!(exports.get("v").flushes.load(SeqCst), 4);
    // It is allowed with those that do not, and means nothing there.
    client.request(cmd::READ, FUA, 1, 0, 512);
    assert_eq!(client.chunk().kind, OFFSET_DATA);
    assert_eq!(exports.get("v").flushes.load(SeqCst), 4);
}

#[test]
fn a_flush_that_takes_its_time_does_not_keep_others_waiting() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Simple);
    exports.get("v").gate.close();
    client.request(cmd::FLUSH, 0, 1, 0, 0);
    assert_eq!(client.do_write(0, 0, &[5; 512]), 0);
    assert_eq!(client.do_read(0, 512), Ok(vec![5; 512]));
    client.request(cmd::FLUSH, 0, 2, 0, 0);
    exports.get("v").gate.open();
    let mut flushed = [client.result(), client.result()];
    flushed.sort_unstable();
    assert_eq!(flushed, [(0, 1), (0, 2)]);
}

#[test]
fn ranges_beyond_the_end_are_refused_with_the_right_error() {
    let exports = exports(MIB);
    let server = serve(&exports);
    for style in STYLES {
        let mut client = Client::open(&server, "v", style);
        for offset in [MIB - 512, MIB, u64::MAX - 511, u64::MAX] {
            assert_eq!(client.do_write(0, offset, &[1; 1024]), ENOSPC);
            assert_eq!(client.run(cmd::WRITE_ZEROES, 0, offset, 1024), ENOSPC);
            assert_eq!(client.run(cmd::TRIM, 0, offset, 1024), EINVAL);
            assert_eq!(client.run(cmd::CACHE, 0, offset, 1024), EINVAL);
            assert_eq!(client.do_read(offset, 1024), Err(EINVAL));
        }
        assert_eq!(client.do_read(MIB - 512, 512), Ok(vec![0; 512]));
    }
}

#[test]
fn a_read_only_export_refuses_every_change() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "ro", Style::Structured);
    assert_eq!(client.do_write(0, 0, &[1; 512]), EPERM);
    assert_eq!(client.do_write(0, 0, &vec![1; 512 << 10]), EPERM);
    assert_eq!(client.run(cmd::TRIM, 0, 0, 512), EPERM);
    assert_eq!(client.run(cmd::WRITE_ZEROES, 0, 0, 512), EPERM);
    assert_eq!(client.run(cmd::FLUSH, 0, 0, 0), 0);
    assert_eq!(client.do_read(0, 512), Ok(vec![0; 512]));
}

#[test]
fn a_full_store_fails_writes_and_still_takes_zeros_of_the_same_batch() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Simple);
    exports.get("v").full.store(true, SeqCst);
    let mut bytes = client.write_bytes(0, 1, 0, &[1; 4096]);
    bytes.extend(client.header(cmd::WRITE_ZEROES, 0, 2, 8192, 4096));
    client.send(&bytes);
    let mut results = [client.result(), client.result()];
    results.sort_unstable();
    assert_eq!(results, [(0, 2), (ENOSPC, 1)]);
    exports.get("v").full.store(false, SeqCst);
    assert_eq!(client.do_write(0, 0, &[1; 4096]), 0);
}

#[test]
fn zeroing_makes_holes_unless_told_not_to_and_is_always_fast() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Structured);
    assert_eq!(client.do_write(0, 0, &vec![9; MIB as usize]), 0);
    assert_eq!(client.run(cmd::WRITE_ZEROES, NO_HOLE | FAST_ZERO, 0, MIB / 2), 0);
    assert_eq!(client.run(cmd::WRITE_ZEROES, FAST_ZERO, MIB / 2, MIB / 4), 0);
    let read = client.do_read(0, MIB as usize).unwrap();
    assert_eq!(read.iter().position(|byte| *byte != 0), Some(MIB as usize * 3 / 4));
    let hole = |offset| archipelago_block::Export::status(&**exports.get("v"), offset, 512, 1);
    assert!(!hole(0).unwrap()[0].hole);
    assert!(hole(MIB / 2).unwrap()[0].hole);
}

#[test]
fn holes_are_told_and_not_sent() {
    let exports = exports(MIB);
    let server = serve(&exports);
    for style in [Style::Structured, Style::Extended] {
        let mut client = Client::open(&server, "v", style);
        assert_eq!(client.run(cmd::WRITE_ZEROES, 0, 0, MIB), 0);
        assert_eq!(client.do_write(0, 256 << 10, &vec![3; 64 << 10]), 0);
        client.request(cmd::READ, 0, 5, 0, MIB);
        let chunks: Vec<Chunk> = (0..3).map(|_| client.chunk()).collect();
        let kinds: Vec<_> = chunks.iter().map(|chunk| (chunk.kind, chunk.done)).collect();
        assert_eq!(kinds, [(OFFSET_HOLE, false), (OFFSET_DATA, false), (OFFSET_HOLE, true)]);
        assert_eq!(chunks[1].payload.len(), 8 + (64 << 10));
        client.request(cmd::READ, DF, 6, 0, MIB);
        let whole = client.chunk();
        assert_eq!((whole.kind, whole.done), (OFFSET_DATA, true), "DF forbids pieces");
        assert_eq!(whole.payload.len() as u64, 8 + MIB);
        // A small read of zeros is not worth a look.
        client.request(cmd::READ, 0, 7, 0, 4096);
        assert_eq!(client.chunk().kind, OFFSET_DATA);
    }
}

#[test]
fn lengths_beyond_32_bits_need_extended_headers() {
    let size = 6 << 30;
    let exports = exports(size);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Extended);
    assert_eq!(client.do_write(0, size - 4096, &[6; 4096]), 0);
    assert_eq!(client.run(cmd::WRITE_ZEROES, 0, 0, size), 0);
    assert_eq!(client.run(cmd::TRIM, 0, 0, size), 0);
    assert_eq!(client.run(cmd::CACHE, 0, 0, size), 0);
    assert_eq!(client.do_read(size - 4096, 4096), Ok(vec![0; 4096]));
    assert_eq!(client.do_read(0, (64 << 20) + 512), Err(EINVAL));
}

#[test]
fn two_connections_see_each_other_at_once() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut one = Client::open(&server, "v", Style::Simple);
    let mut two = Client::open(&server, "v", Style::Extended);
    assert_eq!(one.do_write(0, 0, &[1; 512]), 0);
    assert_eq!(two.do_read(0, 512), Ok(vec![1; 512]));
    assert_eq!(two.run(cmd::FLUSH, 0, 0, 0), 0);
    assert_eq!(server.connections(), 2);
}

#[test]
fn requests_are_counted_by_command() {
    let exports = exports(MIB);
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Simple);
    assert_eq!(client.do_write(0, 0, &[1; 1024]), 0);
    assert_eq!(client.do_write(0, MIB, &[1; 1024]), ENOSPC);
    let counts = server.counts();
    let write = counts.commands.iter().find(|counts| counts.command == "write").unwrap();
    assert_eq!((write.requests, write.bytes, write.errors), (2, 1024, 1));
    assert_eq!(counts.accepted, 1);
}
