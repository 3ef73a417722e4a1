//! A second host takes a store over from one that stands still: the log and the segments are in
//! RADOS, the catalog is on PostgreSQL, and the folder of the second host has no more than the few
//! small files that say so. What the first one does when it wakes is refused, at both.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::daemon::Options;
use archipelago_conformance::nbd::{Client, Request};
use archipelago_conformance::peers::ceph::{Ceph, Purpose};
use archipelago_conformance::peers::postgres::Postgres;
use archipelago_conformance::site::{Site, random};
use archipelago_conformance::stamp::Chance;
use archipelago_conformance::wait_for;
use rustix::process::{Pid, Signal, kill_process};

const POOL: &str = "pool";
const BYTES: u32 = 4 << 20;
/// What a standby needs of the folder of the first host: what the store is, where it is, and the
/// key of the secrets.
const KEPT: [&str; 4] = ["STORE", "PLACE", "CATALOG", "secret.key"];
/// The lock in RADOS ends after 10 s; starting takes a few more.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);

fn with(folder: &Path, pool: &str, catalog: &str) -> Result<impl Fn(&Path) -> Options + use<>> {
    let text = format!(
        "[pool]\nurl = \"{pool}\"\n[catalog]\nurl = \"{catalog}\"\n[segments]\nhot = \"1M\"\n\
         cold = \"1M\"\n[checkpoint]\ninterval_ms = 200\n"
    );
    Options::configured(folder, &text)
}

fn signal(id: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process")?;
    Ok(kill_process(pid, signal)?)
}

#[test]
fn a_host_that_wakes_after_another_one_took_over_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(folder.path(), Purpose::Facts)?;
    ceph.make_pool(POOL)?;
    let database = Postgres::start(folder.path())?;
    let pool = format!("rados://{POOL}/one?conf={}", ceph.config().display());
    let catalog = database.url("one");
    let options = with(folder.path(), &pool, &catalog)?;
    let first = Site::with(&options)?;
    first.cli.run(&["volume", "create", "web", "--size", "4M"])?;
    let mut guest = Client::connect(first.daemon.nbd(), "web")?;
    let content = random(&mut Chance::new(7), BYTES as usize);
    for (at, piece) in (0u64..).step_by(1 << 16).zip(content.chunks(1 << 16)) {
        guest.all(&[Request::write(at, piece)])?;
    }
    guest.flush()?;

    let standby = folder.path().join("standby");
    fs::create_dir(&standby)?;
    for name in KEPT {
        fs::copy(first.data().join(name), standby.join(name)).with_context(|| name.to_owned())?;
    }
    let said = options(&standby).refuses()?;
    ensure!(said.contains("stop that one"), "it does not say who has the store: {said}");

    // It stands still, and the server of the catalog has lost sight of it.
    signal(first.daemon.id(), Signal::STOP)?;
    database.ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = 'archipelago'",
    )?;
    let second = wait_for(TAKEN_WITHIN, || options(&standby).start().ok());
    let second = second.context("nobody takes the store over")?;
    let mut taken = Client::connect(second.nbd(), "web")?;
    ensure!(taken.read(0, BYTES)? == content, "a flushed write is missing");
    taken.all(&[Request::write(0, &[2; 4096])])?;
    taken.flush()?;

    signal(first.daemon.id(), Signal::CONT)?;
    let late = guest.all(&[Request::write(4096, &[1; 4096])]).and_then(|()| guest.flush());
    ensure!(late.is_err(), "a late write is acknowledged");
    let late = first.daemon.cli()?.fails(&["volume", "create", "late", "--size", "1M"]);
    ensure!(late.is_ok(), "a late change of names is acknowledged");

    ensure!(taken.read(0, 4096)? == [2; 4096], "what the new host wrote is lost");
    ensure!(taken.read(4096, BYTES - 4096)? == content[4096..], "a late write has arrived");
    let cli = second.cli()?;
    cli.run(&["volume", "create", "more", "--size", "1M"])?;
    ensure!(cli.run(&["volume", "show", "late"]).is_err(), "a late name is there");
    cli.run(&["gc", "--now"])?;
    cli.run(&["check"])?;
    Ok(())
}
