//! Stopping a server that is in use.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use archipelago_block::Limits;

use crate::client::{Client, FUA, Style, cmd, port, serve, serve_with};
use crate::memory::{Memory, MemoryExports};

fn exports() -> Arc<MemoryExports> {
    Arc::new(MemoryExports::default().with("v", Memory::new(64 << 20)))
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = serve(&exports());
    let mut idle = Client::open(&server, "v", Style::Structured);
    let mut in_handshake = Client::connect(&server);
    server.stop();
    assert!(idle.is_closed());
    assert!(in_handshake.is_closed());
    assert_eq!(server.connections(), 0);
    assert!(TcpStream::connect(("127.0.0.1", port(&server))).is_err());
    server.stop();
}

#[test]
fn what_is_in_flight_is_finished_and_never_answered_with_an_error() {
    let exports = exports();
    let server = serve(&exports);
    let mut client = Client::open(&server, "v", Style::Simple);
    exports.get("v").gate.close();
    let bytes = client.write_bytes(FUA, 1, 0, &[8; 4096]);
    client.send(&bytes);
    // In step: the write has been taken once this is answered.
    assert_eq!(client.do_read(1 << 20, 512), Ok(vec![0; 512]));
    thread::scope(|scope| {
        scope.spawn(|| server.stop());
        exports.get("v").gate.open();
        assert_eq!(client.result(), (0, 1));
        assert!(client.is_closed());
    });
    assert_eq!(exports.get("v").bytes(0, 4096), [8; 4096]);
}

#[test]
fn under_load_every_acknowledged_write_is_there_and_no_error_is_seen() {
    let exports = exports();
    let server = serve(&exports);
    // On a busy machine one of them may not have had its turn when the others have had hundreds.
    let under_way = AtomicU64::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4u64)
            .map(|worker| {
                let mut client = Client::open(&server, "v", Style::Simple);
                let under_way = &under_way;
                scope.spawn(move || {
                    let mut acknowledged = 0;
                    loop {
                        let offset = worker * (8 << 20) + acknowledged % 2000 * 4096;
                        let round = (acknowledged / 2000 + 1) as u8;
                        let bytes = client.write_bytes(0, acknowledged, offset, &[round; 4096]);
                        let mut reply = [0; 16];
                        let sent = std::io::Write::write_all(&mut client.socket, &bytes);
                        let got = std::io::Read::read_exact(&mut client.socket, &mut reply);
                        if sent.and(got).is_err() {
                            return acknowledged;
                        }
                        assert_eq!(reply[4..8], [0; 4], "a guest would see this error");
                        acknowledged += 1;
                        if acknowledged == 1 {
                            under_way.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        while server.counts().commands[1].requests < 500 || under_way.load(Ordering::Relaxed) < 4 {
            thread::yield_now();
        }
        server.stop();
        for (worker, handle) in workers.into_iter().enumerate() {
            let acknowledged = handle.join().unwrap();
            assert!(acknowledged > 0);
            let last = acknowledged - 1;
            let offset = worker as u64 * (8 << 20) + last % 2000 * 4096;
            let stored = exports.get("v").bytes(offset, 1)[0];
            assert!(stored >= (last / 2000 + 1) as u8);
        }
    });
}

#[test]
fn a_client_that_takes_no_answers_cannot_keep_the_server_from_stopping() {
    let limits = Limits { stop_grace: Duration::from_millis(50), ..Limits::default() };
    let exports = exports();
    let server = serve_with(&exports, None, limits);
    let mut client = Client::open(&server, "v", Style::Simple);
    // Far more answers than sockets hold.
    for cookie in 0..64 {
        client.request(cmd::READ, 0, cookie, 0, 16 << 20);
    }
    server.stop();
    assert_eq!(server.connections(), 0);
}

#[test]
fn while_one_client_takes_no_answers_others_are_served() {
    let server = serve(&exports());
    let mut deaf = Client::open(&server, "v", Style::Simple);
    for cookie in 0..64 {
        deaf.request(cmd::READ, 0, cookie, 0, 16 << 20);
    }
    let mut client = Client::open(&server, "v", Style::Simple);
    for _ in 0..10 {
        assert_eq!(client.do_read(0, 1 << 20).map(|data| data.len()), Ok(1 << 20));
    }
    // And it gets its answers when it begins to listen.
    assert_eq!(deaf.result().0, 0);
}
