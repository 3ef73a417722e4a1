//! The servers that are compared, each started on fresh files on the same disk
//! and reached over a UNIX socket.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use archipelago_conformance::daemon::Daemon;
use archipelago_conformance::program::{Background, program};
use archipelago_conformance::wait_for;
use tempfile::TempDir;

/// A server that has no socket after this is taken for broken.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// A server to compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Peer {
    /// The daemon of this workspace.
    Archipelago,
    /// qemu-nbd on raw files, written through once by `preallocation=full`.
    Raw,
    /// qemu-nbd on thin qcow2 files.
    Qcow2,
    /// nbdkit's memory plugin: what the protocol allows, with no disk at all.
    Memory,
    /// No server: fio's psync engine on preallocated files.
    Files,
}

impl Peer {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archipelago => "archipelago",
            Self::Raw => "qemu-nbd raw",
            Self::Qcow2 => "qemu-nbd qcow2",
            Self::Memory => "nbdkit memory",
            Self::Files => "raw file, no NBD",
        }
    }
}

/// A running peer with its disks; all is gone when this is dropped.
pub struct Running {
    processes: Vec<Background>,
    daemon: Option<Daemon>,
    uris: Vec<String>,
    paths: Vec<PathBuf>,
    // Last: the processes are ended before their files go.
    _folder: TempDir,
}

impl Running {
    /// Starts `peer` with `count` disks of `bytes` each, below `scratch`.
    pub fn start(peer: Peer, scratch: &Path, count: usize, bytes: u64) -> Result<Self> {
        let folder = tempfile::tempdir_in(scratch)?;
        let path = folder.path().to_owned();
        let mut running = Self {
            processes: Vec::new(),
            daemon: None,
            uris: Vec::new(),
            paths: Vec::new(),
            _folder: folder,
        };
        match peer {
            Peer::Archipelago => running.start_ours(&path, count, bytes)?,
            _ => {
                for at in 0..count {
                    running.start_other(peer, &path, at, bytes)?;
                }
            }
        }
        Ok(running)
    }

    fn start_ours(&mut self, folder: &Path, count: usize, bytes: u64) -> Result<()> {
        let daemon = Daemon::start(&folder.join("data"))?;
        let names: Vec<String> = (0..count).map(|at| format!("v{at}")).collect();
        let size = bytes.to_string();
        let mut command = vec!["volume", "create", "--size", &size];
        command.extend(names.iter().map(String::as_str));
        daemon.cli()?.run(&command)?;
        self.uris = names.iter().map(|name| daemon.socket_uri(name)).collect();
        self.daemon = Some(daemon);
        Ok(())
    }

    fn start_other(&mut self, peer: Peer, folder: &Path, at: usize, bytes: u64) -> Result<()> {
        let (disk, socket) = (folder.join(format!("{at}.disk")), folder.join(format!("{at}.sock")));
        let (disk_text, socket_text) = (disk.display().to_string(), socket.display().to_string());
        let size = bytes.to_string();
        let create = |arguments: &[&str]| -> Result<()> {
            program("qemu-img")?.args(["create", "-q"]).args(arguments).run()?;
            Ok(())
        };
        let serve = |format: &str| {
            let fixed = ["--persistent", "--shared=64", "--cache=writeback", "--aio=threads"];
            let command = program("qemu-nbd")?.args(fixed);
            Ok::<_, anyhow::Error>(command.args(["-f", format, "-k", &socket_text, "-x", "disk"]))
        };
        let command = match peer {
            Peer::Raw | Peer::Files => {
                let full = ["-f", "raw", "-o", "preallocation=full", &disk_text, &size];
                create(&full)?;
                File::open(&disk)?.sync_all()?;
                self.paths.push(disk.clone());
                if peer == Peer::Files {
                    return Ok(());
                }
                serve("raw")?.args([&disk])
            }
            Peer::Qcow2 => {
                create(&["-f", "qcow2", &disk_text, &size])?;
                serve("qcow2")?.args([&disk])
            }
            Peer::Memory => program("nbdkit")?.args(["-f", "-U", &socket_text, "memory", &size]),
            Peer::Archipelago => unreachable!("it serves all its disks at once"),
        };
        let log = File::create(folder.join(format!("{at}.log")))?;
        let mut process = command.background(&log)?;
        let alive = wait_for(READY_WITHIN, || {
            let is_there = socket.exists();
            (is_there || !process.is_running()).then_some(is_there)
        });
        alive
            .filter(|is_there| *is_there)
            .with_context(|| format!("{} did not start", peer.name()))?;
        self.processes.push(process);
        self.uris.push(format!("nbd+unix:///disk?socket={socket_text}"));
        Ok(())
    }

    /// Where fio finds the disks.
    pub fn place(&self) -> super::fio::Place {
        if self.uris.is_empty() {
            super::fio::Place::Files(self.paths.clone())
        } else {
            super::fio::Place::Nbd(self.uris.clone())
        }
    }

    /// The daemon, when this is ours.
    pub fn daemon(&self) -> Option<&Daemon> {
        self.daemon.as_ref()
    }
}
