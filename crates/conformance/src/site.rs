//! A store with its daemon, for one test: made in a folder of its own, gone
//! when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::Cli;
use crate::daemon::{Daemon, Options};
use crate::nbd::{Client, Request};
use crate::program::{Program, program};
use crate::stamp::Chance;
use crate::wait_for;

/// The server learns of a client's end a moment after the client is gone.
const DETACHED_WITHIN: Duration = Duration::from_secs(20);

/// A store, its daemon and its command line.
pub struct Site {
    /// The daemon; another one after a restart, at the same addresses.
    pub daemon: Daemon,
    /// The command line.
    pub cli: Cli,
    folder: TempDir,
}

/// A key for S3.
pub struct AccessKey {
    /// Which is shown.
    pub id: String,
    /// Which is not.
    pub secret: String,
}

impl Site {
    /// An empty store.
    pub fn new() -> Result<Self> {
        Self::with(&Options::new)
    }

    /// An empty store whose daemon is started as `options` says of a data folder.
    pub fn with(options: &dyn Fn(&Path) -> Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let daemon = options(&folder.path().join("data")).start()?;
        let cli = daemon.cli()?;
        Ok(Self { daemon, cli, folder })
    }

    /// A store with one empty volume.
    pub fn with_volume(name: &str, size: &str) -> Result<Self> {
        let site = Self::new()?;
        site.cli.run(&["volume", "create", name, "--size", size])?;
        Ok(site)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A place for a file of the test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same, as an argument of a program.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Stops the daemon cleanly, `between` runs, and it starts again where it was.
    pub fn restart_with(self, between: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let Self { daemon, cli, folder } = self;
        let data = folder.path().join("data");
        let options = Options::new(&data).like(&daemon);
        daemon.stop()?;
        between(&data)?;
        Ok(Self { daemon: options.start()?, cli, folder })
    }

    /// Stops the daemon cleanly and starts it again where it was.
    pub fn restart(self) -> Result<Self> {
        self.restart_with(|_| Ok(()))
    }

    /// Kills the daemon with -9 and starts it again where it was.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.daemon.kill();
        self.daemon = Options::new(&self.data()).like(&self.daemon).start()?;
        Ok(())
    }

    /// Opens an export.
    pub fn open(&self, export: &str) -> Result<Client> {
        Client::connect(self.daemon.nbd(), export).with_context(|| format!("opening {export}"))
    }

    /// Writes bytes to an export and flushes them, on a connection of its own.
    pub fn write(&self, export: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut client = self.open(export)?;
        client.all(&[Request::write(offset, bytes)])?;
        client.flush()?;
        drop(client);
        self.detached(export)
    }

    /// Reads bytes of an export, on a connection of its own.
    pub fn read(&self, export: &str, offset: u64, len: u32) -> Result<Vec<u8>> {
        let mut client = self.open(export)?;
        let bytes = client.read(offset, len)?;
        drop(client);
        self.detached(export)?;
        Ok(bytes)
    }

    /// Waits until the server has noticed that nobody has a volume open.
    pub fn detached(&self, export: &str) -> Result<()> {
        if export.contains(['@', ':']) {
            return Ok(());
        }
        let shown = || self.cli.json(&["volume", "show", export]);
        let gone = wait_for(DETACHED_WITHIN, || match shown() {
            Ok(volume) if volume["attached"] != 0 => None,
            other => Some(other),
        });
        gone.with_context(|| format!("{export} stays attached"))?.map(drop)
    }

    /// A new key of a user for S3.
    pub fn access_key(&self, user: &str) -> Result<AccessKey> {
        let key = self.cli.json(&["user", "key", "create", user])?;
        let text = |name: &str| key[name].as_str().map(str::to_owned).context("no key");
        Ok(AccessKey { id: text("id")?, secret: text("secret")? })
    }

    /// The program of AWS, with nothing of this machine's configuration.
    pub fn aws(&self, key: &AccessKey) -> Result<Program> {
        let nowhere = self.text("no-such-file");
        Ok(program("aws")?
            .env("AWS_ACCESS_KEY_ID", &key.id)
            .env("AWS_SECRET_ACCESS_KEY", &key.secret)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_CONFIG_FILE", &nowhere)
            .env("AWS_SHARED_CREDENTIALS_FILE", &nowhere)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .args(["--endpoint-url", self.daemon.http()]))
    }

    /// One field of a volume.
    pub fn volume(&self, name: &str, field: &str) -> Result<Value> {
        Ok(self.cli.json(&["volume", "show", name])?[field].take())
    }
}

/// Makes a file of random bytes with holes: of every 256 KiB, 96 KiB are data, 32 KiB zeros
/// that were written, and the rest is a hole.
pub fn sparse_file(path: &Path, size: u64, seed: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs::File::create(path)?;
    file.set_len(size)?;
    let mut chance = Chance::new(seed);
    let mut at = 0;
    while at + (128 << 10) <= size {
        file.write_all_at(&random(&mut chance, 96 << 10), at)?;
        file.write_all_at(&vec![0; 32 << 10], at + (96 << 10))?;
        at += 256 << 10;
    }
    Ok(())
}

/// Bytes that do not compress and do not repeat.
pub fn random(chance: &mut Chance, len: usize) -> Vec<u8> {
    (0..len.div_ceil(8)).flat_map(|_| chance.number().to_le_bytes()).take(len).collect()
}

/// The same, always the same ones.
pub fn content(len: usize) -> Vec<u8> {
    random(&mut Chance::new(9), len)
}

/// Compares two images as their readers see them; a difference is an error.
pub fn same(one: (&str, &str), two: (&str, &str)) -> Result<()> {
    let arguments = ["compare", "-f", one.0, "-F", two.0, one.1, two.1];
    program("qemu-img")?.args(arguments).run().map(drop)
}
