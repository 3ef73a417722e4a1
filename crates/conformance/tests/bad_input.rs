//! Names, folders and disks that are not as they should be: a clear error each,
//! and what existed is untouched.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use archipelago_conformance::cli::Cli;
use archipelago_conformance::daemon::{Daemon, Options};
use archipelago_conformance::nbd::{Client, Failure, Request};
use archipelago_conformance::place::Place;
use archipelago_conformance::site::{Site, random};
use archipelago_conformance::stamp::Chance;

/// NBD's error for a full disk.
const ENOSPC: u32 = 28;

#[test]
fn unknown_names_are_told_by_name() -> Result<()> {
    let site = Site::new()?;
    let commands: &[&[&str]] = &[
        &["volume", "show", "nobody"],
        &["volume", "rm", "nobody"],
        &["volume", "rename", "nobody", "somebody"],
        &["volume", "resize", "nobody", "1G"],
        &["volume", "create", "v", "--from", "image:nobody"],
        &["volume", "create", "v", "--from", "snapshot:nobody@s"],
        &["snapshot", "create", "nobody@s"],
        &["snapshot", "rollback", "nobody@s"],
        &["image", "show", "nobody"],
        &["file", "stat", "nobody/x"],
    ];
    for command in commands {
        let said = site.cli.fails(command)?;
        assert!(said.contains("nobody"), "{command:?}: {said}");
    }
    Ok(())
}

#[test]
fn hostile_names_are_usage_errors_and_reach_nothing() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    let long = "x".repeat(129);
    let names = [
        "",
        ".",
        "..",
        "../up",
        "a/",
        "/b",
        "a/b/c",
        "a b",
        "a@b",
        "a:b",
        "a\nb",
        "\u{1b}[31m",
        "\u{e9}",
        "%2e",
        &long,
    ];
    for name in names {
        let after_dashes = ["volume", "create", "--size", "1M", "--", name];
        let said = site.cli.refuses(&after_dashes, 2)?;
        assert!(!said.contains('\u{1b}'), "the terminal is the user's: {said:?}");
        site.cli.refuses(&["snapshot", "create", "--", &format!("vol@{name}")], 2)?;
        site.cli.refuses(&["volume", "rename", "vol", "--", name], 2)?;
    }
    // Names of other accounts have one slash, those of snapshots none.
    site.cli.refuses(&["snapshot", "create", "--", "vol@a/b"], 2)?;
    let said = site.cli.refuses(&["volume", "create", "--size", "1M", "--", "nobody/b"], 1)?;
    assert!(said.contains("account 'nobody' does not exist"), "{said}");
    assert_eq!(site.cli.names(&["volume", "ls"])?, ["vol"]);
    Ok(())
}

#[test]
fn impossible_sizes_are_usage_errors() -> Result<()> {
    let site = Site::new()?;
    for size in ["0", "-1", "1", "513", "65T", "1e9", "10X", "99999999999999999999", "nan"] {
        let size = format!("--size={size}");
        site.cli.refuses(&["volume", "create", "v", &size], 2)?;
    }
    assert!(site.cli.names(&["volume", "ls"])?.is_empty());
    Ok(())
}

#[test]
fn a_command_without_a_server_says_which_one_it_looked_for() -> Result<()> {
    let cli = Cli::new(archipelago_conformance::daemon::binary()?, "http://127.0.0.1:9".into());
    let said = cli.fails(&["volume", "ls"])?;
    assert!(said.contains("127.0.0.1:9"), "{said}");
    Ok(())
}

/// Every file of a folder, with its bytes.
fn content(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(content(&path)?);
        } else {
            all.push((path.display().to_string(), fs::read(&path)?));
        }
    }
    all.sort();
    Ok(all)
}

#[test]
fn a_foreign_folder_is_refused_and_not_touched() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("thesis.tex"), "years of work")?;
    let before = content(folder.path())?;
    let said = Options::new(folder.path()).refuses()?;
    assert!(said.contains(&folder.path().display().to_string()), "{said}");
    assert_eq!(content(folder.path())?, before);
    Ok(())
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("data");
    fs::write(&file, "no folder")?;
    Options::new(&file).refuses()?;
    assert_eq!(fs::read(&file)?, b"no folder");
    Ok(())
}

