//! The daemon with its catalog on a server of PostgreSQL: guests, objects, snapshots and clones,
//! `kill -9` of the daemon, and a server that ends and comes back under load.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::cli::Cli;
use archipelago_conformance::crash::{ROUNDS_VARIABLE, campaign_in};
use archipelago_conformance::daemon::{Options, offline};
use archipelago_conformance::nbd::{Client, Request};
use archipelago_conformance::peers::postgres::Postgres;
use archipelago_conformance::program::Program;
use archipelago_conformance::site::{Site, random, sparse_file};
use archipelago_conformance::stamp::Chance;
use archipelago_conformance::{env, wait_for};

/// In the suite.
const KILLS: u32 = 4;
const DISK_BYTES: u32 = 6 << 20;
/// How often the server ends while volumes are made.
const ENDS: u32 = 3;
/// A service that does nothing after this, though the server is back, does nothing by itself.
const RESUMES_WITHIN: Duration = Duration::from_secs(60);

fn with_catalog(folder: &Path, url: &str) -> Result<impl Fn(&Path) -> Options + use<>> {
    let text = format!(
        "[catalog]\nurl = \"{url}\"\n[segments]\nhot = \"1M\"\ncold = \"1M\"\n\
         [checkpoint]\ninterval_ms = 200\n[collector]\ninterval_ms = 200\ngrace_ms = 50\n"
    );
    Options::configured(folder, &text)
}

/// What is in the store, by name.
fn contents(site: &Site) -> Result<Vec<[u8; 32]>> {
    let all = ["image:base", "v", "c", "v@s", "file:files/one"];
    all.iter()
        .map(|name| {
            let len = u32::try_from(site.open(name)?.size())?;
            Ok(*blake3::hash(&site.read(name, 0, len)?).as_bytes())
        })
        .collect()
}

#[test]
fn a_store_with_its_catalog_on_a_server_keeps_what_it_acknowledged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(folder.path())?;
    let url = server.url("one");
    let mut site = Site::with(&with_catalog(folder.path(), &url)?)?;
    sparse_file(&site.path("disk.raw"), u64::from(DISK_BYTES), 1)?;
    site.cli.run(&["image", "import", &site.text("disk.raw"), "base"])?;
    site.cli.run(&["file", "put", &site.text("disk.raw"), "files/one"])?;
    site.cli.run(&["volume", "create", "v", "--from", "image:base"])?;
    let mut guest = Client::connect(site.daemon.nbd(), "v")?;
    for n in 0..300 {
        let bytes = random(&mut Chance::new(n), 32 << 10);
        guest.all(&[Request::write(n * 7 % 180 * (32 << 10), &bytes)])?;
    }
    guest.flush()?;
    drop(guest);
    site.cli.run(&["snapshot", "create", "v@s"])?;
    site.cli.run(&["volume", "create", "c", "--from", "volume:v"])?;
    site.write("c", 4096, &[7; 4096])?;
    ensure!(!site.data().join("catalog.sqlite").exists(), "there is a file, too");
    ensure!(server.ask("SELECT count(*) FROM one.volume")? == "2", "the catalog is elsewhere");
    let before = contents(&site)?;

    // It knows its catalog without being told, and has it at once.
    site.kill_and_restart()?;
    ensure!(contents(&site)? == before, "something differs after the kill");
    site.cli.run(&["gc", "--now"])?;
    site.cli.run(&["check"])?;
    second_is_told(&site, &url)?;

    site.daemon.kill();
    server.ask("DROP SCHEMA one CASCADE")?;
    let said = offline(&["check"], &site.data())?.fails()?;
    ensure!(said.contains("rebuild"), "it says: {said}");
    offline(&["rebuild"], &site.data())?.run()?;
    offline(&["check"], &site.data())?.run().context("after the rebuild")?;
    site.daemon = Options::new(&site.data()).like(&site.daemon).start()?;
    ensure!(contents(&site)? == before, "something differs after the rebuild");
    site.daemon.kill();
    let said = with_catalog(folder.path(), &server.url("two"))?(&site.data()).refuses()?;
    ensure!(said.contains("a store keeps its catalog"), "it says: {said}");
    Ok(())
}

