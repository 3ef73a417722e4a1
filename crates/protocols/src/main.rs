//! Searches larger than the tests do:
//!
//! ```text
//! cargo run -p archipelago-protocols --release -- collection ingests --hosts 2 --marks 3
//! ```

use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use archipelago_env::Env;
use archipelago_protocols::collection::{self, Round, Stamp};
use archipelago_protocols::lease;
use archipelago_protocols::search::{Outcome, every_state};

const HELP: &str = "usage: archipelago-protocols MODEL SCENARIO [--OPTION VALUE ...]

  collection ingests | readers | checkpoints | compaction | carriers | merges | everything
      --hosts N  --ids N  --marks N  --collectors N  --names N  --crashes N  --rescues N
      --binders N  --round memory|answers  --stamp shared|recorded|named  --bug NAME
  lease small
      --hosts N  --writes N  --epochs N  --ticks N  --crashes N  --bug NAME
  --threads N for any. Exit status 1: something that must hold does not.";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error:#}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[String]) -> Result<bool> {
    let [model, scenario, options @ ..] = words else { bail!("a model and a scenario are needed") };
    let (pairs, rest) = options.as_chunks::<2>();
    if let [odd] = rest {
        bail!("'{odd}' has no value");
    }
    let find = |name: &str| pairs.iter().rev().find(|[key, _]| key == name).map(|[_, value]| value);
    let threads = find("--threads").map_or(Ok(NonZeroUsize::MIN), |n| n.parse())?;
    let hosts = find("--hosts").map_or(Ok(1), |n| n.parse())?;
    let env = Env::real();
    let start = env.clock().monotonic();
    let outcome = match model.as_str() {
        "collection" => {
            let mut config = collection::Config::named(scenario, hosts)
                .with_context(|| format!("there is no scenario '{scenario}'"))?;
            for [key, value] in pairs {
                set_collection(&mut config, key, value)
                    .with_context(|| format!("{key} {value} is refused"))?;
            }
            println!("{config:?}");
            every_state(config, threads)
        }
        "lease" => {
            let mut config = lease::Config::small(hosts);
            for [key, value] in pairs {
                set_lease(&mut config, key, value)
                    .with_context(|| format!("{key} {value} is refused"))?;
            }
            println!("{config:?}");
            every_state(config, threads)
        }
        _ => bail!("there is no model '{model}'"),
    };
    report(&outcome);
    println!("{:.1} s", (env.clock().monotonic() - start).as_secs_f64());
    Ok(outcome.good())
}

fn report(outcome: &Outcome) {
    for broken in &outcome.broken {
        println!("BROKEN: {}", broken.property);
        broken.trace.iter().for_each(|step| println!("    {step}"));
    }
    for never in &outcome.never {
        println!("NEVER: {never}");
    }
    println!("{} states, {} steps, depth {}", outcome.states, outcome.steps, outcome.depth);
}

fn set_collection(config: &mut collection::Config, key: &str, value: &str) -> Result<()> {
    match key {
        "--hosts" | "--threads" => {}
        "--ids" => config.ids = value.parse()?,
        "--marks" => config.marks = value.parse()?,
        "--collectors" => config.collectors = value.parse()?,
        "--names" => config.names = value.parse()?,
        "--crashes" => config.crashes = value.parse()?,
        "--rescues" => config.rescues = value.parse()?,
        "--binders" => config.binders = value.parse()?,
        "--round" => config.round = one_of(value, &[Round::Memory, Round::Answers])?,
        "--stamp" => config.stamp = one_of(value, &[Stamp::Shared, Stamp::Recorded, Stamp::Named])?,
        "--bug" => config.bug = Some(one_of(value, collection::Bug::ALL)?),
        _ => bail!("there is no such option"),
    }
    Ok(())
}

fn set_lease(config: &mut lease::Config, key: &str, value: &str) -> Result<()> {
    match key {
        "--hosts" | "--threads" => {}
        "--writes" => config.writes = value.parse()?,
        "--epochs" => config.epochs = value.parse()?,
        "--ticks" => config.ticks = value.parse()?,
        "--crashes" => config.crashes = value.parse()?,
        "--bug" => config.bug = Some(one_of(value, lease::Bug::ALL)?),
        _ => bail!("there is no such option"),
    }
    Ok(())
}

/// The value whose name in the code is `word`, whatever the case.
fn one_of<T: Copy + std::fmt::Debug>(word: &str, all: &[T]) -> Result<T> {
    let found = all.iter().find(|value| format!("{value:?}").eq_ignore_ascii_case(word));
    found.copied().with_context(|| format!("it is one of {all:?}"))
}
