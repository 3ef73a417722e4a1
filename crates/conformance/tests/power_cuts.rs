//! Power cuts on a recorded disk. `cargo xtask power-cuts` makes more of them. Needs root, /dev/fuse and
//! loop devices; says so where they are missing.

use anyhow::{Context, Result, ensure};
use archipelago_conformance::env;
use archipelago_conformance::filesystem::Kind;
use archipelago_conformance::powercut::{
    CUTS_DEFAULT, CUTS_VARIABLE, Campaign, Careless, FS_VARIABLE, SEED_VARIABLE,
};

/// A daemon that syncs no data is caught within so many cuts.
const CAUGHT_WITHIN: u32 = 20;

fn campaign() -> Result<Campaign> {
    let text = |variable| std::env::var(variable).ok();
    let seed = text(SEED_VARIABLE).map(|text| text.parse()).transpose()?.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        env().random().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    let cuts = text(CUTS_VARIABLE).map(|text| text.parse()).transpose()?.unwrap_or(CUTS_DEFAULT);
    let kind = match text(FS_VARIABLE).as_deref() {
        None | Some("ext4") => Kind::Ext4,
        Some("xfs") => Kind::Xfs,
        Some(other) => anyhow::bail!("{FS_VARIABLE}={other}: ext4 or xfs"),
    };
    Ok(Campaign { cuts, seed, kind, careless: None })
}

#[test]
fn nothing_acknowledged_is_lost_at_a_power_cut() -> Result<()> {
    let campaign = campaign()?;
    let begin = env().clock().monotonic();
    let found = campaign.run(|line| println!("{line}"))?;
    let took = env().clock().monotonic() - begin;
    println!(
        "{} power cuts in {} s: {} lost something; {} sectors in flight, {} things judged, slowest \
         start {} ms",
        found.cuts,
        took.as_secs(),
        found.losses.len(),
        found.sectors,
        found.judged,
        found.slowest.as_millis()
    );
    ensure!(found.losses.is_empty(), "{}", found.losses.join("\n"));
    ensure!(found.cuts == campaign.cuts && 0 < found.sectors, "the cuts cut nothing: {found:?}");
    Ok(())
}

#[test]
fn a_daemon_that_syncs_no_data_is_caught() -> Result<()> {
    let careless = Some(Careless::Data);
    let campaign = Campaign { cuts: CAUGHT_WITHIN, careless, ..campaign()? };
    let found = campaign.run(|line| println!("{line}"))?;
    let loss = found.losses.first().context("a careless daemon lost nothing")?;
    println!("caught at cut {}: {loss}", found.cuts);
    Ok(())
}
