//! What a suite is to the command that runs it.

use std::path::Path;

use anyhow::{Context, Result};
use archipelago_conformance::cli::Cli;

/// What the users of a suite type; it guards a store on loopback that lives for minutes.
pub const PASSWORD: &str = "testing12345";

/// How a suite finds the daemon.
pub struct Prepared {
    /// Of its process.
    pub environment: Vec<(&'static str, String)>,
}

/// A suite that others wrote.
pub trait Suite {
    /// A word for it.
    fn name(&self) -> &'static str;
    /// Names its checkout in the environment.
    fn variable(&self) -> &'static str;
    /// How to get it.
    fn source(&self) -> &'static str;
    /// Where its tests are, in the checkout.
    fn folder(&self) -> &'static str;
    /// What it needs besides its own list.
    fn packages(&self) -> &'static [&'static str];
    /// The list of what passes, in `docs/conformance`.
    fn list(&self) -> &'static str;
    /// What pytest is to run.
    fn tests(&self) -> &'static [&'static str];
    /// More arguments of the daemon.
    fn serve(&self) -> &'static [&'static str];
    /// The daemon's configuration, as TOML; nothing for the defaults.
    fn settings(&self) -> Option<String> {
        None
    }
    /// Makes users and writes the configuration into a folder.
    fn prepare(&self, cli: &Cli, http: &str, out: &Path) -> Result<Prepared>;
}

/// Makes a user.
pub fn make_user(cli: &Cli, arguments: &[&str]) -> Result<()> {
    let words = ["user", "create"].iter().chain(arguments).copied().collect::<Vec<_>>();
    cli.command(&words).input(PASSWORD).run().map(drop)
}

/// A field of what a command printed as JSON.
pub fn field(value: &serde_json::Value, name: &str) -> Result<String> {
    let text = value[name].as_str().with_context(|| format!("no field {name}"))?;
    Ok(text.to_owned())
}
