//! Plays many simulated worlds, several at a time, and tells what went wrong.
//!
//! `cargo xtask sim` builds this with optimizations and calls it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::{Clock, Env};
use archipelago_sim::world::{Outcome, Plan, STEPS_DEFAULT, Tally, long, run};
use parking_lot::Mutex;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);
/// How often the players are looked at.
const POLL: Duration = Duration::from_millis(50);

/// What was asked for.
#[derive(Clone)]
struct Arguments {
    first: u64,
    seeds: u64,
    steps: u64,
    jobs: u64,
    /// No new run begins after so long; 0 for never.
    seconds: u64,
    long: bool,
}

/// What all players share.
struct Shared {
    next: u64,
    end: u64,
    /// Runs under way, and since when.
    playing: BTreeMap<u64, Duration>,
    played: u64,
    tally: Tally,
    failed: Vec<u64>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    match play(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut out =
        Arguments { first: 0, seeds: 1000, steps: STEPS_DEFAULT, jobs: 2, seconds: 0, long: false };
    while let Some(word) = words.next() {
        if word == "--long" {
            out.long = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
        let number: u64 = value.parse().map_err(|_| format!("{value} is no number"))?;
        match word.as_str() {
            "--first" => out.first = number,
            "--seeds" => out.seeds = number,
            "--steps" => out.steps = number,
            "--jobs" => out.jobs = number.max(1),
            "--seconds" => out.seconds = number,
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(out)
}

/// Whether no run failed.
fn play(arguments: &Arguments) -> Result<bool, String> {
    let env = Env::real();
    let clock = Arc::clone(env.clock());
    let begun = clock.monotonic();
    let shared = Arc::new(Mutex::new(Shared {
        next: arguments.first,
        end: arguments.first.saturating_add(arguments.seeds),
        playing: BTreeMap::new(),
        played: 0,
        tally: Tally::default(),
        failed: Vec::new(),
    }));
    let mut players = Vec::new();
    for job in 0..arguments.jobs {
        let (shared, clock, arguments) =
            (Arc::clone(&shared), Arc::clone(&clock), arguments.clone());
        let body = Box::new(move || player(&arguments, &shared, &*clock, begun));
        let player = env.threads().spawn(&format!("player {job}"), body);
        players.push(player.map_err(|error| format!("cannot start a thread: {error}"))?);
    }
    watch(&shared, &*clock, begun);
    for player in players {
        player.join().map_err(|panicked| panicked.to_string())?;
    }
    let shared = shared.lock();
    summary(&shared, clock.monotonic().saturating_sub(begun));
    Ok(shared.failed.is_empty())
}

fn player(arguments: &Arguments, shared: &Mutex<Shared>, clock: &dyn Clock, begun: Duration) {
    loop {
        let now = clock.monotonic();
        let late = arguments.seconds > 0
            && now.saturating_sub(begun) >= Duration::from_secs(arguments.seconds);
        let seed = {
            let mut shared = shared.lock();
            if late {
                shared.end = shared.next;
            }
            if shared.next >= shared.end {
                return;
            }
            let seed = shared.next;
            shared.next += 1;
            shared.playing.insert(seed, now);
            seed
        };
        let plan = Plan { seed, steps: arguments.steps };
        let outcome = if arguments.long { long(plan) } else { run(plan) };
        let mut shared = shared.lock();
        shared.playing.remove(&seed);
        shared.played += 1;
        shared.tally.add(&outcome.tally);
        if arguments.long {
            println!("seed {seed}: {}", outcome.summary);
        }
        if outcome.violation.is_some() {
            tell(arguments, seed, &outcome);
            shared.failed.push(seed);
        }
    }
}

/// Tells of a failure, and how to see it again.
fn tell(arguments: &Arguments, seed: u64, outcome: &Outcome) {
    let Some(violation) = &outcome.violation else { return };
    let long = if arguments.long { " --long" } else { "" };
    println!(
        "\nFAILED seed {seed}: {violation}\nthe last operations:\n  {}\nonce more: \
         cargo xtask sim{long} --first {seed} --seeds 1 --steps {}\n",
        outcome.tail.join("\n  "),
        arguments.steps
    );
}

/// Tells of progress until all is played.
fn watch(shared: &Mutex<Shared>, clock: &dyn Clock, begun: Duration) {
    let mut told = begun;
    loop {
        clock.sleep(POLL);
        let shared = shared.lock();
        if shared.playing.is_empty() && shared.next >= shared.end {
            return;
        }
        let now = clock.monotonic();
        if now.saturating_sub(told) < PROGRESS {
            continue;
        }
        told = now;
        // One that hangs is seen here.
        let oldest = shared.playing.iter().min_by_key(|(_, since)| **since);
        let oldest = oldest.map_or(String::new(), |(seed, since)| {
            format!(", seed {seed} for {:.0} s", now.saturating_sub(*since).as_secs_f64())
        });
        println!(
            "{:>6.0} s: {} seeds, {} failed{oldest}",
            now.saturating_sub(begun).as_secs_f64(),
            shared.played,
            shared.failed.len()
        );
    }
}

fn summary(shared: &Shared, took: Duration) {
    println!("\n{:<18}{:>12}{:>12}", "operation", "tried", "done");
    for (kind, (tried, done)) in &shared.tally.operations {
        println!("{kind:<18}{tried:>12}{done:>12}");
    }
    let of = |kind: &str| shared.tally.operations.get(kind).map_or(0, |(tried, _)| *tried);
    let seconds = took.as_secs_f64();
    println!(
        "\n{} seeds from {}, {} operations, {} power cuts, {} kills, in {seconds:.1} s: \
         {:.1} seeds per second; {} failed {:?}",
        shared.played,
        shared.next.saturating_sub(shared.played),
        shared.tally.total(),
        of("power cut"),
        of("kill"),
        shared.played as f64 / seconds.max(f64::EPSILON),
        shared.failed.len(),
        shared.failed
    );
}
