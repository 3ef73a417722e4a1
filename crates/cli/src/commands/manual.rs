//! Completions and manual pages, out of the definition of the command line.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;

use super::Context;
use crate::args::Cli;
use crate::failure::{Failure, Result};

/// Prints the completion script of a shell.
pub fn completions(shell: Shell) -> Result {
    // Into memory first: the generator panics when its output fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "archipelago", &mut script);
    let mut stdout = io::stdout().lock();
    stdout.write_all(&script).and_then(|()| stdout.flush()).map_err(Failure::stdout)
}

/// The JSON of `man`.
#[derive(Serialize)]
struct Written {
    dir: String,
}

/// Writes a manual page for each command.
pub fn man(context: &Context, dir: &Path) -> Result {
    let write = || Failure::local(format!("write manual pages to '{}'", dir.display()));
    std::fs::create_dir_all(dir).map_err(write())?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(write())?;
    let written = Written { dir: dir.display().to_string() };
    context.output.confirm(&written, |written| format!("wrote manual pages to {}", written.dir))
}
