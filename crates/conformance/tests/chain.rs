//! The whole way of an image, by other people's programs: put as a file, cloned a hundred times,
//! written by its guests, kept as a snapshot that is a file, cloned again, shared, removed. Every
//! byte is compared at every step, and what it takes on the disk is looked at.

use std::fs;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::nbd::Request;
use archipelago_conformance::program::{Program, program};
use archipelago_conformance::site::{AccessKey, Site, random, same, sparse_file};
use archipelago_conformance::stamp::Chance;
use serde_json::json;

const PASSWORD: &str = "correct horse";
const DISK_BYTES: usize = 8 << 20;
const CLONES: usize = 100;
/// What each guest writes, at a place of its own.
const WRITTEN_BYTES: usize = 48 << 10;
/// What a hundred clones, or the same file once more, may take: nodes of maps, copies of the
/// catalog, segments rounded up.
const SHARED_BYTES_MAX: u64 = 4 << 20;
/// What a store from which everything was removed may keep.
const EMPTY_BYTES_MAX: u64 = 2 << 20;

/// A store with an image that was put as a file.
struct Chain {
    site: Site,
    key: AccessKey,
    /// What a guest sees of the image.
    disk: Vec<u8>,
}

fn clone_name(index: usize) -> String {
    format!("clone{index:03}")
}

/// What a guest writes, and where: not at sectors, and not where the next one does.
fn written(index: usize) -> (usize, Vec<u8>) {
    let at = (index * 77_777 + 333) % (DISK_BYTES - WRITTEN_BYTES);
    (at, random(&mut Chance::new(1000 + index as u64), WRITTEN_BYTES))
}

impl Chain {
    fn new() -> Result<Self> {
        let site = Site::new()?;
        site.cli.command(&["user", "passwd", "admin"]).input(PASSWORD).run()?;
        let key = site.access_key("admin")?;
        let (raw, image) = (site.text("disk.raw"), site.text("disk.qcow2"));
        sparse_file(&site.path("disk.raw"), DISK_BYTES as u64, 5)?;
        program("qemu-img")?.args(["convert", "-f", "raw", "-O", "qcow2", &raw, &image]).run()?;
        let chain = Self { disk: fs::read(&raw)?, site, key };
        chain.aws(&["s3", "mb", "s3://images"])?;
        chain.aws(&["s3", "cp", &image, "s3://images/disk.qcow2"])?;
        Ok(chain)
    }

