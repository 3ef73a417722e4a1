//! A daemon on a folder that goes away with it, and the program pointed at it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_archipelago");

/// A running daemon; killed when dropped.
pub struct Site {
    dir: TempDir,
    daemon: Child,
    endpoint: String,
}

impl Site {
    /// Starts one on free ports and waits until it says `ready`.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("temporary folders can be made");
        let mut daemon = Command::new(PROGRAM)
            .args(["serve", "--http", "127.0.0.1:0", "--nbd", "127.0.0.1:0", "--log", "warn"])
            .arg("--data")
            .arg(dir.path().join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program is built and runs");
        let stdout = daemon.stdout.take().expect("it was piped");
        let mut endpoint = None;
        for line in BufReader::new(stdout).lines() {
            let line = line.expect("it prints text");
            if let Some(at) = line.find("http://") {
                endpoint = Some(line[at..].trim().to_owned());
            }
            if line == "ready" {
                break;
            }
        }
        let endpoint = endpoint.expect("the daemon says where it is before it is ready");
        Self { dir, daemon, endpoint }
    }

    /// Where the daemon is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A path in the scratch folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same as text.
    pub fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes a file there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).expect("the scratch folder takes files");
        self.file(name)
    }

    /// A command, not yet run, in the scratch folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(args)
            .env("ARCHIPELAGO_ENDPOINT", &self.endpoint)
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program is built and runs")
    }

    /// Runs a command that must succeed; gives what it printed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("what it prints is text")
    }

    /// Runs a command with `--json`; gives what it printed.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.run(&args)).expect("--json prints JSON")
    }

    /// Runs a command that must end with this status; gives what it said.
    pub fn fails(&self, args: &[&str], status: i32) -> String {
        let output = self.output(args);
        let said = String::from_utf8(output.stderr).expect("messages are text");
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        said
    }

    /// Runs a command with `input` on its standard input; it must succeed.
    pub fn feed(&self, args: &[&str], input: &[u8]) -> String {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is built and runs");
        let mut stdin = child.stdin.take().expect("it was piped");
        stdin.write_all(input).expect("it reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("what it prints is text")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has then noticed.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A raw disk of 8 MiB with some data, holes, and no 4 KiB block twice.
pub fn disk() -> Vec<u8> {
    let mut disk = vec![0; 8 << 20];
    for (block, bytes) in disk.chunks_mut(4096).enumerate().filter(|(block, _)| block % 3 == 0) {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (block * 31 + at * 7 + 1) as u8;
        }
        bytes[..8].copy_from_slice(&(block as u64 + 1).to_le_bytes());
    }
    disk
}

/// The content of a file.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the file is there")
}
