//! Snapshots: cuts under load, rollback, differences, and their way to another
//! store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use archipelago_conformance::env;
use archipelago_conformance::nbd::Request;
use archipelago_conformance::site::{Site, random};
use archipelago_conformance::stamp::Chance;
use serde_json::json;

/// Its blocks are written in turn, for ever, each write after the one before was acknowledged.
const BLOCKS: u64 = 64;

fn numbered(number: u64) -> [u8; 4096] {
    let mut block = [0; 4096];
    block.as_chunks_mut::<8>().0.fill(number.to_le_bytes());
    block
}

fn number(block: &[u8]) -> u64 {
    block.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

/// The numbers that [`BLOCKS`] blocks hold; no block is torn.
fn numbers(site: &Site, export: &str) -> Result<Vec<u64>> {
    let data = site.read(export, 0, BLOCKS as u32 * 4096)?;
    let blocks = data.chunks(4096);
    assert!(blocks.clone().all(|block| block == numbered(number(block))), "a block is torn");
    Ok(blocks.map(number).collect())
}

/// Section 7, item 6: write n goes to block n modulo [`BLOCKS`], so that a prefix of all writes is
/// a run of consecutive numbers.
fn assert_prefix(numbers: &[u64]) {
    let last = numbers.iter().copied().max().unwrap_or(0);
    for (at, number) in numbers.iter().enumerate() {
        let back = (last + BLOCKS - at as u64) % BLOCKS;
        let expected = last.saturating_sub(back);
        assert_eq!(*number, expected, "block {at} of a cut at write {last}");
    }
}

#[test]
fn a_snapshot_under_load_is_a_prefix_of_the_writes() -> Result<()> {
    let mut site = Site::with_volume("vol", "16M")?;
    let stop = AtomicBool::new(false);
    let mut client = site.open("vol")?;
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            // Block 0 gets number BLOCKS first, so that 0 always means "not yet written".
            for at in BLOCKS.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let offset = at % BLOCKS * 4096;
                client.all(&[Request::write(offset, &numbered(at))]).unwrap();
            }
        });
        let mut outcome = Ok(());
        for at in 0..20 {
            env().clock().sleep(Duration::from_millis(10));
            outcome =
                outcome.and(site.cli.run(&["snapshot", "create", &format!("vol@s{at}")]).map(drop));
        }
        stop.store(true, Ordering::Relaxed);
        outcome
    })?;
    site.kill_and_restart()?;
    for at in 0..20 {
        let numbers = numbers(&site, &format!("vol@s{at}"))?;
        if numbers.iter().all(|number| *number >= BLOCKS) {
            assert_prefix(&numbers);
        }
    }
    Ok(())
}

#[test]
fn snapshots_of_several_volumes_are_one_cut() -> Result<()> {
    let site = Site::with_volume("one", "16M")?;
    site.cli.run(&["volume", "create", "two", "--size", "16M"])?;
    let stop = AtomicBool::new(false);
    let (mut one, mut two) = (site.open("one")?, site.open("two")?);
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            for at in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                one.all(&[Request::write(0, &numbered(at))]).unwrap();
                two.all(&[Request::write(0, &numbered(at))]).unwrap();
            }
        });
        let mut outcome = Ok(());
        for at in 0..20 {
            env().clock().sleep(Duration::from_millis(5));
            let names = [format!("one@s{at}"), format!("two@s{at}")];
            let made = site.cli.run(&["snapshot", "create", &names[0], &names[1]]);
            outcome = outcome.and(made.map(drop));
        }
        stop.store(true, Ordering::Relaxed);
        outcome
    })?;
    for at in 0..20 {
        let first = number(&site.read(&format!("one@s{at}"), 0, 4096)?);
        let second = number(&site.read(&format!("two@s{at}"), 0, 4096)?);
        // `two` is written after `one` was acknowledged.
        assert!(second <= first && first <= second + 1, "cut {at}: {first} and {second}");
    }
    Ok(())
}

#[test]
fn a_group_with_one_bad_member_makes_no_snapshot() -> Result<()> {
    let site = Site::with_volume("one", "16M")?;
    site.cli.fails(&["snapshot", "create", "one@s", "nobody@s"])?;
    assert!(site.cli.names(&["snapshot", "ls"])?.is_empty());
    Ok(())
}