/// Stops a store with one volume, spoils a file, checks that the daemon refuses and touches
/// nothing, mends the file and checks that all is there.
fn refuses_when(name: &str, spoil: impl FnOnce(&mut Vec<u8>), word: &str) -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &[3; 4096])?;
    let site = site.restart_with(|data| {
        let path = data.join(name);
        let good = fs::read(&path).with_context(|| path.display().to_string())?;
        let mut bad = good.clone();
        spoil(&mut bad);
        fs::write(&path, &bad)?;
        let before: Vec<_> = stable(data)?;
        let said = Options::new(data).refuses()?;
        assert!(said.to_lowercase().contains(word), "no word of `{word}`: {said}");
        assert!(stable(data)? == before, "the damaged store was changed");
        Ok(fs::write(&path, good)?)
    })?;
    assert_eq!(site.read("vol", 0, 4096)?, [3; 4096]);
    Ok(())
}

/// All but the lock, which says who tried last, and SQLite's shared memory, which holds nothing.
fn stable(data: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut all = content(data)?;
    all.retain(|(path, _)| !path.contains("LOCK") && !path.ends_with("-shm"));
    Ok(all)
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_not_touched() -> Result<()> {
    // The version is at offset 8: docs/FORMAT.md.
    refuses_when("STORE", |bytes| bytes[8..12].copy_from_slice(&99_u32.to_le_bytes()), "version")
}

#[test]
fn a_store_whose_head_is_damaged_is_refused_and_not_touched() -> Result<()> {
    refuses_when("STORE", |bytes| bytes[40] ^= 1, "store")
}

#[test]
fn a_store_whose_head_is_cut_off_is_refused_and_not_touched() -> Result<()> {
    refuses_when("STORE", |bytes| bytes.truncate(20), "store")
}

#[test]
fn a_store_whose_catalog_is_overwritten_is_refused_and_not_touched() -> Result<()> {
    refuses_when("catalog.sqlite", |bytes| bytes.fill(0x55), "catalog")
}

#[test]
fn a_store_whose_catalog_is_gone_is_refused_and_nothing_is_made_anew() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &[3; 4096])?;
    let site = site.restart_with(|data| {
        let (catalog, aside) = (data.join("catalog.sqlite"), data.join("../aside"));
        fs::rename(&catalog, &aside)?;
        let said = Options::new(data).refuses()?;
        assert!(said.contains("catalog"), "{said}");
        let _ = fs::remove_file(&catalog);
        Ok(fs::rename(&aside, &catalog)?)
    })?;
    assert_eq!(site.read("vol", 0, 4096)?, [3; 4096]);
    Ok(())
}

/// Where a needle is in the segments of a store.
fn find(data: &Path, needle: &[u8]) -> Result<(String, usize)> {
    for (path, bytes) in content(&data.join("pool"))? {
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            return Ok((path, at));
        }
    }
    anyhow::bail!("the data is in no segment as it was written")
}

#[test]
fn a_flipped_bit_in_stored_data_is_an_error_for_its_reader_alone() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    let (good, doomed) = (random(&mut Chance::new(10), 65536), random(&mut Chance::new(11), 65536));
    site.write("vol", 0, &good)?;
    site.write("vol", 1 << 20, &doomed)?;
    let flip = |data: &Path| -> Result<()> {
        let (path, at) = find(data, &doomed[8192..8224])?;
        let mut bytes = fs::read(&path)?;
        bytes[at] ^= 0x10;
        Ok(fs::write(&path, bytes)?)
    };
    let site = site.restart_with(flip)?;
    assert!(site.read("vol", 0, 65536)? == good);
    let mut client = site.open("vol")?;
    let outcome = client.read((1 << 20) + 8192, 4096);
    assert!(matches!(outcome, Err(Failure::Refused(_))), "a wrong byte left the store");
    assert!(client.read(0, 65536)? == good, "the connection lives on");
    Ok(())
}

/// Writes blocks one after the other until the disk is full; returns how many were acknowledged
/// and flushed.
fn fill(client: &mut Client, limit: u64) -> Result<u64> {
    for at in 0..limit {
        let block = random(&mut Chance::new(at), 1 << 20);
        let written = client.all(&[Request::write(at << 20, &block)]).and_then(|()| client.flush());
        match written {
            Ok(()) => {}
            Err(Failure::Refused(code)) => {
                assert_eq!(code, ENOSPC, "block {at}");
                return Ok(at);
            }
            Err(broken) => return Err(broken.into()),
        }
    }
    anyhow::bail!("{limit} MiB went into a smaller disk")
}