    fn aws(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.site.aws(&self.key)?.args(arguments).run()?.text())
    }

    /// Runs what may take no more than the names of it.
    fn shares(&self, what: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = self.site.cli.figure("physical")?;
        act().with_context(|| what.to_owned())?;
        let grown = self.site.cli.figure("physical")?.saturating_sub(before);
        ensure!(grown < SHARED_BYTES_MAX, "{what} took {grown} bytes");
        Ok(())
    }

    /// What the guest of a clone must read once everybody has written.
    fn expected(&self, index: usize) -> Vec<u8> {
        let (at, bytes) = written(index);
        let mut disk = self.disk.clone();
        disk[at..at + bytes.len()].copy_from_slice(&bytes);
        disk
    }

    /// Every guest writes: half by this suite's client, a tenth of them by QEMU's.
    fn write_all(&self) -> Result<()> {
        for index in 0..CLONES {
            let (at, bytes) = written(index);
            let export = clone_name(index);
            if index % 10 == 0 {
                let (file, uri) = (self.site.text("written"), self.site.daemon.uri(&export));
                fs::write(&file, &bytes)?;
                let command = format!("write -s {file} {at} {}", bytes.len());
                let open = ["-f", "raw", &uri, "-c", &command, "-c", "flush"];
                program("qemu-io")?.args(open).run()?;
                continue;
            }
            let mut client = self.site.open(&export)?;
            client.all(&[Request::write(at as u64, &bytes)])?;
            client.flush()?;
        }
        Ok(())
    }

    fn verify_all(&self) -> Result<()> {
        for index in 0..CLONES {
            let export = clone_name(index);
            let mut client = self.site.open(&export)?;
            let bytes = client.read(0, u32::try_from(DISK_BYTES)?)?;
            ensure!(bytes == self.expected(index), "{export} reads otherwise");
        }
        Ok(())
    }

    /// A file as S3 gives it, whole and in ranges.
    fn verify_by_s3(&self, name: &str, expected: &[u8]) -> Result<()> {
        let to = self.site.text("by-s3");
        self.aws(&["s3", "cp", &format!("s3://snapshots/{name}"), &to])?;
        ensure!(fs::read(&to)? == expected, "S3 reads {name} otherwise");
        for (first, last) in ranges(expected.len()) {
            let range = format!("bytes={first}-{last}");
            let get = ["s3api", "get-object", "--bucket", "snapshots", "--range", &range, "--key"];
            self.aws(&[&get[..], &[name, &to]].concat())?;
            ensure!(fs::read(&to)? == expected[first..=last], "S3 reads {range} otherwise");
        }
        Ok(())
    }

    /// The same by Swift.
    fn verify_by_swift(&self, name: &str, expected: &[u8]) -> Result<()> {
        let to = self.site.text("by-swift");
        let swift = || -> Result<Program> {
            let url = format!("{}/auth/v1.0", self.site.daemon.http());
            Ok(program("swift")?.args(["-A", &url, "-U", "admin:admin", "-K", PASSWORD]))
        };
        swift()?.args(["download", "snapshots", name, "-o", &to]).run()?;
        ensure!(fs::read(&to)? == expected, "Swift reads {name} otherwise");
        let said = swift()?.args(["auth"]).run()?.text();
        let word = |name: &str| -> Result<String> {
            let start = format!("export {name}=");
            let value = said.lines().find_map(|line| line.strip_prefix(&start));
            Ok(value.with_context(|| format!("no {name}"))?.trim_matches('"').to_owned())
        };
        let token = format!("X-Auth-Token: {}", word("OS_AUTH_TOKEN")?);
        let url = format!("{}/snapshots/{name}", word("OS_STORAGE_URL")?);
        for (first, last) in ranges(expected.len()) {
            let range = format!("{first}-{last}");
            let get = ["-sf", "-H", &token, "-r", &range, &url];
            let got = program("curl")?.args(get).run()?.stdout;
            ensure!(got == expected[first..=last], "Swift reads {range} otherwise");
        }
        Ok(())
    }

    /// A link without a login, until it is taken back.
    fn verify_link(&self, name: &str, expected: &[u8]) -> Result<()> {
        let file = format!("snapshots/{name}");
        let said = self.site.cli.run(&["file", "publish", &file, "--expires", "1h"])?.text();
        let url = said.split_whitespace().find(|word| word.contains("/public/"));
        let url = url.with_context(|| said.clone())?;
        let url = match url.starts_with("http") {
            true => url.to_owned(),
            false => format!("{}{url}", self.site.daemon.http()),
        };
        let got = program("curl")?.args(["-sf", &url]).run()?.stdout;
        ensure!(got == expected, "the link reads otherwise");
        let got = program("curl")?.args(["-sf", "-r", "4097-70000", &url]).run()?.stdout;
        ensure!(got == expected[4097..=70_000], "a range of the link reads otherwise");
        self.site.cli.run(&["file", "unpublish", &file])?;
        program("curl")?.args(["-sf", &url]).fails()?;
        Ok(())
    }

    fn remove_everything(&self) -> Result<()> {
        let cli = &self.site.cli;
        let volumes = cli.names(&["volume", "ls"])?;
        ensure!(volumes.len() == CLONES + 1, "{volumes:?}");
        volumes.iter().try_for_each(|name| self.site.detached(name))?;
        let words = ["volume", "rm", "--force"].into_iter();
        cli.run(&words.chain(volumes.iter().map(String::as_str)).collect::<Vec<_>>())?;
        self.aws(&["s3", "rb", "s3://images", "--force"])?;
        for (word, field) in [("volume", "volumes"), ("snapshot", "snapshots"), ("file", "files")] {
            let left = cli.json(&[word, "ls"])?;
            ensure!(left[field] == json!([]), "{word} ls: {left}");
        }
        cli.run(&["gc", "--now"])?;
        let left = cli.figure("physical")?;
        ensure!(left < EMPTY_BYTES_MAX, "{left} bytes are left of nothing");
        Ok(())
    }
}

/// First and last bytes: within a block, over its edges, of many chunks, and the end.
fn ranges(len: usize) -> [(usize, usize); 4] {
    [(0, 0), (700, 1299), (65_000, 1_200_001), (len - 4097, len - 1)]
}

#[test]
fn an_image_that_was_put_is_a_hundred_disks_a_snapshot_a_file_and_nothing_at_the_end() -> Result<()>
{
    let chain = Chain::new()?;
    let (site, image) = (&chain.site, chain.site.text("disk.qcow2"));
    chain.shares("the same file once more", || {
        chain.aws(&["s3", "cp", &image, "s3://images/again.qcow2"]).map(drop)
    })?;
    let names: Vec<String> = (0..CLONES).map(clone_name).collect();
    chain.shares("a hundred clones", || {
        for name in &names {
            let clone = ["volume", "create", name, "--from", "file:images/disk.qcow2"];
            site.cli.run(&clone)?;
        }
        Ok(())
    })?;
    chain.write_all()?;
    chain.verify_all()?;

    // What the guest writes after the snapshot is not in it.
    let kept = chain.expected(7);
    chain.shares("a snapshot", || {
        site.detached(&names[7])?;
        site.cli.run(&["snapshot", "create", &format!("{}@paper", names[7])]).map(drop)
    })?;
    site.write(&names[7], 0, &random(&mut Chance::new(77), 1 << 20))?;
    let paper = format!("{}@paper", names[7]);
    chain.verify_by_s3(&paper, &kept)?;
    chain.verify_by_swift(&paper, &kept)?;

    site.cli.run(&["volume", "create", "heir", "--from", &format!("snapshot:{paper}")])?;
    fs::write(site.path("kept.raw"), &kept)?;
    same(("raw", &site.text("kept.raw")), ("raw", &site.daemon.socket_uri("heir")))?;
    site.write("heir", 4096, &[9; 4096])?;
    chain.verify_link(&paper, &kept)?;
    // The file is still what was put, and the image what a guest would see.
    let back = site.text("back.qcow2");
    chain.aws(&["s3", "cp", "s3://images/disk.qcow2", &back])?;
    ensure!(fs::read(&back)? == fs::read(&image)?, "the file reads otherwise");
    let check = site.cli.run(&["check"])?.text();
    ensure!(!check.contains("error"), "{check}");
    chain.remove_everything()
}
