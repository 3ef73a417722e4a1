//! What NBD clients send.

use std::sync::{Arc, LazyLock};

use archipelago_env::Env;

use self::memory::{Memory, MemoryExports};

#[allow(dead_code, missing_docs, reason = "the tests of the NBD server use the rest of it")]
#[path = "../../../block/tests/nbd/memory.rs"]
mod memory;

/// Options, one by one.
pub fn options(bytes: &[u8]) {
    archipelago_block::fuzz::fuzz_options(bytes);
}

/// Requests, one after the other, in every style.
pub fn requests(bytes: &[u8]) {
    archipelago_block::fuzz::fuzz_requests(bytes);
}

/// What is sent before the bytes of a session, so that they get beyond the
/// handshake: nothing, or all that opens the export `v` in one of the styles.
pub static OPENINGS: LazyLock<[Vec<u8>; 5]> = LazyLock::new(|| {
    let simple = [flags(), option(GO, &info("v"))].concat();
    let structured = [flags(), option(STRUCTURED, &[]), contexts(), option(GO, &info("v"))];
    let extended = [flags(), option(EXTENDED, &[]), contexts(), option(GO, &info("v"))];
    [Vec::new(), flags(), simple, structured.concat(), extended.concat()]
});

/// Numbers of options, as in the protocol's document.
const GO: u32 = 7;
const STRUCTURED: u32 = 8;
const CONTEXTS: u32 = 10;
const EXTENDED: u32 = 11;

fn flags() -> Vec<u8> {
    3u32.to_be_bytes().to_vec()
}

/// An option with its data, as a client sends it.
pub fn option(kind: u32, data: &[u8]) -> Vec<u8> {
    let len = data.len() as u32;
    [b"IHAVEOPT", &kind.to_be_bytes()[..], &len.to_be_bytes(), data].concat()
}

/// The data of INFO and GO for one export, with all that can be asked about it.
pub fn info(export: &str) -> Vec<u8> {
    let len = export.len() as u32;
    let wanted = [4u16, 0, 1, 2, 3].map(u16::to_be_bytes).concat();
    [&len.to_be_bytes()[..], export.as_bytes(), &wanted].concat()
}

fn contexts() -> Vec<u8> {
    let queries = ["base:allocation", "archipelago:changed-since:s"];
    let mut data = [&1u32.to_be_bytes()[..], b"v", &2u32.to_be_bytes()].concat();
    for query in queries {
        data.extend_from_slice(&(query.len() as u32).to_be_bytes());
        data.extend_from_slice(query.as_bytes());
    }
    option(CONTEXTS, &data)
}

/// A whole connection: the first byte says what is sent before the others, then the
/// client sends no more. Everything taken must be answered and the connection end.
pub fn session(bytes: &[u8]) {
    static ENV: LazyLock<Env> = LazyLock::new(Env::real);
    let Some((opening, rest)) = bytes.split_first() else { return };
    let opening = &OPENINGS[usize::from(*opening) % OPENINGS.len()];
    let exports = MemoryExports::default()
        // More than is answered from the connection's own buffers, and no whole block.
        .with("v", Memory::new((320 << 10) + 512).with_snapshot("s"))
        .with("r", Memory::new(4096).read_only());
    let sent = [opening, rest].concat();
    let answered = archipelago_block::fuzz::session(&ENV, Arc::new(exports), &sent)
        .expect("a pair of sockets and a thread are to be had");
    assert!(answered >= 18, "the greeting comes first: {answered} bytes");
}
