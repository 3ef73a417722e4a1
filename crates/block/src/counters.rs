//! What the server counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::proto::request::Command;

/// Totals of one command since the server started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandCounts {
    /// The command's name: `read`, `write`, `flush`, ...
    pub command: &'static str,
    /// Requests answered, with or without success.
    pub requests: u64,
    /// Bytes of the export that successful requests were about.
    pub bytes: u64,
    /// Requests answered with an error.
    pub errors: u64,
}

/// Totals since the server started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// By command.
    pub commands: Vec<CommandCounts>,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed at once, because as many as allowed were there.
    pub refused: u64,
    /// Connections closed because the client did not keep to the protocol.
    pub malformed: u64,
    /// TLS handshakes that failed.
    pub tls_failures: u64,
    /// Calls of a flush to the store; less than flush and FUA requests where one call served several.
    pub syncs: u64,
}

#[derive(Default)]
struct PerCommand {
    requests: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

#[derive(Default)]
pub(crate) struct Counters {
    commands: [PerCommand; Command::ALL.len()],
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) malformed: AtomicU64,
    pub(crate) tls_failures: AtomicU64,
    pub(crate) syncs: AtomicU64,
}

impl Counters {
    pub(crate) fn answered(&self, command: Command, bytes: u64, ok: bool) {
        let counts = &self.commands[command as usize];
        counts.requests.fetch_add(1, Relaxed);
        if ok {
            counts.bytes.fetch_add(bytes, Relaxed);
        } else {
            counts.errors.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> Counts {
        let commands = Command::ALL.iter().filter(|command| **command != Command::Disconnect);
        Counts {
            commands: commands
                .map(|command| {
                    let counts = &self.commands[*command as usize];
                    CommandCounts {
                        command: command.name(),
                        requests: counts.requests.load(Relaxed),
                        bytes: counts.bytes.load(Relaxed),
                        errors: counts.errors.load(Relaxed),
                    }
                })
                .collect(),
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            tls_failures: self.tls_failures.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
        }
    }
}
