//! Clients that do not keep to the protocol: each loses its own connection and nothing else.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use archipelago_block::Limits;
use archipelago_env::Env;
use proptest::prelude::*;

use crate::client::{
    Client, EINVAL, OPTION_MAGIC, Style, cmd, info_data, meta_data, opt, rep, serve, serve_with,
};
use crate::memory::{Memory, MemoryExports};

fn exports() -> Arc<MemoryExports> {
    Arc::new(MemoryExports::default().with("v", Memory::new(1 << 20)))
}

#[test]
fn a_wrong_magic_closes_that_connection_only() {
    let server = serve(&exports());
    let mut good = Client::open(&server, "v", Style::Simple);
    let mut bad = Client::open(&server, "v", Style::Simple);
    let mut bytes = bad.write_bytes(0, 1, 0, &[1; 512]);
    bytes.extend([0xff; 28]);
    bad.send(&bytes);
    assert_eq!(bad.result(), (0, 1), "what came before is still answered");
    assert!(bad.is_closed());
    assert_eq!(good.do_read(0, 512), Ok(vec![1; 512]));
    // Counted once the connection's thread is through; stopping waits for that.
    server.stop();
    assert_eq!(server.counts().malformed, 1);
}

#[test]
fn a_compact_request_on_an_extended_connection_closes_it() {
    let server = serve(&exports());
    let mut client = Client::open(&server, "v", Style::Extended);
    let compact = Client { style: Style::Simple, socket: client.socket.try_clone().unwrap() };
    client.send(&compact.header(cmd::READ, 0, 0, 0, 512));
    assert!(client.is_closed());
}

#[test]
fn unknown_flags_of_the_client_close_the_connection() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    client.socket = std::net::TcpStream::connect(client.socket.peer_addr().unwrap()).unwrap();
    client.bytes(18);
    client.send(&0x8000_0003u32.to_be_bytes());
    assert!(client.is_closed());
}

#[test]
fn options_may_be_long_but_not_endless() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    assert_eq!(client.verdict(opt::GO, &vec![0; 100 << 10]), rep::TOO_BIG);
    assert_eq!(client.verdict(opt::GO, &info_data(&"n".repeat(5000), &[])), rep::INVALID);
    assert_eq!(client.verdict(opt::GO, &info_data("n\0", &[])), rep::INVALID);
    let mut lying = (1000u32).to_be_bytes().to_vec();
    lying.extend_from_slice(b"v\0\0");
    assert_eq!(client.verdict(opt::GO, &lying), rep::INVALID);
    assert_eq!(client.verdict(opt::GO, &[]), rep::INVALID);
    let mut head = crate::client::OPTION_MAGIC.to_be_bytes().to_vec();
    head.extend_from_slice(&opt::LIST.to_be_bytes());
    head.extend_from_slice(&u32::MAX.to_be_bytes());
    client.send(&head);
    assert!(client.is_closed());
}

#[test]
fn meta_context_counts_that_lie_are_refused() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    client.negotiate(Style::Structured);
    let mut data = meta_data("v", &[]);
    let at = data.len() - 4;
    data[at..].copy_from_slice(&3u32.to_be_bytes());
    assert_eq!(client.verdict(opt::SET_META_CONTEXT, &data), rep::INVALID);
    data[at..].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(client.verdict(opt::SET_META_CONTEXT, &data), rep::TOO_BIG);
}

#[test]
fn a_write_that_is_too_long_is_dropped_and_answered() {
    let server = serve(&exports());
    let mut client = Client::open(&server, "v", Style::Simple);
    let data = vec![1; (64 << 20) + 512];
    assert_eq!(client.do_write(0, 0, &data), EINVAL);
    assert_eq!(client.do_read(0, 512), Ok(vec![0; 512]), "in step again");
}

#[test]
fn a_write_that_is_far_too_long_closes_the_connection() {
    let server = serve(&exports());
    let mut client = Client::open(&server, "v", Style::Simple);
    client.request(cmd::WRITE, 0, 3, 0, u64::from(u32::MAX));
    assert_eq!(client.result(), (EINVAL, 3));
    assert!(client.is_closed());
}

