//! What a command that did not do its work says, and with which exit status.

use std::fmt;
use std::io;

use archipelago_api as api;
use serde_json::{Value, json};

/// Exit status of a command that did its work.
pub const EXIT_DONE: u8 = 0;
/// Exit status of a command that was understood and failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit status of a command that was not understood; clap's own is the same.
pub const EXIT_USAGE: u8 = 2;

/// The result of everything here.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// A failure, in words for the person who typed the command.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    remedy: Option<String>,
}

/// The class of a failure, for programs: `error.kind` of `--json`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The command line makes no sense.
    Usage,
    /// The server refused; this is its class.
    Server(api::ErrorKind),
    /// No server answers at the endpoint, or it went away.
    Unreachable,
    /// Something answers that does not speak our API.
    Protocol,
    /// A local file, device or pipe.
    Local,
    /// The daemon that `serve` runs.
    Daemon,
    /// Something is wrong with what is stored, or it cannot be looked at.
    Store,
    /// Whoever read our standard output has had enough.
    StdoutClosed,
}

impl Kind {
    fn as_str(self) -> String {
        match self {
            Self::Usage => "usage".to_owned(),
            Self::Server(kind) => serde_json::to_value(kind)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned))
                .unwrap_or_else(|| "internal".to_owned()),
            Self::Unreachable => "unreachable".to_owned(),
            Self::Protocol => "protocol".to_owned(),
            Self::Local => "local".to_owned(),
            Self::Daemon => "daemon".to_owned(),
            Self::Store => "store".to_owned(),
            Self::StdoutClosed => "stdout_closed".to_owned(),
        }
    }
}

impl Failure {
    /// A failure whose message says what happened, and to what.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), remedy: None }
    }

    /// What to do about it, where the message does not say so.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// For `map_err` on a call to the operating system: `doing` is what was tried.
    pub fn local(doing: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let remedy = next_step(error.kind());
            Self::new(Kind::Local, format!("cannot {doing}: {error}")).remedy(remedy)
        }
    }

    /// Writing to standard output failed.
    pub fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Kind::StdoutClosed, "standard output is closed"),
            _ => Self::local("write to standard output")(error),
        }
    }

    /// What happened, without what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The class.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The exit status that it gives.
    pub fn exit_status(&self) -> u8 {
        match self.kind {
            Kind::Usage => EXIT_USAGE,
            _ => EXIT_FAILED,
        }
    }

    /// The form for `--json`.
    pub fn to_json(&self) -> Value {
        json!({"error": {
            "kind": self.kind.as_str(),
            "message": self.message,
            "remedy": self.remedy,
        }})
    }
}

/// What to do about an error of the operating system.
const fn next_step(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "check the path: nothing is there",
        io::ErrorKind::PermissionDenied => {
            "look who may do that (`ls -ld`), or do it as another user of this machine"
        }
        io::ErrorKind::AlreadyExists => "choose another name, or move away what is there",
        io::ErrorKind::IsADirectory => "name a file: that is a folder",
        io::ErrorKind::NotADirectory => "check the path: a part of it is no folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on that disk, and run it again"
        }
        io::ErrorKind::ReadOnlyFilesystem => "choose a place on a disk that can be written",
        _ => "nothing was left half done in the store; mend that, and run it again",
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  hint: {remedy}")?;
        }
        Ok(())
    }
}

impl From<archipelago_image::ImageError> for Failure {
    fn from(error: archipelago_image::ImageError) -> Self {
        Self::new(Kind::Local, error.to_string())
    }
}

#[cfg(test)]
mod tests;