#[test]
fn a_rollback_brings_back_the_bytes_and_keeps_the_snapshots() -> Result<()> {
    let mut site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &[1; 8192])?;
    site.cli.run(&["snapshot", "create", "vol@one"])?;
    site.write("vol", 4096, &[2; 8192])?;
    site.cli.run(&["snapshot", "create", "vol@two"])?;
    site.cli.run(&["snapshot", "rollback", "vol@one"])?;
    let expected = [[1; 4096], [1; 4096], [0; 4096]].concat();
    assert_eq!(site.read("vol", 0, 12288)?, expected);
    site.kill_and_restart()?;
    assert_eq!(site.read("vol", 0, 12288)?, expected);
    assert_eq!(site.read("vol@two", 4096, 8192)?, [2; 8192]);
    Ok(())
}

#[test]
fn a_difference_names_the_bytes_that_changed() -> Result<()> {
    let site = Site::with_volume("vol", "1T")?;
    site.write("vol", 0, &[1; 1 << 20])?;
    site.cli.run(&["snapshot", "create", "vol@a"])?;
    site.write("vol", 4096, &[2; 4096])?;
    site.write("vol", 1 << 39, &[3; 8192])?;
    site.cli.run(&["snapshot", "create", "vol@b"])?;
    let diff = site.cli.json(&["snapshot", "diff", "vol@a", "vol@b"])?;
    let ranges = json!([
        {"offset": 4096, "len": 4096, "zero": false},
        {"offset": 1_u64 << 39, "len": 8192, "zero": false},
    ]);
    assert_eq!(diff["ranges"], ranges);
    let same = site.cli.json(&["snapshot", "diff", "vol@a", "vol@a"])?;
    assert_eq!(same["ranges"], json!([]));
    Ok(())
}

#[test]
fn a_sent_snapshot_and_its_increment_are_the_same_in_another_store() -> Result<()> {
    let (from, to) = (Site::with_volume("vol", "32M")?, Site::new()?);
    let mut chance = Chance::new(3);
    from.write("vol", 1 << 20, &random(&mut chance, 4 << 20))?;
    from.cli.run(&["snapshot", "create", "vol@a"])?;
    from.write("vol", 2 << 20, &random(&mut chance, 1 << 20))?;
    from.cli.run(&["snapshot", "create", "vol@b"])?;
    let (full, more) = (from.text("full"), from.text("more"));
    from.cli.run(&["snapshot", "send", "vol@a", "-o", &full])?;
    from.cli.run(&["snapshot", "send", "vol@b", "--since", "a", "-o", &more])?;
    assert!(std::fs::metadata(&more)?.len() < 2 << 20, "an increment holds what changed");

    to.cli.fails(&["snapshot", "receive", "vol@b", &more])?;
    to.cli.run(&["snapshot", "receive", "vol@a", &full])?;
    to.cli.run(&["snapshot", "receive", "vol@b", &more])?;
    for export in ["vol@a", "vol@b", "vol"] {
        let bytes = |site: &Site| site.read(export, 0, 32 << 20);
        assert!(bytes(&from)? == bytes(&to)?, "{export} differs");
    }
    Ok(())
}

#[test]
fn a_cut_or_damaged_stream_is_refused_and_leaves_nothing() -> Result<()> {
    let (from, to) = (Site::with_volume("vol", "16M")?, Site::new()?);
    from.write("vol", 0, &random(&mut Chance::new(4), 2 << 20))?;
    from.cli.run(&["snapshot", "create", "vol@a"])?;
    let path = from.text("full");
    from.cli.run(&["snapshot", "send", "vol@a", "-o", &path])?;
    let whole = std::fs::read(&path)?;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for bad in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &whole[..10], &flipped, b""] {
        std::fs::write(&path, bad)?;
        to.cli.fails(&["snapshot", "receive", "vol@a", &path])?;
        assert!(to.cli.names(&["volume", "ls"])?.is_empty(), "half a volume stayed");
    }
    std::fs::write(&path, &whole)?;
    to.cli.run(&["snapshot", "receive", "vol@a", &path])?;
    Ok(())
}
