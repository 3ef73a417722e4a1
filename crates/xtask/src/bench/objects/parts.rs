//! Uploads in parts, and many at once.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use archipelago_conformance::env;

use super::super::Bench;
use super::super::report::{Section, Target};
use super::super::statistics::ms;
use super::client::Client;
use super::large::Noise;
use super::servers::{Peer, Server};
use super::{Samples, present};

/// The least that S3 takes for all parts but the last.
const PART_BYTES: usize = 5 << 20;
/// Parts of an upload that all peers get; of more, the disk has no room for all of them.
const PARTS: u16 = 1000;
/// The most parts that an upload may have; they have all the same bytes.
const PARTS_MAX: u16 = 10_000;
const QUICK_PARTS: u16 = 20;
const COMPLETE: &str = "complete 1000 parts of 5 MiB, ms";
const COMPLETE_MAX: &str = "complete 10 000 parts of 5 MiB, ms";
/// Uploads at once.
const UPLOADS: u64 = 64;
const UPLOAD_BYTES: u64 = 16 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(50);
const IDLE: &str = "before, MiB";
const MOST: &str = "the most while they came, MiB";

/// `bench objects --only parts`.
pub fn parts(bench: &Bench) -> Result<Section> {
    let mut samples = Samples::default();
    for peer in present(bench) {
        let server = Server::start(peer, &bench.scratch)?;
        let client = Client::new(&server)?;
        let parts = if bench.quick { QUICK_PARTS } else { PARTS };
        samples.add(peer, COMPLETE, upload(&client, "some", parts)?);
        if peer == Peer::Archipelago {
            let parts = if bench.quick { 2 * QUICK_PARTS } else { PARTS_MAX };
            samples.add(peer, COMPLETE_MAX, upload(&client, "most", parts)?);
        }
        bench.say(&format!("{}", samples.raw()));
    }
    let most = samples.of(Peer::Archipelago, COMPLETE_MAX);
    Ok(Section {
        title: "Uploads in parts".to_owned(),
        text: vec![
            "Parts of 5 MiB are sent one behind the other, and it is taken how long the request \
             takes that makes an object of them. 10 000, the most that S3 allows, are sent to \
             ours alone, since they are 50 GB, which have the same bytes in each part."
                .to_owned(),
        ],
        tables: vec![samples.table("ms; less is better")],
        targets: vec![Target::below("complete 10 000 parts", "ms", 1000.0, most)],
        raw: samples.raw(),
        ..Section::default()
    })
}

fn upload(client: &Client, name: &str, parts: u16) -> Result<f64> {
    let mut body = vec![0; PART_BYTES];
    Noise::new(7).read_exact(&mut body)?;
    let id = client.begin(name)?;
    let etags = (1..=parts).map(|number| client.part(name, &id, number, &body));
    let etags: Vec<String> = etags.collect::<Result<_>>()?;
    let begin = env().clock().monotonic();
    client.complete(name, &id, &etags)?;
    Ok(ms(env().clock().monotonic() - begin))
}

/// `bench objects --only memory`.
pub fn memory(bench: &Bench) -> Result<Section> {
    let mut samples = Samples::default();
    for peer in present(bench) {
        let server = Server::start(peer, &bench.scratch)?;
        samples.add(peer, IDLE, server.memory()?);
        samples.add(peer, MOST, most(&server)?);
        bench.say(&format!("{}", samples.raw()));
    }
    let most = samples.of(Peer::Archipelago, MOST);
    Ok(Section {
        title: "Memory under 64 uploads at once".to_owned(),
        text: vec![format!(
            "{UPLOADS} clients put {} MiB each at once. Resident memory of all processes of the \
             server, looked at every {} ms.",
            UPLOAD_BYTES >> 20,
            LOOK_EVERY.as_millis()
        )],
        tables: vec![samples.table("MiB; less is better")],
        targets: vec![Target::below("memory under 64 uploads", "MiB", 512.0, most)],
        raw: samples.raw(),
        ..Section::default()
    })
}

fn most(server: &Server) -> Result<f64> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| -> Result<f64> {
            let mut most = 0.0_f64;
            while !done.load(Ordering::Relaxed) {
                most = most.max(server.memory()?);
                env().clock().sleep(LOOK_EVERY);
            }
            Ok(most)
        });
        let clients: Vec<_> = (0..UPLOADS)
            .map(|id| {
                scope.spawn(move || {
                    let body = Noise::new(id).take(UPLOAD_BYTES);
                    Client::new(server)?.put_stream(&format!("u{id}"), UPLOAD_BYTES, body)
                })
            })
            .collect();
        let results: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        done.store(true, Ordering::Relaxed);
        for result in results {
            result.ok().context("a client panicked")??;
        }
        watcher.join().ok().context("the watcher panicked")?
    })
}
