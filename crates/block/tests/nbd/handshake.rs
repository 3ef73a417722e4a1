//! From a connection to an export.

use std::io::Read;
use std::sync::Arc;

use archipelago_block::{Limits, Listen, NbdServer};
use archipelago_env::Env;

use crate::client::{
    Client, Style, context_names, info_data, meta_data, opt, rep, serve, serve_with,
};
use crate::memory::{Memory, MemoryExports};

fn exports() -> Arc<MemoryExports> {
    let volume = Memory::new(1 << 20).with_snapshot("monday").with_snapshot("tuesday");
    let exports = MemoryExports::default()
        .with("web", volume)
        .with("web@monday", Memory::new(1 << 20).read_only());
    Arc::new(exports)
}

fn export_flags(replies: &[(u32, Vec<u8>)]) -> u16 {
    let (_, data) = replies.iter().find(|(rep, data)| *rep == rep::INFO && data[1] == 0).unwrap();
    u16::from_be_bytes([data[10], data[11]])
}

#[test]
fn list_names_every_export() {
    let server = serve(&exports());
    let replies = Client::connect(&server).option(opt::LIST, &[]);
    let names: Vec<_> = replies
        .iter()
        .filter(|(rep, _)| *rep == rep::SERVER)
        .map(|(_, data)| String::from_utf8(data[4..].to_vec()).unwrap())
        .collect();
    assert_eq!(names, ["web", "web@monday"]);
}

#[test]
fn go_tells_size_flags_block_size_name_and_description() {
    let server = serve(&exports());
    let replies = Client::connect(&server).option(opt::GO, &info_data("web", &[1, 2, 3]));
    let kinds: Vec<_> = replies.iter().map(|(rep, data)| (*rep, data.get(1).copied())).collect();
    let info = rep::INFO;
    let wanted =
        [(info, Some(0)), (info, Some(1)), (info, Some(2)), (info, Some(3)), (rep::ACK, None)];
    assert_eq!(kinds, wanted);
    assert_eq!(replies[0].1[2..10], (1u64 << 20).to_be_bytes());
    assert_eq!(&replies[1].1[2..], b"web");
    let sizes = [512u32, 4096, 32 << 20].map(u32::to_be_bytes).concat();
    assert_eq!(&replies[3].1[2..], sizes);
}

#[test]
fn a_snapshot_is_read_only_and_offers_no_changes() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    // has flags, flush, FUA, trim, write zeroes, multi-conn, cache, fast zero
    let volume = client.option(opt::INFO, &info_data("web", &[]));
    assert_eq!(export_flags(&volume), 0b1101_0110_1101);
    let snapshot = client.option(opt::INFO, &info_data("web@monday", &[]));
    assert_eq!(export_flags(&snapshot), 0b0101_0000_1111);
}

#[test]
fn unfragmented_reads_are_offered_with_structured_replies_only() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    client.negotiate(Style::Structured);
    let replies = client.option(opt::INFO, &info_data("web", &[]));
    assert_eq!(export_flags(&replies) & (1 << 7), 1 << 7);
}

#[test]
fn an_unknown_export_is_told_and_the_handshake_goes_on() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    let replies = client.option(opt::GO, &info_data("nosuch", &[]));
    assert_eq!(replies[0].0, rep::UNKNOWN);
    assert!(String::from_utf8_lossy(&replies[0].1).contains("nosuch"));
    assert_eq!(client.verdict(opt::GO, &info_data("web", &[])), rep::ACK);
}

#[test]
fn an_unknown_option_is_unsupported_and_its_data_skipped() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    assert_eq!(client.verdict(4711, &[7; 300]), rep::UNSUP);
    assert_eq!(client.verdict(opt::LIST, &[]), rep::ACK);
}

#[test]
fn options_without_data_refuse_data() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    for option in [opt::LIST, opt::STRUCTURED_REPLY, opt::EXTENDED_HEADERS, opt::STARTTLS] {
        assert_eq!(client.verdict(option, b"x"), rep::INVALID);
    }
}

#[test]
fn export_name_is_answered_with_zeros_unless_they_were_declined() {
    let server = serve(&exports());
    let mut declined = Client::connect(&server);
    declined.send_option(opt::EXPORT_NAME, b"web");
    assert_eq!(declined.bytes(10)[..8], (1u64 << 20).to_be_bytes());
    assert_eq!(declined.do_read(0, 512), Ok(vec![0; 512]));

    let mut plain = Client::connect(&server);
    // Connect has sent the flags; this is a client which sends others.
    plain.socket = std::net::TcpStream::connect(plain.socket.peer_addr().unwrap()).unwrap();
    plain.bytes(18);
    plain.send(&1u32.to_be_bytes());
    plain.send_option(opt::EXPORT_NAME, b"web");
    assert_eq!(plain.bytes(10 + 124)[10..], [0; 124]);
    assert_eq!(plain.do_read(0, 512), Ok(vec![0; 512]));
}

