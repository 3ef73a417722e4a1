//! One large object: how fast it comes and goes, and how soon it is a disk.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use archipelago_conformance::env;
use archipelago_conformance::program::program;

use super::super::Bench;
use super::super::report::{Section, Target};
use super::super::statistics::ms;
use super::client::Client;
use super::servers::{Peer, Server};
use super::{Samples, present};

const BYTES: u64 = 1 << 30;
const QUICK_BYTES: u64 = 64 << 20;
const NEW: &str = "PUT, new data, MB/s";
const AGAIN: &str = "PUT, the same data under another name, MB/s";
const GET: &str = "GET, MB/s";
/// How much of an image is data.
const IMAGE_BYTES: u64 = 1 << 30;

/// `bench objects --only large`.
pub fn large(bench: &Bench) -> Result<Section> {
    let mut samples = Samples::default();
    let mut clones = Vec::new();
    let bytes = if bench.quick { QUICK_BYTES } else { BYTES };
    let peers = present(bench);
    for round in 0..bench.rounds as u64 {
        for &peer in &peers {
            let server = Server::start(peer, &bench.scratch)?;
            let client = Client::new(&server)?;
            bench.settle()?;
            let timed = |does: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
                let begin = env().clock().monotonic();
                does()?;
                let seconds = (env().clock().monotonic() - begin).as_secs_f64();
                bench.settle()?;
                Ok(bytes as f64 / 1e6 / seconds)
            };
            let put = |name| client.put_stream(name, bytes, Noise::new(round).take(bytes));
            samples.add(peer, NEW, timed(&mut || put("new"))?);
            samples.add(peer, AGAIN, timed(&mut || put("again"))?);
            samples.add(peer, GET, timed(&mut || client.get("new").map(drop))?);
            if peer == Peer::Archipelago {
                clones.push(clone(bench, &server, &client)?);
            }
        }
        bench.say(&format!("round {round}: {}", samples.raw()));
    }
    let mut targets = samples.targets(&[NEW, AGAIN, GET]);
    let slowest = clones.iter().copied().reduce(f64::max);
    let what = "from the end of the PUT of a qcow2 image of 1 GiB to a volume made from it";
    targets.push(Target::below(what, "ms", 100.0, slowest));
    Ok(Section {
        title: "One large object".to_owned(),
        text: vec![format!(
            "One client puts {} MiB that do not compress and do not repeat, the same again under \
             another name, and gets them, over one connection each. The client makes the bytes \
             and shares the processors with the server. An answer of ours and of the gateway \
             means that the data is durable; s3s-fs never syncs. Then a qcow2 image (made by \
             qemu-img, the same on each round) is put into ours, and the time from the answer \
             until `volume create --from file:` is done is taken, the start of the command's \
             process with it.",
            bytes >> 20
        )],
        tables: vec![samples.table("MB/s, medians of the rounds")],
        targets,
        raw: serde_json::json!({ "samples": samples.raw(), "clone_ms": clones }),
        ..Section::default()
    })
}

/// Milliseconds until a disk was made of an image that has just come.
fn clone(bench: &Bench, server: &Server, client: &Client) -> Result<f64> {
    let image = bench.scratch.join("image.qcow2");
    let bytes = if bench.quick { QUICK_BYTES } else { IMAGE_BYTES };
    if !image.is_file() {
        make_image(&bench.scratch, &image, bytes)?;
    }
    let daemon = server.daemon.as_ref().context("it is not ours")?;
    let cli = daemon.cli()?;
    let file = std::fs::File::open(&image)?;
    client.put_stream("image.qcow2", file.metadata()?.len(), file)?;
    let begin = env().clock().monotonic();
    cli.run(&["volume", "create", "disk", "--from", "file:bench/image.qcow2"])?;
    Ok(ms(env().clock().monotonic() - begin))
}

fn make_image(folder: &Path, image: &Path, bytes: u64) -> Result<()> {
    let raw = folder.join("image.raw");
    let mut file = std::fs::File::create(&raw)?;
    io::copy(&mut Noise::new(u64::MAX).take(bytes), &mut file)?;
    drop(file);
    program("qemu-img")?.args(["convert", "-O", "qcow2"]).args([&raw, image]).run()?;
    Ok(std::fs::remove_file(raw)?)
}

/// Bytes that repeat nowhere, made faster than any server takes them: each block of 4 KiB of a
/// fixed MiB begins with its number.
pub struct Noise {
    block: Vec<u8>,
    seed: u64,
    at: u64,
}

impl Noise {
    pub fn new(seed: u64) -> Self {
        let mut block = vec![0; 1 << 20];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut block);
        Self { block, seed, at: 0 }
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inside = (self.at % self.block.len() as u64) as usize;
        if inside == 0 {
            for (number, block) in (0_u64..).zip(self.block.chunks_exact_mut(4096)) {
                let (number, seed) = (self.at / 4096 + number, self.seed);
                block[..8].copy_from_slice(&number.to_le_bytes());
                block[8..16].copy_from_slice(&seed.to_le_bytes());
            }
        }
        let len = buffer.len().min(self.block.len() - inside);
        buffer[..len].copy_from_slice(&self.block[inside..inside + len]);
        self.at += len as u64;
        Ok(len)
    }
}