#[test]
fn requests_without_sense_are_refused_and_the_connection_goes_on() {
    let server = serve(&exports());
    for style in [Style::Simple, Style::Structured, Style::Extended] {
        let mut client = Client::open(&server, "v", style);
        assert_eq!(client.run(99, 0, 0, 512), EINVAL);
        assert_eq!(client.run(cmd::TRIM, 0, 0, 0), EINVAL);
        assert_eq!(client.run(cmd::FLUSH, 0, 512, 0), EINVAL);
        assert_eq!(client.run(cmd::FLUSH, 0, 0, 512), EINVAL);
        assert_eq!(client.run(cmd::TRIM, 1 << 12, 0, 512), EINVAL);
        assert_eq!(client.do_read(0, 0), Err(EINVAL));
        assert_eq!(client.do_write(0, 0, &[]), EINVAL);
        assert_eq!(client.do_read(0, 512), Ok(vec![0; 512]));
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_request_changes_nothing() {
    let exports = exports();
    let server = serve(&exports);
    for len in [4096, 512 << 10] {
        let mut client = Client::open(&server, "v", Style::Simple);
        let bytes = client.write_bytes(0, 1, 0, &vec![1; len]);
        client.send(&bytes[..bytes.len() - 1]);
        client.socket.shutdown(Shutdown::Write).unwrap();
        assert!(client.is_closed());
    }
    assert_eq!(exports.get("v").writes.load(SeqCst), 0);
}

#[test]
fn what_was_taken_is_done_when_the_client_has_gone() {
    let exports = exports();
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Simple);
    let mut bytes = client.write_bytes(0, 1, 0, &[4; 4096]);
    bytes.extend(client.header(cmd::FLUSH, 0, 2, 0, 0));
    bytes.extend(client.header(cmd::DISC, 0, 3, 0, 0));
    client.send(&bytes);
    assert_eq!([client.result().0, client.result().0], [0, 0]);
    assert!(client.is_closed());
    assert_eq!(exports.get("v").bytes(0, 4096), [4; 4096]);
}

#[test]
fn a_client_that_says_nothing_is_closed() {
    let limits = Limits { handshake: Duration::from_secs(1), ..Limits::default() };
    let server = serve_with(&exports(), None, limits);
    assert!(Client::connect(&server).is_closed());
    // Once the export is open it may be silent for as long as it likes; the limit is lifted.
    let mut client = Client::open(&server, "v", Style::Simple);
    client.socket.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    assert!(!client.is_closed());
}

#[test]
fn a_client_that_says_much_and_opens_nothing_is_closed() {
    let limits = Limits { handshake: Duration::from_millis(500), ..Limits::default() };
    let server = serve_with(&exports(), None, limits);
    let mut client = Client::connect(&server);
    // One that has opened something may go on.
    let mut known = Client::connect(&server);
    known.option(opt::INFO, &info_data("v", &[]));
    let clock = Env::real();
    // The data of an option that is too long comes byte by byte, each sooner than the limit.
    let head = [&OPTION_MAGIC.to_be_bytes()[..], &[0, 0, 0, 99], &100_000u32.to_be_bytes()];
    client.send(&head.concat());
    let mut closed = false;
    for _ in 0..300 {
        known.option(opt::INFO, &info_data("v", &[]));
        clock.clock().sleep(Duration::from_millis(10));
        closed = client.socket.write_all(&[0]).is_err();
        if closed {
            break;
        }
    }
    assert!(closed);
    assert_eq!(known.option(opt::INFO, &info_data("v", &[])).last().unwrap().0, rep::ACK);
}

#[test]
fn a_panic_of_the_store_costs_one_connection_and_leaves_no_request_waiting() {
    let exports = exports();
    let server = serve(&exports);
    // Inline, and by a helper.
    for len in [512, 1 << 20] {
        let mut client = Client::open(&server, "v", Style::Structured);
        assert_eq!(client.do_write(0, 0, &[1; 512]), 0);
        exports.get("v").broken.store(true, SeqCst);
        client.request(cmd::READ, crate::client::DF, 1, 0, len);
        assert!(client.is_closed());
        exports.get("v").broken.store(false, SeqCst);
    }
    let mut next = Client::open(&server, "v", Style::Simple);
    assert_eq!(next.do_read(0, 512), Ok(vec![1; 512]));
    server.stop();
    assert_eq!(server.connections(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_client_sends_the_server_serves_the_next(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 0usize..6,
    ) {
        let server = serve(&exports());
        let mut client = match cut {
            0 | 1 => Client::connect(&server),
            2 => Client::open(&server, "v", Style::Simple),
            3 => Client::open(&server, "v", Style::Structured),
            _ => Client::open(&server, "v", Style::Extended),
        };
        // Behind a magic, so that it gets beyond the first check.
        let magic: &[u8] = match cut {
            0 => &[],
            1 => &crate::client::OPTION_MAGIC.to_be_bytes(),
            4 => &[0x21, 0xe4, 0x1c, 0x71],
            _ => &[0x25, 0x60, 0x95, 0x13],
        };
        let _ = std::io::Write::write_all(&mut client.socket, &[magic, &bytes].concat());
        drop(client);
        let mut next = Client::open(&server, "v", Style::Simple);
        prop_assert_eq!(next.do_read(0, 512).map(|data| data.len()), Ok(512));
    }
}
