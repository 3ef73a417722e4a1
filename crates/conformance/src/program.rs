//! Running a program of others: its output kept, its time limited, its failure
//! told in full.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::{tools, wait_for};

/// No client here works longer than this on a machine that does other things too.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How long a process that is stopped may take to stand still.
const PAUSED_WITHIN: Duration = Duration::from_secs(20);

/// A program to run, with its arguments.
pub struct Program {
    command: Command,
    timeout: Duration,
    input: Vec<u8>,
}

/// What a program printed and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// What it printed, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A program of the list in [`tools`]; an error names the package when it is missing.
pub fn program(name: &str) -> Result<Program> {
    let path = tools::find(name).with_context(|| match tools::package(name) {
        Some(package) => format!("{name} is missing: apt-get install {package}"),
        None => format!("{name} is missing"),
    })?;
    Ok(Program::at(&path))
}

/// A module of Python for `script`, with `arguments` in `sys.argv`.
pub fn python(module: &str, script: &str, arguments: &[&str]) -> Result<Program> {
    let known = tools::PYTHON_MODULES.iter().find(|(name, _)| *name == module);
    let (_, package) = known.with_context(|| format!("no package is known for {module}"))?;
    let missing = || format!("no Python module {module}: apt-get install {package}");
    ensure!(tools::python_has(module), missing());
    Ok(program(tools::PYTHON)?.args(["-c", script]).args(arguments))
}

impl Program {
    /// A program at a known place.
    pub fn at(path: &Path) -> Self {
        let mut command = Command::new(path);
        command.env("LC_ALL", "C.UTF-8").env_remove("ARCHIPELAGO_ENDPOINT");
        Self { command, timeout: TIMEOUT, input: Vec::new() }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it in a folder.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives it these bytes as its standard input, which is empty otherwise.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Ends it after this time instead of two minutes.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it to its end, whatever that is. Only a program that cannot start or does not end in
    /// time is an error; it is killed then.
    pub fn output(mut self) -> Result<Output> {
        // Files, not pipes: nothing blocks and no thread is needed.
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let mut stdin = tempfile::tempfile()?;
        std::io::Write::write_all(&mut stdin, &self.input)?;
        stdin.rewind()?;
        self.command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        let mut child = self.start()?;
        let status = match wait(&mut child, self.timeout)? {
            Some(status) => status,
            None => {
                kill(&mut child);
                bail!(
                    "{:?} did not end within {:?}: {}",
                    self.command,
                    self.timeout,
                    all(&mut stderr)?
                );
            }
        };
        let mut printed = Vec::new();
        stdout.rewind()?;
        stdout.read_to_end(&mut printed)?;
        Ok(Output { status, stdout: printed, stderr: all(&mut stderr)? })
    }

    /// Runs it; anything but success is an error with what it said.
    pub fn run(self) -> Result<Output> {
        let line = format!("{:?}", self.command);
        let output = self.output()?;
        let Output { status, stderr, .. } = &output;
        ensure!(status.success(), "{line}: {status}\n{stderr}\n{}", output.text());
        Ok(output)
    }

    /// Runs it; success is an error. Returns all that it said. A signal is no clear failure.
    pub fn fails(self) -> Result<String> {
        let line = format!("{:?}", self.command);
        let output = self.output()?;
        ensure!(!output.status.success(), "{line} succeeded:\n{}", output.text());
        ensure!(
            output.status.code().is_some(),
            "{line} died: {}\n{}",
            output.status,
            output.stderr
        );
        Ok(format!("{}{}", output.stderr, output.text()))
    }

    /// Runs it and reads what it printed as JSON.
    pub fn json(self) -> Result<serde_json::Value> {
        let line = format!("{:?}", self.command);
        let output = self.run()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{line} printed no JSON: {}", output.text()))
    }

    /// Starts it and does not wait. Its output goes to `log`, its input is a pipe.
    pub fn background(mut self, log: &File) -> Result<Background> {
        self.command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log.try_clone()?);
        Ok(Background { child: self.start()? })
    }

    fn start(&mut self) -> Result<Child> {
        self.command.spawn().with_context(|| format!("cannot start {:?}", self.command))
    }
}

/// A running program; killed when dropped.
pub struct Background {
    child: Child,
}

impl Background {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let pipe = self.child.stdin.as_mut().context("its input is closed")?;
        std::io::Write::write_all(pipe, text.as_bytes())?;
        std::io::Write::flush(pipe).context("cannot write to its input")
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to it.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).context("cannot send the signal")
    }

    /// Stops it, and waits until none of its threads runs any more.
    pub fn pause(&self) -> Result<()> {
        self.signal(rustix::process::Signal::STOP)?;
        let tasks = format!("/proc/{}/task", self.child.id());
        let stands = || -> Option<()> {
            let all: Vec<String> = fs::read_dir(&tasks)
                .ok()?
                .filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok())
                .collect();
            // Behind the name, which may have anything in it.
            let stopped =
                |stat: &String| stat.rsplit(") ").next().is_some_and(|s| s.starts_with('T'));
            all.iter().all(stopped).then_some(())
        };
        wait_for(PAUSED_WITHIN, stands).context("it does not stand still")
    }

    /// Closes its input and waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        drop(self.child.stdin.take());
        wait(&mut self.child, timeout)?.with_context(|| format!("does not end within {timeout:?}"))
    }

    /// Ends it with -9 and waits until it is gone.
    pub fn kill(&mut self) {
        kill(&mut self.child);
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

fn wait(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    match wait_for(timeout, || child.try_wait().transpose()) {
        Some(status) => Ok(Some(status?)),
        None => Ok(None),
    }
}

fn kill(child: &mut Child) {
    // Either fails only when the process has ended already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

fn all(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
