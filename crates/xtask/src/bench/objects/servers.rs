//! The servers of S3 that are compared, each on a folder of its own on the same disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use archipelago_conformance::daemon::Daemon;
use archipelago_conformance::peers::ceph::{Ceph, Purpose};
use archipelago_conformance::peers::{await_port, free_port};
use archipelago_conformance::program::{Background, Program};
use archipelago_conformance::tools;
use tempfile::TempDir;

use super::super::process::memory_mib;
use super::client::Client;

/// Where `s3s-fs` is looked for when it is not among the programs.
const S3S_FS: &str = "/var/tmp/archipelago-test/s3s-fs/bin/s3s-fs";
/// How to get it.
const S3S_FS_INSTALL: &str = "cargo install s3s-fs --version 0.14.1 --features binary --root \
                              /var/tmp/archipelago-test/s3s-fs";
const KEY: &str = "BENCHKEYBENCHKEY0000";
const SECRET: &str = "benchsecretbenchsecretbenchsecretbench00";

/// A server to compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// The daemon of this workspace.
    Archipelago,
    /// The example of the library that our door is made of: a file for each object, never synced.
    S3sFs,
    /// Ceph's gateway over one OSD (bluestore on a file of the same disk) and one monitor.
    Gateway,
}

pub const PEERS: [Peer; 3] = [Peer::Archipelago, Peer::S3sFs, Peer::Gateway];

impl Peer {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archipelago => "archipelago",
            Self::S3sFs => "s3s-fs (no sync)",
            Self::Gateway => "RADOS gateway",
        }
    }

    /// Why it cannot be started here, if it cannot.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Archipelago => None,
            Self::S3sFs => s3s_fs().is_none().then(|| S3S_FS_INSTALL.to_owned()),
            Self::Gateway => {
                let programs = ["ceph-mon", "ceph-osd", "radosgw", "ceph"];
                let absent = programs.iter().any(|name| tools::find(name).is_none());
                absent.then(|| {
                    "apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common"
                        .to_owned()
                })
            }
        }
    }
}

/// A running server with one empty bucket; all is gone when this is dropped.
pub struct Server {
    pub endpoint: String,
    pub key: String,
    pub secret: String,
    pub daemon: Option<Daemon>,
    process: Option<Background>,
    ceph: Option<Ceph>,
    // Last: the processes are ended before their files go.
    folder: TempDir,
}

impl Server {
    /// Starts one below `scratch`.
    pub fn start(peer: Peer, scratch: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(scratch)?;
        let mut server = Self {
            endpoint: String::new(),
            key: KEY.to_owned(),
            secret: SECRET.to_owned(),
            daemon: None,
            process: None,
            ceph: None,
            folder,
        };
        match peer {
            Peer::Archipelago => server.start_ours()?,
            Peer::S3sFs => server.start_s3s_fs()?,
            Peer::Gateway => {
                let mut ceph = Ceph::start(server.folder.path(), Purpose::Figures)?;
                ceph.start_gateway(KEY, SECRET)?;
                server.endpoint = ceph.endpoint();
                server.ceph = Some(ceph);
            }
        }
        // Some make what they need with the first object.
        let client = Client::new(&server)?;
        client.make_bucket()?;
        client.put("first", b"first")?;
        client.remove("first")?;
        Ok(server)
    }

    fn start_ours(&mut self) -> Result<()> {
        let daemon = Daemon::start(&self.folder.path().join("data"))?;
        let key = daemon.cli()?.json(&["user", "key", "create", "admin"])?;
        let text = |name: &str| key[name].as_str().map(str::to_owned).context("no key");
        (self.key, self.secret) = (text("id")?, text("secret")?);
        self.endpoint = daemon.http().to_owned();
        self.daemon = Some(daemon);
        Ok(())
    }

    fn start_s3s_fs(&mut self) -> Result<()> {
        let path = s3s_fs().context(S3S_FS_INSTALL)?;
        let root = self.folder.path().join("root");
        fs::create_dir(&root)?;
        let port = free_port()?.to_string();
        let log = File::create(self.folder.path().join("log"))?;
        let fixed = ["--host", "127.0.0.1", "--port", &port, "--access-key", KEY];
        let command = Program::at(&path).args(fixed).args(["--secret-key", SECRET]).args([&root]);
        self.process = Some(command.background(&log)?);
        self.endpoint = format!("http://127.0.0.1:{port}");
        await_port(&port)
    }

    /// Memory in use now, in MiB, of all its processes.
    pub fn memory(&self) -> Result<f64> {
        self.processes().into_iter().map(|id| memory_mib(id, "VmRSS")).sum()
    }

    fn processes(&self) -> Vec<u32> {
        let daemon = self.daemon.as_ref().map(Daemon::id);
        let process = self.process.as_ref().map(Background::id);
        let ceph = self.ceph.iter().flat_map(Ceph::processes);
        daemon.into_iter().chain(process).chain(ceph).collect()
    }
}

fn s3s_fs() -> Option<PathBuf> {
    let built = Path::new(S3S_FS);
    tools::find("s3s-fs").or_else(|| built.is_file().then(|| built.to_owned()))
}