#[test]
fn export_name_of_nothing_closes_the_connection() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    client.send_option(opt::EXPORT_NAME, b"nosuch");
    assert!(client.is_closed());
}

#[test]
fn abort_is_acknowledged_and_closes() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    assert_eq!(client.verdict(opt::ABORT, &[]), rep::ACK);
    assert!(client.is_closed());
}

#[test]
fn without_a_certificate_tls_is_refused_and_the_rest_goes_on() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    assert_eq!(client.verdict(opt::STARTTLS, &[]), rep::POLICY);
    assert_eq!(client.verdict(opt::LIST, &[]), rep::ACK);
}

#[test]
fn meta_contexts_are_listed_by_wildcard_and_selected_by_name() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    client.negotiate(Style::Structured);
    let mut list = |queries: &[&str]| {
        context_names(&client.option(opt::LIST_META_CONTEXT, &meta_data("web", queries)))
    };
    let monday = "archipelago:changed-since:monday";
    let tuesday = "archipelago:changed-since:tuesday";
    assert_eq!(list(&[]), ["base:allocation", monday, tuesday]);
    assert_eq!(list(&["base:"]), ["base:allocation"]);
    assert_eq!(list(&["archipelago:"]), [monday, tuesday]);
    assert_eq!(list(&["archipelago:changed-since:"]), [monday, tuesday]);
    assert_eq!(list(&[tuesday]), [tuesday]);
    assert_eq!(list(&["qemu:", "base:nosuch", "archipelago:changed-since:x"]), [""; 0]);
    let mut select = |queries: &[&str]| {
        context_names(&client.option(opt::SET_META_CONTEXT, &meta_data("web", queries)))
    };
    assert_eq!(select(&["base:", "archipelago:"]), [""; 0]);
    assert_eq!(select(&[]), [""; 0]);
    assert_eq!(select(&["base:allocation", monday]), ["base:allocation", monday]);
}

#[test]
fn meta_contexts_need_structured_replies() {
    let server = serve(&exports());
    let mut client = Client::connect(&server);
    let data = meta_data("web", &["base:allocation"]);
    assert_eq!(client.verdict(opt::SET_META_CONTEXT, &data), rep::INVALID);
}

#[test]
fn as_many_connections_as_allowed_and_no_more() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = serve_with(&exports(), None, limits);
    let (first, _second) = (Client::connect(&server), Client::connect(&server));
    let third = std::net::TcpStream::connect(first.socket.peer_addr().unwrap()).unwrap();
    let mut third = Client { socket: third, style: Style::Simple };
    assert!(third.is_closed());
    assert_eq!(server.counts().refused, 1);
}

#[test]
fn who_fills_the_port_leaves_places_for_unix_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nbd.sock");
    let listen = [Listen::Tcp("127.0.0.1:0".parse().unwrap()), Listen::Unix(path.clone())];
    let limits = Limits { connections: 8, ..Limits::default() };
    let server =
        NbdServer::start(Env::real(), Arc::clone(&exports()) as _, &listen, None, limits).unwrap();
    let all: Vec<_> = (0..7).map(|_| Client::connect(&server)).collect();
    let more = std::net::TcpStream::connect(all[0].socket.peer_addr().unwrap()).unwrap();
    assert!(Client { socket: more, style: Style::Simple }.is_closed());
    let mut greeting = [0; 18];
    let mut local = std::os::unix::net::UnixStream::connect(&path).unwrap();
    local.read_exact(&mut greeting).unwrap();
}

#[test]
fn a_socket_file_that_nobody_listens_on_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nbd.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listen = [Listen::Unix(path.clone())];
    let start = || NbdServer::start(Env::real(), exports() as _, &listen, None, Limits::default());
    let server = start().unwrap();
    let refused = start().err().unwrap().to_string();
    assert!(refused.contains("nbd.sock"), "{refused}");
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    server.stop();
    assert!(!path.exists(), "the socket file goes with the server");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "data").unwrap();
    let listen = [Listen::Unix(path.clone())];
    let server = NbdServer::start(Env::real(), exports() as _, &listen, None, Limits::default());
    assert!(server.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"data");
}
