//! Large files: only what differs travels, both ways, and what was interrupted goes on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archipelago_env::Env;

use crate::site::{Site, read};

const MIB: usize = 1 << 20;

/// A wire to the server that counts what goes over it, both ways, and breaks when told.
struct Wire {
    endpoint: String,
    bytes: Arc<AtomicU64>,
    /// Bytes after which it breaks, once.
    breaks_at: Arc<AtomicU64>,
}

impl Wire {
    fn to(site: &Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let bytes = Arc::new(AtomicU64::new(0));
        let breaks_at = Arc::new(AtomicU64::new(u64::MAX));
        let server = site.endpoint().trim_start_matches("http://").to_owned();
        let (counted, limit) = (Arc::clone(&bytes), Arc::clone(&breaks_at));
        spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { return };
                let twin = |socket: &TcpStream| socket.try_clone().expect("it has another handle");
                let ways = [(twin(&client), twin(&server)), (server, client)];
                for (mut from, mut to) in ways {
                    let (counted, limit) = (Arc::clone(&counted), Arc::clone(&limit));
                    spawn(move || {
                        let _ = pump(&mut from, &mut to, &counted, &limit);
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { endpoint, bytes, breaks_at }
    }

    fn run(&self, site: &Site, args: &[&str]) -> Output {
        let mut command = site.command(args);
        command.env("ARCHIPELAGO_ENDPOINT", &self.endpoint).output().expect("it runs")
    }

    /// Runs a command that must succeed; gives what went over the wire.
    #[track_caller]
    fn bytes(&self, site: &Site, args: &[&str]) -> u64 {
        let before = self.bytes.load(Ordering::SeqCst);
        let output = self.run(site, args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.bytes.load(Ordering::SeqCst) - before
    }
}

fn spawn(body: impl FnOnce() + Send + 'static) {
    // It ends with its sockets.
    drop(Env::real().threads().spawn("wire", Box::new(body)).expect("there is room for a thread"));
}

fn pump(
    from: &mut TcpStream,
    to: &mut TcpStream,
    counted: &AtomicU64,
    limit: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let all = counted.fetch_add(read as u64, Ordering::SeqCst) + read as u64;
        if all > limit.load(Ordering::SeqCst) {
            return Err(io::Error::other("the wire breaks"));
        }
        to.write_all(&buffer[..read])?;
    }
}

/// Bytes without an order, always the same.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// What is stored is what is in a local file.
#[track_caller]
fn same(site: &Site, name: &str, bytes: &[u8]) {
    site.run(&["file", "get", name, &site.file("check"), "--force"]);
    assert!(read(&site.path("check")) == bytes, "{name}");
    std::fs::remove_file(site.path("check")).expect("it is there");
}

#[test]
fn of_a_file_that_changed_only_that_is_sent() {
    let site = Site::start();
    let wire = Wire::to(&site);
    let mut bytes = noise(1, 20 * MIB + 777);
    let local = site.write("in", &bytes);
    site.run(&["file", "put", &local, "c/o"]);
    bytes[5 * MIB + 4096..6 * MIB].copy_from_slice(&noise(2, MIB - 4096));
    bytes[17 * MIB] ^= 1;
    site.write("in", &bytes);
    let changed = MIB as u64;
    let sent = wire.bytes(&site, &["file", "put", &local, "c/o"]);
    assert!(sent < changed + changed / 50 + 4096, "{sent}");
    same(&site, "c/o", &bytes);
    let again = wire.bytes(&site, &["file", "put", &local, "c/o"]);
    assert!(again < 8192, "{again}");
    assert_eq!(site.json(&["file", "put", &local, "c/o"])["sent"], 0);
}

#[test]
fn a_file_that_grew_or_shrank_is_sent_by_what_differs() {
    let site = Site::start();
    let mut bytes = noise(3, 10 * MIB);
    let local = site.write("in", &bytes);
    site.run(&["file", "put", &local, "c/o"]);
    bytes.extend(noise(4, 1000));
    site.write("in", &bytes);
    assert_eq!(site.json(&["file", "put", &local, "c/o"])["sent"], 1000);
    same(&site, "c/o", &bytes);
    bytes.truncate(9 * MIB + 5);
    site.write("in", &bytes);
    assert_eq!(site.json(&["file", "put", &local, "c/o"])["sent"], 5);
    same(&site, "c/o", &bytes);
    bytes.resize(40 * MIB + 1, 0);
    site.write("in", &bytes);
    assert_eq!(site.json(&["file", "put", &local, "c/o"])["sent"], 0);
    same(&site, "c/o", &bytes);
}

#[test]
fn of_a_local_file_that_is_there_only_what_differs_is_fetched() {
    let site = Site::start();
    let wire = Wire::to(&site);
    let mut bytes = noise(5, 20 * MIB + 777);
    let local = site.write("in", &bytes);
    site.run(&["file", "put", &local, "c/o"]);
    bytes[9 * MIB..10 * MIB].copy_from_slice(&noise(6, MIB));
    bytes.truncate(18 * MIB);
    bytes.extend(vec![0; 3 * MIB]);
    let out = site.write("out", &bytes);
    let fetched = wire.bytes(&site, &["file", "get", "c/o", &out, "--force"]);
    // 1 MiB that was changed, 2 MiB and a bit that were cut off.
    let changed = 3 * MIB as u64 + 777;
    assert!(fetched < changed + changed / 50 + 4096, "{fetched}");
    assert!(read(&site.path("out")) == read(&site.path("in")));
    assert_eq!(site.json(&["file", "get", "c/o", &out, "--force"])["fetched"], 0);
    assert!(read(&site.path("out")) == read(&site.path("in")));
    let dir = site.path("out");
    let left = std::fs::read_dir(dir.parent().expect("it is in a folder")).expect("it is there");
    let parts = left.filter_map(Result::ok).map(|entry| entry.file_name());
    assert!(!parts.into_iter().any(|name| name.to_string_lossy().starts_with(".archipelago-")));
}

#[test]
fn a_fetch_that_was_interrupted_goes_on() {
    let site = Site::start();
    let wire = Wire::to(&site);
    let bytes = noise(7, 150 * MIB);
    let local = site.write("in", &bytes);
    site.run(&["file", "put", &local, "c/o"]);
    let out = site.file("out");
    wire.breaks_at.store(110 * MIB as u64, Ordering::SeqCst);
    assert_eq!(wire.run(&site, &["file", "get", "c/o", &out]).status.code(), Some(1));
    assert!(!site.path("out").exists());
    wire.breaks_at.store(u64::MAX, Ordering::SeqCst);
    let rest = wire.bytes(&site, &["file", "get", "c/o", &out]);
    assert!(rest < 130 * MIB as u64, "{rest}");
    assert!(read(&site.path("out")) == bytes);
    // Another version is fetched from the begin.
    std::fs::remove_file(&out).expect("it is there");
    let from = wire.bytes.load(Ordering::SeqCst);
    wire.breaks_at.store(from + 110 * MIB as u64, Ordering::SeqCst);
    assert_eq!(wire.run(&site, &["file", "get", "c/o", &out]).status.code(), Some(1));
    let other = noise(8, 150 * MIB);
    site.write("in", &other);
    site.run(&["file", "put", &local, "c/o"]);
    site.run(&["file", "get", "c/o", &out]);
    assert!(read(&site.path("out")) == other);
}

/// Writes over what an interrupted fetch has: in its first block, and where it is to be zeros.
fn spoil(site: &Site, holes: &[usize]) {
    let dir = std::fs::read_dir(site.path("")).expect("it is there");
    let part = dir
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|end| end == "part"))
        .expect("the fetch left what it had");
    let file = std::fs::File::options().write(true).open(part).expect("it is a file");
    for at in [0].iter().chain(holes) {
        file.write_all_at(b"XXXX", *at as u64).expect("it takes bytes");
    }
}

#[test]
fn what_an_interrupted_fetch_had_is_proven_before_the_file_gets_its_name() {
    let site = Site::start();
    let wire = Wire::to(&site);
    let mut bytes = noise(11, 150 * MIB + 5);
    bytes[20 * MIB..29 * MIB].fill(0);
    let local = site.write("in", &bytes);
    site.run(&["file", "put", &local, "c/o"]);
    let out = site.file("out");
    let interrupted = |args: &[&str]| {
        let from = wire.bytes.load(Ordering::SeqCst);
        wire.breaks_at.store(from + 110 * MIB as u64, Ordering::SeqCst);
        assert_eq!(wire.run(&site, args).status.code(), Some(1));
        wire.breaks_at.store(u64::MAX, Ordering::SeqCst);
        spoil(&site, &[22 * MIB, 150 * MIB]);
    };
    interrupted(&["file", "get", "c/o", &out]);
    let rest = wire.bytes(&site, &["file", "get", "c/o", &out]);
    assert!(read(&site.path("out")) == bytes);
    // Only the blocks that are wrong come once more.
    assert!(rest < 130 * MIB as u64, "{rest}");
    // Over another file, too.
    site.write("out", &noise(12, 150 * MIB));
    interrupted(&["file", "get", "c/o", &out, "--force"]);
    wire.bytes(&site, &["file", "get", "c/o", &out, "--force"]);
    assert!(read(&site.path("out")) == bytes);
    assert!(std::fs::read_dir(site.path("")).expect("it is there").all(|entry| {
        !entry.expect("it is there").file_name().to_string_lossy().starts_with(".archipelago")
    }));
}

#[test]
fn a_large_file_is_sent_in_blocks_and_goes_on_with_those_that_are_missing() {
    let site = Site::start();
    let wire = Wire::to(&site);
    let mut bytes = noise(9, 100 * MIB + 3);
    bytes[40 * MIB..60 * MIB].fill(0);
    let local = site.write("in", &bytes);
    // Of five requests one has come whole by then: four are at work at once.
    wire.breaks_at.store(70 * MIB as u64, Ordering::SeqCst);
    assert_eq!(wire.run(&site, &["file", "put", &local, "c/o"]).status.code(), Some(1));
    assert!(site.fails(&["file", "stat", "c/o"], 1).contains("c/o"));
    wire.breaks_at.store(u64::MAX, Ordering::SeqCst);
    let rest = wire.bytes(&site, &["file", "put", &local, "c/o"]);
    assert!(rest < 66 * MIB as u64, "{rest}");
    same(&site, "c/o", &bytes);
    let stat = site.json(&["file", "stat", "c/o"]);
    assert_eq!(stat["sha256"].as_str().map(str::len), Some(64));
    // The account has all blocks of this one: only hashes travel.
    assert_eq!(site.json(&["file", "put", &local, "other/name"])["sent"], 0);
    same(&site, "other/name", &bytes);
}

#[test]
fn a_thin_file_of_a_terabyte_goes_and_comes_as_its_few_bytes() {
    let site = Site::start();
    let wire = Wire::to(&site);
    let (local, size) = (site.write("thin", b"begin"), 1_u64 << 40);
    let file = std::fs::File::options().write(true).open(&local).expect("it was made");
    file.set_len(size).expect("the disk has sparse files");
    assert!(wire.bytes(&site, &["file", "put", &local, "c/thin"]) < MIB as u64);
    assert_eq!(site.json(&["file", "stat", "c/thin"])["size"], size);
    let out = site.file("out");
    assert!(wire.bytes(&site, &["file", "get", "c/thin", &out]) < MIB as u64);
    let fetched = std::fs::metadata(&out).expect("it is there");
    assert_eq!(fetched.len(), size);
    assert!(std::os::unix::fs::MetadataExt::blocks(&fetched) < 4096);
}
