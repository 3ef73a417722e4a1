//! The daemon of the built binary: started on a folder and free ports, stopped,
//! killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::cli::Cli;
use crate::program::{Background, Output, Program};
use crate::{env, wait_for};

/// Names the binary to test; without it cargo builds the one of this workspace.
pub const BINARY_VARIABLE: &str = "ARCHIPELAGO_BIN";

/// A daemon that is not ready after this is taken for broken. How fast it should be is measured,
/// not asserted: other work shares the machine.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A clean stop writes what is in memory; it does not take longer than this.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// A running daemon; killed with -9 when dropped.
pub struct Daemon {
    process: Background,
    http: String,
    nbd: String,
    socket: PathBuf,
    log: PathBuf,
    /// Where its socket and its log are; the data folder is the caller's.
    _scratch: TempDir,
    /// From starting the process to its line `ready`.
    pub start_took: Duration,
}

/// How to start a daemon.
pub struct Options {
    data: PathBuf,
    http: String,
    nbd: String,
    more: Vec<String>,
    wrapper: Option<(PathBuf, Vec<String>)>,
}

impl Options {
    /// On a data folder, made when absent, with ports that are free.
    pub fn new(data: &Path) -> Self {
        let any = "127.0.0.1:0".to_owned();
        Self { data: data.to_owned(), http: any.clone(), nbd: any, more: Vec::new(), wrapper: None }
    }

    /// Listens where a former daemon did, for clients that reconnect.
    pub fn like(mut self, former: &Daemon) -> Self {
        self.http = former.http.trim_start_matches("http://").to_owned();
        self.nbd.clone_from(&former.nbd);
        self
    }

    /// With this as its configuration, which is put into `folder`.
    pub fn configured(folder: &Path, text: &str) -> Result<impl Fn(&Path) -> Self + use<>> {
        let settings = folder.join("settings.toml");
        fs::write(&settings, text)?;
        let settings = settings.display().to_string();
        Ok(move |data: &Path| Self::new(data).args(&["--config", &settings]))
    }

    /// Adds arguments to `serve`.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.more.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Starts it under another program, which gets these arguments and then the whole command, and
    /// becomes it.
    pub fn under(mut self, wrapper: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        self.wrapper = Some((wrapper.to_owned(), arguments));
        self
    }

    fn program(&self, socket: &Path) -> Result<Program> {
        let data = self.data.display().to_string();
        let socket = format!("unix:{}", socket.display());
        let mut arguments = vec![
            "serve", "--data", &data, "--http", &self.http, "--nbd", &self.nbd, "--nbd", &socket,
        ];
        arguments.extend(self.more.iter().map(String::as_str));
        let program = match &self.wrapper {
            Some((wrapper, first)) => Program::at(wrapper).args(first).args([binary()?]),
            None => Program::at(&binary()?),
        };
        Ok(program.args(arguments))
    }

    /// Starts it and waits until it serves.
    pub fn start(&self) -> Result<Daemon> {
        let scratch = tempfile::tempdir()?;
        let (socket, log) = (scratch.path().join("nbd.sock"), scratch.path().join("log"));
        let file = File::create(&log)?;
        let begin = env().clock().monotonic();
        let mut process = self.program(&socket)?.background(&file)?;
        let ready = wait_for(READY_WITHIN, || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let is_ready = text.lines().any(|line| line.trim() == "ready");
            (is_ready || !process.is_running()).then_some((is_ready, text))
        });
        let start_took = env().clock().monotonic() - begin;
        let Some((true, text)) = ready else {
            let text = fs::read_to_string(&log).unwrap_or_default();
            bail!("serve is not ready after {start_took:?}: {text}");
        };
        let http = word(&text, "http://").context("serve printed no HTTP endpoint")?;
        let nbd = word(&text, "nbd://").context("serve printed no NBD endpoint")?;
        // `nbd://ADDRESS/NAME`
        let nbd = nbd.split('/').nth(2).unwrap_or_default().to_owned();
        Ok(Daemon { process, http, nbd, socket, log, _scratch: scratch, start_took })
    }

    /// Starts it and kills it with -9 a moment later, wherever it is then.
    pub fn start_and_kill(&self, after: Duration) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let log = File::create(scratch.path().join("log"))?;
        let mut process = self.program(&scratch.path().join("nbd.sock"))?.background(&log)?;
        env().clock().sleep(after);
        process.kill();
        Ok(())
    }

    /// Starts it where it must refuse, and returns what it said.
    pub fn refuses(&self) -> Result<String> {
        let scratch = tempfile::tempdir()?;
        let program = self.program(&scratch.path().join("nbd.sock"))?;
        let Output { status, stderr, stdout } = program.timeout(READY_WITHIN).output()?;
        let said = format!("{stderr}{}", String::from_utf8_lossy(&stdout));
        ensure!(status.code() == Some(1), "serve ended with {status}: {said}");
        ensure!(!said.contains("panicked"), "serve panicked: {said}");
        Ok(stderr)
    }
}

/// The first word of the output that begins so.
fn word(text: &str, start: &str) -> Option<String> {
    let mut words = text.split(|c: char| c.is_whitespace() || c == '"' || c == ',');
    words.find(|word| word.starts_with(start)).map(|word| word.trim_end_matches('/').to_owned())
}

impl Daemon {
    /// Starts one on a data folder, with ports that are free.
    pub fn start(data: &Path) -> Result<Self> {
        Options::new(data).start()
    }

    /// Its command line.
    pub fn cli(&self) -> Result<Cli> {
        Ok(Cli::new(binary()?, self.http.clone()))
    }

    /// Where its HTTP API is, such as `http://127.0.0.1:7480`.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Where its NBD server is, such as `127.0.0.1:10809`.
    pub fn nbd(&self) -> &str {
        &self.nbd
    }

    /// Its NBD server's UNIX socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// An export over TCP, as clients name it.
    pub fn uri(&self, export: &str) -> String {
        format!("nbd://{}/{export}", self.nbd)
    }

    /// An export over the UNIX socket, as clients name it.
    pub fn socket_uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket.display())
    }

    /// What it printed up to now.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it with -9.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it cleanly, with SIGTERM. Anything but success is an error.
    pub fn stop(mut self) -> Result<()> {
        let status = self.terminate()?;
        ensure!(status.success(), "serve ended with {status}: {}", self.printed());
        ensure!(!self.printed().contains("panicked"), "a thread panicked: {}", self.printed());
        Ok(())
    }

    fn terminate(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(STOP_WITHIN)
    }
}

/// A command on the data folder of a store that no daemon has open.
pub fn offline(arguments: &[&str], data: &Path) -> Result<Program> {
    Ok(Program::at(&binary()?).args(arguments).args(["--data"]).args([data]))
}

/// The binary under test.
pub fn binary() -> Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| find_binary().map_err(|error| format!("{error:#}")));
    found.clone().map_err(anyhow::Error::msg)
}

fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY_VARIABLE) {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "{BINARY_VARIABLE}={} is no file", path.display());
        return Ok(path);
    }
    // Cargo's lock makes tests that run at once build it once.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["build", "--quiet", "-p", "archipelago", "--message-format", "json"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().context("cannot start cargo")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo build -p archipelago: {words}");
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut paths = messages.filter_map(|message: serde_json::Value| {
        let is_binary = message["target"]["name"] == "archipelago";
        message["executable"].as_str().filter(|_| is_binary).map(PathBuf::from)
    });
    paths.next().context("cargo built no binary `archipelago`")
}

#[cfg(test)]
mod tests;
