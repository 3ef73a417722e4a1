//! What each verb does.

mod account;
mod attach;
mod container;
mod env;
mod file;
mod gc;
mod image;
mod manual;
mod pool;
mod rebuild;
mod report;
mod serve;
mod share;
mod snapshot;
mod sync;
mod token;
mod transfer;
mod trust;
mod user;
mod volume;

use archipelago_env::Env;
use serde::Serialize;

pub use transfer::cut_off;

use crate::args::{self, Cli, Command, Global};
use crate::client::{Client, Token};
use crate::failure::{Failure, Result};
use crate::output::Output;

/// What a verb works with.
struct Context {
    client: Client,
    output: Output,
    env: Env,
}

/// Runs a command to its end.
pub fn run(cli: Cli, output: Output) -> Result {
    let Global { endpoint, token_file, json, .. } = cli.global;
    // These are for machines without a server, and for who has no token yet.
    let token = match &cli.command {
        Command::Serve(_) | Command::Completions { .. } | Command::Man { .. } => None,
        Command::Token(args::token::Token::Issue { .. }) => None,
        _ => Token::find(token_file.as_deref())?,
    };
    let context = Context { client: Client::new(endpoint, token), output, env: Env::real() };
    match cli.command {
        Command::Serve(options) => serve::serve(options, json),
        Command::Image(verb) => image::run(&context, verb),
        Command::Volume(verb) => volume::run(&context, verb),
        Command::Snapshot(verb) => snapshot::run(&context, verb),
        Command::File(verb) => file::run(&context, verb),
        Command::Container(verb) => container::run(&context, verb),
        Command::Pool(verb) => pool::run(&context, verb),
        Command::Fork { container, new, owner } => {
            container::fork(&context, &container, &new, &owner)
        }
        Command::Share(options) => share::run(&context, options),
        Command::Audit { limit } => share::audit(&context, limit),
        Command::Sync(options) => sync::run(&context, &options),
        Command::User(verb) => user::run(&context, verb),
        Command::Account(verb) => account::run(&context, verb),
        Command::Attach(options) => attach::attach(&context, &options),
        Command::Token(verb) => token::run(&context, verb),
        Command::Env { user, account } => env::env(&context, &user, account),
        Command::Df => report::df(&context),
        Command::Rebuild { data, force } => rebuild::run(&context, &data, force),
        Command::Gc { now } => gc::run(&context, now),
        Command::Scrub(options) => trust::scrub(&context, options),
        Command::Check(options) => trust::check(&context, &options),
        Command::Status => report::status(&context),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::man(&context, &dir),
    }
}

/// The JSON of `rm`.
#[derive(Serialize)]
struct Removed {
    removed: Vec<String>,
}

/// Removes one after the other. One that fails is reported and does not keep
/// the others; the last failure is the result.
fn remove_each(
    context: &Context,
    noun: &str,
    names: &[String],
    remove: impl Fn(usize) -> Result,
) -> Result {
    let mut removed = Removed { removed: Vec::new() };
    let mut failed: Option<Failure> = None;
    for (index, name) in names.iter().enumerate() {
        match remove(index) {
            Ok(()) => removed.removed.push(name.clone()),
            Err(failure) => {
                if let Some(earlier) = failed.replace(failure) {
                    context.output.failure(&earlier);
                }
            }
        }
    }
    context.output.confirm(&removed, |done| {
        let lines: Vec<String> =
            done.removed.iter().map(|name| format!("removed {noun} {name}")).collect();
        lines.join("\n")
    })?;
    failed.map_or(Ok(()), Err)
}
