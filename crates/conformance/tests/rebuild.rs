//! A store whose catalog is lost is made anew from its pool.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::daemon::{Options, binary};
use archipelago_conformance::site::{Site, random, sparse_file};
use archipelago_conformance::stamp::Chance;

/// Volumes of the store; `REBUILD_VOLUMES=1000` for the figure of docs/TESTING.md.
fn volumes() -> u64 {
    std::env::var("REBUILD_VOLUMES").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

fn lose_catalog(data: &Path) -> Result<()> {
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        match std::fs::remove_file(data.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn a_store_without_a_catalog_comes_back_to_the_byte() -> Result<()> {
    let mut site = Site::new()?;
    let cli = site.daemon.cli()?;
    sparse_file(&site.path("disk.raw"), 8 << 20, 1)?;
    cli.run(&["image", "import", &site.text("disk.raw"), "base"])?;
    let names: Vec<String> = (0..volumes()).map(|n| format!("v{n}")).collect();
    for batch in names.chunks(500) {
        let mut create = vec!["volume", "create"];
        create.extend(batch.iter().map(String::as_str));
        create.extend(["--from", "image:base"]);
        cli.run(&create)?;
    }
    let block = |n: u64| random(&mut Chance::new(n), 4096);
    for (n, name) in (0u64..).zip(&names) {
        site.write(name, n % 500 * 4096, &block(n))?;
    }
    cli.run(&["snapshot", "create", "v0@kept"])?;
    // A collection dumps the catalog; what comes after it only the log has.
    cli.run(&["gc", "--now"])?;
    for (n, name) in (0u64..).zip(&names) {
        site.write(name, (n + 7) % 500 * 4096, &block(n + 10_000))?;
    }
    let before = contents(&site, &names)?;
    site.daemon.kill();
    lose_catalog(&site.data())?;
    rebuild(&site.data())?;
    site.daemon = Options::new(&site.data()).like(&site.daemon).start()?;
    ensure!(contents(&site, &names)? == before, "something differs after the rebuild");
    site.daemon.cli()?.run(&["check"]).context("after the rebuild")?;
    site.kill_and_restart()?;
    site.daemon.cli()?.run(&["gc", "--now"])?;
    ensure!(contents(&site, &names)? == before, "something differs after a collection");
    Ok(())
}

fn rebuild(data: &Path) -> Result<()> {
    let output = std::process::Command::new(binary()?)
        .args(["rebuild", "--json", "--data"])
        .arg(data)
        .output()?;
    ensure!(output.status.success(), "rebuild: {}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["volumes"] == volumes(), "{report}");
    Ok(())
}

/// A hash of each export.
fn contents(site: &Site, names: &[String]) -> Result<Vec<[u8; 32]>> {
    let more = ["v0@kept".to_owned(), "image:base".to_owned()];
    let all = names.iter().chain(&more);
    all.map(|name| Ok(*blake3::hash(&site.read(name, 0, 8 << 20)?).as_bytes())).collect()
}