fn verify(client: &mut Client, blocks: u64) -> Result<()> {
    for at in 0..blocks {
        let expected = random(&mut Chance::new(at), 1 << 20);
        assert!(client.read(at << 20, 1 << 20)? == expected, "MiB {at} of {blocks} differs");
    }
    Ok(())
}

#[test]
fn a_full_disk_is_told_to_the_client_loses_nothing_and_heals_without_a_restart() -> Result<()> {
    let place = Place::new("200M")?;
    let daemon = Daemon::start(&place.data())?;
    let cli = daemon.cli()?;
    cli.run(&["volume", "create", "vol", "--size", "1G"])?;
    place.occupy(70 << 20)?;
    let mut client = Client::connect(daemon.nbd(), "vol")?;
    let full = fill(&mut client, 1024)?;
    assert!(full > 20, "only {full} MiB went in");
    verify(&mut client, full)?;
    cli.run(&["volume", "ls"])?;
    cli.run(&["df"])?;

    place.free()?;
    let block = random(&mut Chance::new(full), 1 << 20);
    let again = archipelago_conformance::wait_for(std::time::Duration::from_secs(20), || {
        client.all(&[Request::write(full << 20, &block)]).ok()
    });
    again.context("writing does not work again")?;
    client.flush()?;
    cli.run(&["snapshot", "create", "vol@after"])?;
    verify(&mut client, full + 1)?;
    drop(client);
    daemon.stop()?;
    let daemon = Daemon::start(&place.data())?;
    verify(&mut Client::connect(daemon.nbd(), "vol")?, full + 1)
}

#[test]
fn a_store_killed_on_a_full_disk_comes_back_with_all_that_was_flushed() -> Result<()> {
    let place = Place::new("200M")?;
    let mut daemon = Daemon::start(&place.data())?;
    daemon.cli()?.run(&["volume", "create", "vol", "--size", "1G"])?;
    place.occupy(70 << 20)?;
    let full = fill(&mut Client::connect(daemon.nbd(), "vol")?, 1024)?;
    daemon.kill();
    // Still full: what was flushed can be read.
    let mut daemon = Daemon::start(&place.data())?;
    let mut client = Client::connect(daemon.nbd(), "vol")?;
    verify(&mut client, full)?;
    daemon.kill();
    place.free()?;
    let daemon = Daemon::start(&place.data())?;
    let mut client = Client::connect(daemon.nbd(), "vol")?;
    verify(&mut client, full)?;
    client.all(&[Request::write(900 << 20, &[1; 4096])])?;
    client.flush()?;
    Ok(())
}

#[test]
fn an_import_into_a_full_disk_fails_and_leaves_no_image() -> Result<()> {
    let place = Place::new("160M")?;
    let daemon = Daemon::start(&place.data())?;
    let cli = daemon.cli()?;
    let folder = tempfile::tempdir()?;
    let raw = folder.path().join("raw");
    fs::write(&raw, random(&mut Chance::new(1), 200 << 20))?;
    let raw = raw.display().to_string();
    cli.fails(&["image", "import", &raw, "big", "--format", "raw"])?;
    assert!(cli.names(&["image", "ls"])?.is_empty());
    cli.run(&["volume", "ls"])?;
    Ok(())
}

#[test]
fn a_read_only_disk_is_refused_clearly_and_works_once_it_is_writable() -> Result<()> {
    let place = Place::new("200M")?;
    let daemon = Daemon::start(&place.data())?;
    daemon.cli()?.run(&["volume", "create", "vol", "--size", "16M"])?;
    daemon.stop()?;
    place.read_only(true)?;
    let said = Options::new(&place.data()).refuses()?;
    assert!(said.to_lowercase().contains("read-only"), "{said}");
    place.read_only(false)?;
    let daemon = Daemon::start(&place.data())?;
    assert_eq!(daemon.cli()?.names(&["volume", "ls"])?, ["vol"]);
    Ok(())
}
