//! Many clients append to one file, and the daemon is killed with -9 at random moments: what was
//! acknowledged is there, each record once, none torn, those of each client in its order.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::crash::{ROUNDS_VARIABLE, SEED_VARIABLE};
use archipelago_conformance::daemon::Options;
use archipelago_conformance::env;
use archipelago_conformance::load::settings;
use archipelago_conformance::stamp::Chance;

const WRITERS: u32 = 16;
const ROUNDS_DEFAULT: u64 = 6;
const KILL_AFTER_MS_MAX: u64 = 1500;
const HEAD_BYTES: usize = 32;
/// More than what waits in memory, so that some records are stored before.
const RECORD_BYTES_MAX: u64 = 320 << 10;

/// Writer, number, length, and a hash of them and of what follows.
fn record(writer: u32, number: u32, len: usize) -> Vec<u8> {
    let mut payload = vec![0; len];
    let seed = (u64::from(writer) << 32 | u64::from(number)).to_le_bytes();
    blake3::Hasher::new().update(&seed).finalize_xof().fill(&mut payload);
    let mut out = Vec::with_capacity(HEAD_BYTES + len);
    for word in [0x4452_4352, writer, number, len as u32] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    let hash = blake3::Hasher::new().update(&out).update(&payload).finalize();
    out.extend_from_slice(&hash.as_bytes()[..16]);
    out.extend_from_slice(&payload);
    out
}

/// The records of a file, in their order; anything else in it is an error.
fn records(mut bytes: &[u8]) -> Result<Vec<(u32, u32)>> {
    let mut found = Vec::new();
    let len = bytes.len();
    while !bytes.is_empty() {
        let at = len - bytes.len();
        ensure!(bytes.len() >= HEAD_BYTES, "half a head at {at}");
        let word = |n: usize| u32::from_le_bytes(bytes[4 * n..][..4].try_into().expect("4 of 4"));
        let (writer, number, payload) = (word(1), word(2), word(3) as usize);
        ensure!(word(0) == 0x4452_4352, "no record at {at}");
        let end = HEAD_BYTES + payload;
        ensure!(end <= bytes.len(), "record {writer}.{number} at {at} is cut off");
        let hash = blake3::Hasher::new().update(&bytes[..16]).update(&bytes[32..end]).finalize();
        ensure!(hash.as_bytes()[..16] == bytes[16..32], "record {writer}.{number} is torn");
        found.push((writer, number));
        bytes = &bytes[end..];
    }
    Ok(found)
}

/// Appends a body on a connection that is kept; whether it was acknowledged.
fn append(stream: &mut BufReader<TcpStream>, path: &str, body: &[u8]) -> Result<()> {
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.get_mut().write_all(head.as_bytes())?;
    stream.get_mut().write_all(body)?;
    let (mut line, mut length) = (String::new(), 0);
    ensure!(stream.read_line(&mut line)? > 0, "no answer");
    let status = line.trim().to_owned();
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the answer ends in its head");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    ensure!(status.contains(" 200 "), "{status}: {}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// What a writer knows of its records.
#[derive(Clone, Default)]
struct Known {
    next: u32,
    acknowledged: Vec<u32>,
}

/// Appends until the daemon is gone.
fn writer(
    endpoint: &str,
    id: u32,
    seed: u64,
    known: &mut Known,
    ending: &AtomicBool,
) -> Result<()> {
    let mut chance = Chance::new(seed);
    let host = endpoint.trim_start_matches("http://");
    let mut stream = BufReader::new(TcpStream::connect(host)?);
    stream.get_mut().set_nodelay(true)?;
    loop {
        let len = match chance.below(4) {
            0 => chance.below(RECORD_BYTES_MAX),
            1 => 512 * chance.below(8) + 512 - HEAD_BYTES as u64,
            _ => chance.below(600),
        };
        let number = known.next;
        known.next += 1;
        match append(&mut stream, "/v1/files/c/log", &record(id, number, len as usize)) {
            Ok(()) => known.acknowledged.push(number),
            Err(_) if ending.load(Ordering::Acquire) => return Ok(()),
            Err(error) => return Err(error.context(format!("writer {id}, record {number}"))),
        }
    }
}

/// Compares what is there with what was acknowledged.
fn judge(found: &[(u32, u32)], known: &[Known]) -> Result<()> {
    let mut by_writer: HashMap<u32, Vec<u32>> = HashMap::new();
    for (writer, number) in found {
        by_writer.entry(*writer).or_default().push(*number);
    }
    for (id, known) in (0..).zip(known) {
        let numbers = by_writer.remove(&id).unwrap_or_default();
        ensure!(numbers.is_sorted_by(|a, b| a < b), "writer {id}: twice, or in another order");
        ensure!(numbers.iter().all(|number| *number < known.next), "writer {id}: never sent");
        let lost = known.acknowledged.iter().find(|number| numbers.binary_search(number).is_err());
        ensure!(lost.is_none(), "writer {id}: record {lost:?} was acknowledged and is lost");
    }
    ensure!(by_writer.is_empty(), "records of nobody: {:?}", by_writer.keys());
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_acknowledged_append_is_there_once_after_kill_9() -> Result<()> {
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| {
        let mut bytes = [0; 8];
        env().random().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    println!("{SEED_VARIABLE}={seed}");
    let mut chance = Chance::new(seed);
    let folder = tempfile::tempdir()?;
    let config = settings(folder.path())?.display().to_string();
    let options = Options::new(&folder.path().join("data")).args(&["--config", &config]);
    let mut daemon = options.start()?;
    let (first, back) = (folder.path().join("first"), folder.path().join("back"));
    fs::write(&first, "")?;
    daemon.cli()?.run(&["file", "put", &first.display().to_string(), "c/log"])?;
    let mut known = vec![Known::default(); WRITERS as usize];
    for round in 0..number(ROUNDS_VARIABLE).unwrap_or(ROUNDS_DEFAULT) {
        let ending = AtomicBool::new(false);
        let endpoint = daemon.http().to_owned();
        let seeds: Vec<u64> = known.iter().map(|_| chance.number()).collect();
        let kill_after = Duration::from_millis(chance.below(KILL_AFTER_MS_MAX));
        std::thread::scope(|scope| -> Result<()> {
            let mut threads = Vec::new();
            for ((id, known), seed) in (0..).zip(&mut known).zip(seeds) {
                let (endpoint, ending) = (&endpoint, &ending);
                threads.push(scope.spawn(move || writer(endpoint, id, seed, known, ending)));
            }
            env().clock().sleep(kill_after);
            ending.store(true, Ordering::Release);
            daemon.kill();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
        })?;
        daemon = options.start().context("after the kill")?;
        let to = back.display().to_string();
        daemon.cli()?.run(&["file", "get", "c/log", &to, "--force"])?;
        let found = records(&fs::read(&back)?)?;
        judge(&found, &known).with_context(|| format!("round {round}"))?;
        let acknowledged: usize = known.iter().map(|known| known.acknowledged.len()).sum();
        println!(
            "round {round}: killed after {} ms; {acknowledged} acknowledged, {} there",
            kill_after.as_millis(),
            found.len()
        );
    }
    let check = daemon.cli()?.run(&["check"])?;
    println!("{}", check.text());
    daemon.stop()
}
