//! A real guest kernel with its root on a clone, over NBD.

use anyhow::Result;
use archipelago_conformance::guest::{self, Guest};
use archipelago_conformance::program::program;
use archipelago_conformance::site::Site;

/// A store with the guest's image imported from qcow2 as `guest`, and a clone `web`.
fn site() -> Result<Site> {
    let site = Site::new()?;
    let (raw, image) = (site.text("guest.raw"), site.text("guest.qcow2"));
    guest::disk(raw.as_ref())?;
    program("qemu-img")?.args(["convert", "-f", "raw", "-O", "qcow2", &raw, &image]).run()?;
    site.cli.run(&["image", "import", &image, "guest"])?;
    site.cli.run(&["volume", "create", "web", "--from", "image:guest", "--size", "64M"])?;
    Ok(site)
}

#[test]
fn a_guest_boots_from_a_clone_and_its_running_snapshot_boots_in_turn() -> Result<()> {
    let site = site()?;
    let mut web = Guest::boot(site.daemon.nbd(), "web")?;
    assert_eq!(web.hear()?, "boot 1");
    assert_eq!(web.ask("write first")?, "wrote first");
    assert_eq!(web.ask("fill 64")?, "filled");
    site.cli.run(&["snapshot", "create", "web@running"])?;
    assert_eq!(web.ask("write second")?, "wrote second");

    site.cli.run(&["volume", "create", "web2", "--from", "snapshot:web@running"])?;
    let mut web2 = Guest::boot(site.daemon.nbd(), "web2")?;
    assert_eq!(web2.hear()?, "boot 2");
    assert_eq!(web2.ask("read")?, "words first");
    assert_eq!(web2.ask("check")?, "same");
    assert_eq!(web2.ask("write other")?, "wrote other");
    web2.off()?;
    assert_eq!(web.ask("read")?, "words first second");
    assert_eq!(web.ask("check")?, "same");
    web.off()
}

#[test]
fn a_running_guest_goes_on_when_the_daemon_is_killed_and_started_again() -> Result<()> {
    let mut site = site()?;
    let mut web = Guest::boot(site.daemon.nbd(), "web")?;
    assert_eq!(web.hear()?, "boot 1");
    assert_eq!(web.ask("write before")?, "wrote before");
    site.kill_and_restart()?;
    assert_eq!(web.ask("write after")?, "wrote after");
    assert_eq!(web.ask("fill 32")?, "filled");
    site.kill_and_restart()?;
    assert_eq!(web.ask("check")?, "same");
    web.kill();

    // The plug is pulled on the guest and on the daemon: what it synced is there.
    site.kill_and_restart()?;
    let mut web = Guest::boot(site.daemon.nbd(), "web")?;
    assert_eq!(web.hear()?, "boot 2");
    assert_eq!(web.ask("read")?, "words before after");
    web.off()
}