/// A copy of the folder on another host is refused while the first one works.
fn second_is_told(site: &Site, url: &str) -> Result<()> {
    let copy = site.path("copy");
    let from = site.data().display().to_string();
    Program::at(Path::new("/bin/cp")).args(["-r", &from, &copy.display().to_string()]).run()?;
    let said = Options::new(&copy).refuses()?;
    ensure!(said.contains("in use") && said.contains(&from), "it says: {said}");
    // The first one does not mind.
    site.cli.run(&["volume", "create", "d", "--size", "1M"])?;
    site.cli.run(&["volume", "rm", "d"])?;
    let fresh = tempfile::tempdir()?;
    let said = with_catalog(fresh.path(), url)?(&fresh.path().join("data")).refuses()?;
    ensure!(said.contains("has tables already"), "it says: {said}");
    Ok(())
}

/// Makes volumes until it is told to stop; those that were acknowledged, and those of which
/// nobody said.
fn make(cli: &Cli, who: u32, stop: &AtomicBool) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut made, mut unsaid) = (BTreeSet::new(), BTreeSet::new());
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("w{who}-{n}");
        let output = cli.command(&["volume", "create", &name, "--size", "1M"]).output()?;
        match output.status.success() {
            true => made.insert(name),
            false => unsaid.insert(name),
        };
    }
    Ok((made, unsaid))
}

#[test]
fn a_server_that_ends_under_load_loses_nothing_and_the_service_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Postgres::start(folder.path())?;
    let site = Site::with(&with_catalog(folder.path(), &server.url("load"))?)?;
    site.cli.run(&["volume", "create", "guest", "--size", "8M"])?;
    let stop = AtomicBool::new(false);
    let rounds = std::thread::scope(|scope| -> Result<_> {
        let makers: Vec<_> = (0..3u32)
            .map(|who| {
                let (cli, stop) = (&site.cli, &stop);
                scope.spawn(move || make(cli, who, stop))
            })
            .collect();
        let mut end_and_go_on = || -> Result<()> {
            let mut guest = site.open("guest")?;
            for round in 0..ENDS {
                env().clock().sleep(Duration::from_millis(500));
                server.stop(round % 2 == 0)?;
                // Guests go on: what they write needs no catalog.
                let at = u64::from(round) << 20;
                guest.all(&[Request::write(at, &random(&mut Chance::new(at), 1 << 20))])?;
                guest.flush()?;
                env().clock().sleep(Duration::from_millis(300));
                server.go_on()?;
                let mut tries = 0;
                let again = wait_for(RESUMES_WITHIN, || {
                    tries += 1;
                    let name = format!("after-{round}-{tries}");
                    site.cli.run(&["volume", "create", &name, "--size", "1M"]).ok()
                });
                ensure!(again.is_some(), "the service does not go on: {}", site.daemon.printed());
            }
            Ok(())
        };
        let ended = end_and_go_on();
        stop.store(true, Ordering::Relaxed);
        let made: Result<Vec<_>> = makers
            .into_iter()
            .map(|maker| maker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked"))))
            .collect();
        ended.and(made)
    })?;
    let there: BTreeSet<String> = site.cli.names(&["volume", "ls"])?.into_iter().collect();
    let mut known = BTreeSet::new();
    for (made, unsaid) in rounds {
        let lost: Vec<_> = made.difference(&there).collect();
        ensure!(lost.is_empty(), "acknowledged and gone: {lost:?}");
        println!("{} made, {} not acknowledged", made.len(), unsaid.len());
        known.extend(made);
        known.extend(unsaid);
    }
    let ours = |name: &&String| name.starts_with("after-") || *name == "guest";
    let strange: Vec<_> = there.difference(&known).filter(|name| !ours(name)).collect();
    ensure!(strange.is_empty(), "nobody made {strange:?}");
    for round in 0..ENDS {
        let at = u64::from(round) << 20;
        let expected = random(&mut Chance::new(at), 1 << 20);
        ensure!(site.read("guest", at, 1 << 20)? == expected, "the guest's data differ");
    }
    site.cli.run(&["check"])?;
    Ok(())
}

#[test]
fn kills_of_the_daemon_lose_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Postgres::start(folder.path())?;
    let mut bytes = [0; 8];
    env().random().fill(&mut bytes);
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().and_then(|text| text.parse().ok());
    let place = |round: u32| Some(server.url(&format!("crash_{round}")));
    campaign_in(&place, rounds.unwrap_or(KILLS), u64::from_le_bytes(bytes), |line| {
        println!("{line}")
    })
}
