//! Many small objects.

use std::sync::Barrier;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::env;

use super::super::Bench;
use super::super::report::{Section, Target};
use super::super::statistics::{ms, percentile};
use super::client::Client;
use super::large::Noise;
use super::servers::{Peer, Server};
use super::{Samples, present};

const BYTES: usize = 4096;
const CLIENTS: [usize; 2] = [1, 32];
/// A server whose pages cost what the whole bucket does takes hours for all of it.
const LISTED_WITHIN: Duration = Duration::from_secs(60);
/// Objects of the bucket that is listed.
const LISTED: usize = 100_000;
const LISTED_QUICK: usize = 3_000;
const ALL: &str = "all pages, objects/s";
const PAGE: &str = "a page of 1000, p99, ms";

/// `bench objects --only small`.
pub fn small(bench: &Bench) -> Result<Section> {
    let mut samples = Samples::default();
    let peers = present(bench);
    for round in 0..bench.rounds {
        for &peer in &peers {
            for clients in CLIENTS {
                let server = Server::start(peer, &bench.scratch)?;
                bench.settle()?;
                let puts = race(&server, clients, bench.job_time, &|client, id, at| {
                    client.put(&format!("o/{id}/{at}"), &body(id, at))
                })?;
                bench.settle()?;
                // Those that are there.
                let least = puts.iter().map(Vec::len).min().unwrap_or(0).max(1);
                let gets = race(&server, clients, bench.job_time, &|client, id, at| {
                    let got = client.get(&format!("o/{id}/{}", at % least))?;
                    ensure!(got == BYTES as u64, "an object of {got} bytes");
                    Ok(())
                })?;
                for (verb, took) in [("PUT", puts), ("GET", gets)] {
                    let all: Vec<f64> = took.into_iter().flatten().collect();
                    let rate = all.len() as f64 / bench.job_time.as_secs_f64();
                    samples.add(peer, format!("{verb}, {clients} clients, requests/s"), rate);
                    let p99 = percentile(&all, 99.0).context("no request was answered")?;
                    samples.add(peer, format!("{verb}, {clients} clients, p99, ms"), p99);
                }
            }
        }
        bench.say(&format!("round {round}: {}", samples.raw()));
    }
    let targets = samples.targets(&[
        "PUT, 1 clients, requests/s",
        "PUT, 32 clients, requests/s",
        "GET, 1 clients, requests/s",
        "GET, 32 clients, requests/s",
    ]);
    Ok(Section {
        title: "Small objects".to_owned(),
        text: vec![format!(
            "Clients put and get objects of {BYTES} bytes, each over a connection of its own, one \
             request behind the other, for {} s; the bytes do not compress and do not repeat. The \
             clients share the processors with the server. s3s-fs never syncs: its PUT is the \
             page cache's.",
            bench.job_time.as_secs_f64()
        )],
        tables: vec![samples.table("medians of the rounds")],
        targets,
        raw: samples.raw(),
        ..Section::default()
    })
}

/// `bench objects --only listing`.
pub fn listing(bench: &Bench) -> Result<Section> {
    let mut samples = Samples::default();
    let count = if bench.quick { LISTED_QUICK } else { LISTED };
    for peer in present(bench) {
        let server = Server::start(peer, &bench.scratch)?;
        fill(&server, count)?;
        bench.settle()?;
        let client = Client::new(&server)?;
        for _ in 0..bench.rounds {
            let (mut seen, mut from, mut pages) = (0, None, Vec::new());
            let begin = env().clock().monotonic();
            loop {
                let page_begin = env().clock().monotonic();
                let page = client.list(from.as_deref())?;
                pages.push(ms(env().clock().monotonic() - page_begin));
                seen += page.names;
                from = page.next;
                if from.is_none() || env().clock().monotonic() - begin > LISTED_WITHIN {
                    break;
                }
            }
            let seconds = (env().clock().monotonic() - begin).as_secs_f64();
            let whole = from.is_some() || seen == count;
            ensure!(whole, "{} listed {seen} of {count} objects", peer.name());
            samples.add(peer, ALL, seen as f64 / seconds);
            samples.add(peer, PAGE, percentile(&pages, 99.0).context("no page")?);
        }
        bench.say(&format!("{}", samples.raw()));
    }
    let mut targets = samples.targets(&[ALL]);
    let page = samples.of(Peer::Archipelago, PAGE);
    targets.push(Target::below("a page of 1000 objects, p99", "ms", 50.0, page));
    Ok(Section {
        title: "Lists".to_owned(),
        text: vec![format!(
            "A bucket of {count} empty objects is listed by pages of a thousand (ListObjectsV2), \
             from the first to the last, or for {} s by whoever takes longer.",
            LISTED_WITHIN.as_secs()
        )],
        tables: vec![samples.table("medians of the rounds")],
        targets,
        raw: samples.raw(),
        ..Section::default()
    })
}

fn body(id: usize, at: usize) -> Vec<u8> {
    use std::io::Read;
    let (mut body, mut noise) = (vec![0; BYTES], Noise::new((id << 32 | at) as u64));
    // It has no end and no errors.
    let _ = noise.read_exact(&mut body);
    body
}

/// Puts so many empty objects.
fn fill(server: &Server, count: usize) -> Result<()> {
    let clients = CLIENTS[1];
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..clients)
            .map(|id| {
                scope.spawn(move || -> Result<()> {
                    let client = Client::new(server)?;
                    let mine = (0..count).filter(|at| at % clients == id);
                    mine.into_iter().try_for_each(|at| client.put(&format!("o/{at:08}"), b""))
                })
            })
            .collect();
        for thread in threads {
            thread.join().ok().context("a client panicked")??;
        }
        Ok(())
    })
}

/// Lets all begin at once and stops them after `time`; gives how long each request took, in ms.
fn race(
    server: &Server,
    clients: usize,
    time: Duration,
    request: &(dyn Fn(&Client, usize, usize) -> Result<()> + Sync),
) -> Result<Vec<Vec<f64>>> {
    let (start, clock) = (Barrier::new(clients), env().clock());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|id| {
                let start = &start;
                scope.spawn(move || -> Result<Vec<f64>> {
                    let (client, mut took) = (Client::new(server), Vec::new());
                    // Before the barrier nobody may give up: the others would wait for ever.
                    start.wait();
                    let (client, end) = (client?, clock.monotonic() + time);
                    while clock.monotonic() < end {
                        let begin = clock.monotonic();
                        request(&client, id, took.len())?;
                        took.push(ms(clock.monotonic() - begin));
                    }
                    Ok(took)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().ok().context("a client panicked")?).collect()
    })
}
