//! fio, run on NBD exports or on plain files, and what it says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use archipelago_conformance::program::program;
use serde::Serialize;
use serde_json::Value;

/// Settling time before fio begins to count, so that connections, caches and a peer's first
/// allocations are not measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// A job ends when its time is over; one that has not ended long after hangs.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Where the reads and writes go.
pub enum Place {
    /// Exports, by URI; one job each.
    Nbd(Vec<String>),
    /// Plain files, for the floor below all servers; one job each.
    Files(Vec<PathBuf>),
}

/// What to do.
#[derive(Clone)]
pub struct Job {
    /// fio's `rw`: `read`, `write`, `randread`, `randwrite`.
    pub pattern: &'static str,
    /// Bytes of a request.
    pub block: u64,
    /// Requests in flight, for each job.
    pub depth: u32,
    /// A flush after so many writes; 0 for none.
    pub flush_every: u32,
    /// Bytes of the device that are used.
    pub size: u64,
    /// How long; `None` for once over the whole size.
    pub time: Option<Duration>,
    /// Ends after so many bytes instead.
    pub bytes: Option<u64>,
}

impl Job {
    /// Once over the whole device in order: what was never written costs differently.
    pub fn fill(size: u64) -> Self {
        let (pattern, block) = ("write", 1 << 20);
        Self { pattern, block, depth: 8, flush_every: 0, size, time: None, bytes: None }
    }

    fn arguments(&self, place: &Place) -> Vec<String> {
        let mut all = vec!["--name=global".to_owned(), "--output-format=json".to_owned()];
        all.push("--thread=1".to_owned());
        all.push("--group_reporting=1".to_owned());
        all.push("--norandommap=1".to_owned());
        all.push(format!("--rw={}", self.pattern));
        all.push(format!("--bs={}", self.block));
        all.push(format!("--size={}", self.size));
        if let Some(time) = self.time {
            all.push("--time_based=1".to_owned());
            all.push(format!("--runtime={}ms", time.as_millis()));
            all.push(format!("--ramp_time={}ms", WARM_UP.as_millis()));
        }
        if let Some(bytes) = self.bytes {
            all.push(format!("--io_size={bytes}"));
        }
        match place {
            Place::Nbd(uris) => {
                all.push("--ioengine=nbd".to_owned());
                all.push(format!("--iodepth={}", self.depth));
                // The NBD engine sends FLUSH for fsync, and refuses fdatasync.
                all.push(format!("--fsync={}", self.flush_every));
                for (at, uri) in uris.iter().enumerate() {
                    all.push(format!("--name=job{at}"));
                    all.push(format!("--uri={uri}"));
                }
            }
            Place::Files(paths) => {
                all.push("--ioengine=psync".to_owned());
                all.push(format!("--fdatasync={}", self.flush_every));
                for (at, path) in paths.iter().enumerate() {
                    all.push(format!("--name=job{at}"));
                    all.push(format!("--filename={}", path.display()));
                }
            }
        }
        all
    }

    /// Runs it.
    pub fn run(&self, place: &Place) -> Result<Figures> {
        let fio = program("fio")?.args(self.arguments(place)).timeout(TIMEOUT);
        parse(&fio.run()?.text())
    }
}

/// What one run of fio measured, all jobs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests in a second.
    pub iops: f64,
    /// Bytes in a second.
    pub bytes_per_second: f64,
    /// Half of all requests took at most this, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 requests took at most this.
    pub p99_us: f64,
    /// The slowest request.
    pub max_us: f64,
    /// A flush took this long on average; 0 without flushes.
    pub flush_us: f64,
}

/// Reads fio's JSON, which lines such as `fio: connected to NBD server` may precede.
fn parse(text: &str) -> Result<Figures> {
    let start = text.find('{').context("fio printed no JSON")?;
    let json: Value = serde_json::from_str(&text[start..]).context("fio printed broken JSON")?;
    let job = &json["jobs"][0];
    let read_more = job["read"]["total_ios"].as_u64() > job["write"]["total_ios"].as_u64();
    let side = if read_more { &job["read"] } else { &job["write"] };
    let figure = |value: &Value| value.as_f64().unwrap_or(0.0);
    let iops = side["iops"].as_f64().context("fio's JSON has no iops")?;
    anyhow::ensure!(iops > 0.0, "fio did nothing: {text}");
    let latency = &side["clat_ns"];
    Ok(Figures {
        iops,
        bytes_per_second: figure(&side["bw_bytes"]),
        p50_us: figure(&latency["percentile"]["50.000000"]) / 1e3,
        p99_us: figure(&latency["percentile"]["99.000000"]) / 1e3,
        max_us: figure(&latency["max"]) / 1e3,
        flush_us: figure(&job["sync"]["lat_ns"]["mean"]) / 1e3,
    })
}

#[cfg(test)]
mod tests;
