//! Block status.

use std::sync::Arc;

use crate::client::{
    BLOCK_STATUS, BLOCK_STATUS_EXT, Client, EINVAL, PAYLOAD_LEN, REQ_ONE, Style, cmd, info_data,
    meta_data, opt, rep, serve,
};
use crate::memory::{Memory, MemoryExports};

const KIB: u64 = 1 << 10;
const HOLE: u64 = 3;

fn exports() -> Arc<MemoryExports> {
    Arc::new(MemoryExports::default().with("v", Memory::new(1 << 20).with_snapshot("s")))
}

fn open(server: &archipelago_block::NbdServer, style: Style, contexts: &[&str]) -> Client {
    let mut client = Client::connect(server);
    client.negotiate(style);
    let replies = client.option(opt::SET_META_CONTEXT, &meta_data("v", contexts));
    assert_eq!(replies.len(), contexts.len() + 1);
    assert_eq!(client.verdict(opt::GO, &info_data("v", &[])), rep::ACK);
    client
}

/// Context and ranges of the next chunk.
fn ranges(client: &mut Client) -> (u32, Vec<(u64, u64)>) {
    let chunk = client.chunk();
    let u32_at = |at: usize| u32::from_be_bytes(chunk.payload[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_be_bytes(chunk.payload[at..at + 8].try_into().unwrap());
    let ranges = if client.style == Style::Extended {
        assert_eq!(chunk.kind, BLOCK_STATUS_EXT, "{chunk:?}");
        assert_eq!(chunk.payload.len(), 8 + 16 * u32_at(4) as usize);
        (8..chunk.payload.len()).step_by(16).map(|at| (u64_at(at), u64_at(at + 8))).collect()
    } else {
        assert_eq!(chunk.kind, BLOCK_STATUS, "{chunk:?}");
        (4..chunk.payload.len())
            .step_by(8)
            .map(|at| (u64::from(u32_at(at)), u64::from(u32_at(at + 4))))
            .collect()
    };
    (u32_at(0), ranges)
}

#[test]
fn allocation_tells_holes_with_equal_neighbours_joined() {
    let server = serve(&exports());
    for style in [Style::Structured, Style::Extended] {
        let mut client = open(&server, style, &["base:allocation"]);
        assert_eq!(client.do_write(0, 128 * KIB, &vec![1; 128 << 10]), 0);
        client.request(cmd::BLOCK_STATUS, 0, 1, 0, 512 * KIB);
        let wanted = vec![(128 * KIB, HOLE), (128 * KIB, 0), (256 * KIB, HOLE)];
        assert_eq!(ranges(&mut client), (1, wanted));
        client.request(cmd::BLOCK_STATUS, REQ_ONE, 2, 100 * KIB, 512 * KIB);
        assert_eq!(ranges(&mut client), (1, vec![(28 * KIB, HOLE)]));
        // Not in sectors: still exactly the range asked for.
        client.request(cmd::BLOCK_STATUS, 0, 3, 131_071, 3);
        assert_eq!(ranges(&mut client), (1, vec![(1, HOLE), (2, 0)]));
    }
}

#[test]
fn changed_since_tells_what_was_written_after_the_snapshot() {
    let server = serve(&exports());
    let contexts = ["base:allocation", "archipelago:changed-since:s"];
    let mut client = open(&server, Style::Structured, &contexts);
    assert_eq!(client.do_write(0, 64 * KIB, &[1; 512]), 0);
    client.request(cmd::BLOCK_STATUS, 0, 1, 0, 1 << 20);
    let (first, second) = (ranges(&mut client), ranges(&mut client));
    assert_eq!(first.0, 1);
    assert_eq!(second, (2, vec![(64 * KIB, 0), (64 * KIB, 1), (896 * KIB, 0)]));
}

#[test]
fn a_payload_limits_the_answer_to_the_contexts_it_names() {
    let server = serve(&exports());
    let contexts = ["base:allocation", "archipelago:changed-since:s"];
    let mut client = open(&server, Style::Extended, &contexts);
    let ask = |client: &mut Client, ids: &[u32]| {
        let mut payload = (64 * KIB).to_be_bytes().to_vec();
        ids.iter().for_each(|id| payload.extend_from_slice(&id.to_be_bytes()));
        let len = payload.len() as u64;
        let mut bytes = client.header(cmd::BLOCK_STATUS, PAYLOAD_LEN, 9, 0, len);
        bytes.extend_from_slice(&payload);
        client.send(&bytes);
    };
    ask(&mut client, &[2]);
    assert_eq!(ranges(&mut client), (2, vec![(64 * KIB, 0)]));
    for wrong in [&[1, 1][..], &[3], &[], &[7; 200]] {
        ask(&mut client, wrong);
        assert_eq!(client.chunk().errno(), EINVAL, "{wrong:?}");
    }
}

#[test]
fn status_without_a_context_or_beyond_the_end_is_refused() {
    let server = serve(&exports());
    let mut without = Client::open(&server, "v", Style::Structured);
    assert_eq!(without.run(cmd::BLOCK_STATUS, 0, 0, 512), EINVAL);
    let mut with = open(&server, Style::Structured, &["base:allocation"]);
    assert_eq!(with.run(cmd::BLOCK_STATUS, 0, 1 << 20, 512), EINVAL);
    assert_eq!(with.run(cmd::BLOCK_STATUS, 0, 0, 0), EINVAL);
}
