//! Files that are disk images, made by QEMU and put by other people's programs, are disks at
//! once; nothing is copied.

use std::fs;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::program::{Program, program};
use archipelago_conformance::site::{Site, same, sparse_file};

const DISK_BYTES: u64 = 64 << 20;

/// What making a view may take: nodes of a map, a copy of the catalog, segments rounded up.
const VIEW_BYTES_MAX: u64 = 4 << 20;

fn convert(site: &Site, to: &str, arguments: &[&str]) -> Result<()> {
    let (from, to) = (site.text("disk.raw"), site.text(to));
    let words = [&["convert", "-f", "raw"], arguments, &[from.as_str(), to.as_str()]].concat();
    program("qemu-img")?.args(words).run().map(drop)
}

/// The program of AWS, as the administrator.
fn aws(site: &Site) -> Result<Program> {
    site.aws(&site.access_key("admin")?)
}

/// A site with a disk of random bytes and holes, and the bucket `images`.
fn site() -> Result<Site> {
    let site = Site::new()?;
    sparse_file(&site.path("disk.raw"), DISK_BYTES, 7)?;
    aws(&site)?.args(["s3", "mb", "s3://images"]).run()?;
    Ok(site)
}

fn put(site: &Site, name: &str) -> Result<()> {
    let to = format!("s3://images/{name}");
    aws(site)?.args(["s3", "cp", &site.text(name), &to]).run().map(drop)
}

/// Clones the image file, and compares what a guest reads.
fn clone_and_compare(site: &Site, name: &str, volume: &str) -> Result<()> {
    let source = format!("file:images/{name}");
    site.cli.run(&["volume", "create", volume, "--from", &source])?;
    same(("raw", &site.text("disk.raw")), ("raw", &site.daemon.socket_uri(volume)))
}

#[test]
fn images_whose_clusters_are_stored_as_they_are_become_disks_without_a_copy() -> Result<()> {
    let site = site()?;
    let cases: [(&str, &str, &[&str]); 6] = [
        ("a.qcow2", "a", &["-O", "qcow2"]),
        ("b.qcow2", "b", &["-O", "qcow2", "-o", "compat=0.10,cluster_size=4k"]),
        ("c.qcow2", "c", &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k"]),
        ("d.vmdk", "d", &["-O", "vmdk"]),
        ("e.vhdx", "e", &["-O", "vhdx"]),
        ("f.vdi", "f", &["-O", "vdi"]),
    ];
    for (name, volume, arguments) in cases {
        convert(&site, name, arguments).context(name)?;
        put(&site, name).context(name)?;
        let before = site.cli.figure("physical")?;
        clone_and_compare(&site, name, volume).context(name)?;
        let grown = site.cli.figure("physical")?.saturating_sub(before);
        ensure!(grown < VIEW_BYTES_MAX, "{name}: the clone took {grown} bytes");
    }
    let check = site.cli.run(&["check"])?;
    ensure!(!check.text().contains("error"), "{}", check.text());
    Ok(())
}

#[test]
fn packed_images_are_unpacked_once() -> Result<()> {
    let site = site()?;
    let cases: [(&str, &str, &[&str]); 3] = [
        ("a.qcow2", "a", &["-c", "-O", "qcow2"]),
        ("b.qcow2", "b", &["-c", "-O", "qcow2", "-o", "compression_type=zstd"]),
        ("c.vmdk", "c", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
    ];
    for (name, volume, arguments) in cases {
        convert(&site, name, arguments).context(name)?;
        put(&site, name).context(name)?;
        clone_and_compare(&site, name, volume).context(name)?;
        let again = format!("{volume}2");
        clone_and_compare(&site, name, &again).context(name)?;
    }
    Ok(())
}

#[test]
fn an_image_is_listed_and_exported_as_a_disk_and_read_as_a_file() -> Result<()> {
    let site = site()?;
    convert(&site, "a.qcow2", &["-O", "qcow2"])?;
    put(&site, "a.qcow2")?;
    let (out, back) = (site.text("out.raw"), site.text("back.qcow2"));
    site.cli.run(&["image", "export", "file:images/a.qcow2", &out])?;
    ensure!(fs::read(&out)? == fs::read(site.path("disk.raw"))?, "the disk reads otherwise");
    site.cli.run(&["file", "get", "images/a.qcow2", &back])?;
    ensure!(fs::read(&back)? == fs::read(site.path("a.qcow2"))?, "the file reads otherwise");
    let listed = site.cli.json(&["image", "ls"])?;
    let file = &listed["recognised"][0];
    ensure!(file["source"] == "file:images/a.qcow2", "{listed}");
    ensure!(file["disk"]["size"] == DISK_BYTES && file["disk"]["state"] == "ready", "{listed}");
    let stat = site.cli.json(&["file", "stat", "images/a.qcow2"])?;
    ensure!(stat["disk"]["format"] == "qcow2", "{stat}");
    Ok(())
}

#[test]
fn a_file_on_top_of_another_is_refused_as_a_disk_with_the_reason() -> Result<()> {
    let site = site()?;
    convert(&site, "base.qcow2", &["-O", "qcow2"])?;
    let (base, top) = (site.text("base.qcow2"), site.text("top.qcow2"));
    let words = ["create", "-f", "qcow2", "-b", &base, "-F", "qcow2", &top];
    program("qemu-img")?.args(words).run()?;
    put(&site, "top.qcow2")?;
    let said = site.cli.fails(&["volume", "create", "x", "--from", "file:images/top.qcow2"])?;
    ensure!(said.contains("backing file") && said.contains("--raw"), "{said}");
    site.cli.run(&["volume", "create", "x", "--from", "file:images/top.qcow2", "--raw"])?;
    Ok(())
}
