//! S3, Swift, Pithos, NBD and the command line at once, each asked at random what another one has
//! just been told. A longer campaign says how many acts and from which seed:
//!
//! ```text
//! ARCHIPELAGO_DOORS_ACTS=20000 ARCHIPELAGO_DOORS_SEED=7 cargo test -p archipelago-conformance --test all_doors
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::daemon::binary;
use archipelago_conformance::site::Site;
use archipelago_conformance::wire::{DOORS, script};

const PASSWORD: &str = "correct horse";
const ACTS_VARIABLE: &str = "ARCHIPELAGO_DOORS_ACTS";
const SEED_VARIABLE: &str = "ARCHIPELAGO_DOORS_SEED";
const ACTS_DEFAULT: u64 = 2000;
const SEED_DEFAULT: u64 = 1;
/// Far above what an act takes on a machine that does much else.
const ACT_MAX: Duration = Duration::from_secs(1);

fn number(variable: &str, default: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable}={text} is no number")),
        Err(_) => Ok(default),
    }
}

#[test]
fn what_one_door_acknowledged_every_door_shows() -> Result<()> {
    let (acts, seed) = (number(ACTS_VARIABLE, ACTS_DEFAULT)?, number(SEED_VARIABLE, SEED_DEFAULT)?);
    let site = Site::new()?;
    site.cli.command(&["user", "passwd", "admin"]).input(PASSWORD).run()?;
    let limit = Duration::from_secs(60) + ACT_MAX * u32::try_from(acts)?;
    let (binary, seed, acts) =
        (binary()?.display().to_string(), seed.to_string(), acts.to_string());
    let more = [PASSWORD, &binary, site.daemon.nbd(), &seed, &acts];
    script(&site, "admin", DOORS)?.args(more).timeout(limit).run()?;
    let check = site.cli.run(&["check"])?.text();
    ensure!(!check.contains("error"), "{check}");
    let printed = site.daemon.printed();
    let bad = printed.lines().find(|line| line.contains("ERROR"));
    ensure!(bad.is_none(), "the server blames itself: {}", bad.unwrap_or_default());
    site.daemon.stop()
}
