//! The one binary: words in, words out.
//!
//! `serve` runs the daemon of crate `node` in this process. Every other command
//! speaks the HTTP API of a running one; images are read and written here, so
//! that the daemon never parses a foreign file.
//!
//! ```text
//! args      the command line as types; help, completions and man pages
//! commands  what each verb does
//! client    HTTP, streaming both ways
//! bulk      large files: in parts at once, only what differs, gone on with
//! output    JSON, tables, sentences      progress  bars on standard error
//! password  from a terminal or a pipe, never an argument
//! failure   what went wrong, what to do, and the exit status
//! ```

mod args;
mod bulk;
mod client;
mod commands;
mod failure;
mod output;
mod password;
mod progress;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser;

use args::Cli;
use failure::{EXIT_DONE, Failure, Kind};
use output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let output = Output::new(cli.global.json, cli.global.quiet);
    match commands::run(cli, output) {
        Ok(()) => ExitCode::from(EXIT_DONE),
        // `archipelago volume ls | head -1`: the reader has what it wanted.
        Err(failure) if failure.kind() == Kind::StdoutClosed => ExitCode::from(EXIT_DONE),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Help and version are asked for; anything else is a usage error, in JSON when
/// that was asked for and in clap's own words otherwise.
fn not_understood(error: &clap::Error) -> ExitCode {
    let json =
        std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == OsStr::new("--json"));
    if error.use_stderr() && json {
        let text = error.to_string();
        let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        Output::new(true, false).failure(&Failure::usage(message));
    } else {
        // Nobody may be reading; the exit status still tells.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::EXIT_USAGE))
}
