//! A file system on a volume: made, filled, trimmed, checked, through a restart
//! and through kill -9. The way is NBD -> nbdfuse -> loop device -> mount.

use anyhow::Result;
use archipelago_conformance::filesystem::{Disk, Kind, fill, verify};
use archipelago_conformance::site::Site;

const FILES: u64 = 150;

fn lives_through_restarts_and_trim(kind: Kind) -> Result<()> {
    let site = Site::with_volume("disk", "512M")?;
    let mut disk = Disk::attach(&site.daemon.socket_uri("disk"))?;
    disk.make(kind)?;
    let place = disk.mount("noatime")?;
    fill(&place, FILES)?;
    let snapshot = "disk@filled";
    site.cli.run(&["snapshot", "create", snapshot])?;
    std::fs::remove_dir_all(place.join("d0"))?;
    assert!(disk.trim()? > 0);
    disk.unmount()?;
    disk.check(kind)?;
    disk.detach()?;

    let site = site.restart()?;
    site.cli.run(&["volume", "create", "old", "--from", "snapshot:disk@filled"])?;
    let mut disk = Disk::attach(&site.daemon.socket_uri("disk"))?;
    disk.check(kind)?;
    let place = disk.mount("ro")?;
    assert!(!place.join("d0").exists());
    assert!(place.join("d1/f1").exists());
    disk.unmount()?;
    disk.detach()?;

    // The snapshot was taken while mounted and synced: its journal makes it whole.
    let mut disk = Disk::attach(&site.daemon.socket_uri("old"))?;
    let place = disk.mount(if kind == Kind::Xfs { "nouuid" } else { "noatime" })?;
    verify(&place, FILES)?;
    disk.unmount()?;
    disk.check(kind)?;
    disk.detach()
}

#[test]
fn an_ext4_file_system_lives_through_restarts_and_its_trim_arrives() -> Result<()> {
    lives_through_restarts_and_trim(Kind::Ext4)
}

#[test]
fn an_xfs_file_system_lives_through_restarts_and_its_trim_arrives() -> Result<()> {
    lives_through_restarts_and_trim(Kind::Xfs)
}

fn synced_files_survive_kill_9(kind: Kind) -> Result<()> {
    let mut site = Site::with_volume("disk", "512M")?;
    {
        let mut disk = Disk::attach(&site.daemon.socket_uri("disk"))?;
        disk.make(kind)?;
        let place = disk.mount("noatime")?;
        fill(&place, FILES)?;
        // Not synced: may be there or not, but must not hurt.
        std::fs::write(place.join("late"), vec![1; 1 << 20])?;
        site.daemon.kill();
        // Dropped while its server is gone, as a machine that loses its disk.
    }
    site.kill_and_restart()?;
    let mut disk = Disk::attach(&site.daemon.socket_uri("disk"))?;
    let place = disk.mount("noatime")?;
    verify(&place, FILES)?;
    disk.unmount()?;
    disk.check(kind)?;
    disk.detach()
}

#[test]
fn synced_files_of_an_ext4_file_system_survive_kill_9() -> Result<()> {
    synced_files_survive_kill_9(Kind::Ext4)
}

#[test]
fn synced_files_of_an_xfs_file_system_survive_kill_9() -> Result<()> {
    synced_files_survive_kill_9(Kind::Xfs)
}
