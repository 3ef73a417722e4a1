//! `archipelago scrub` and `archipelago check`.

use std::path::PathBuf;

use archipelago_model::size::parse_bytes;
use clap::Args;

#[derive(Args, Debug)]
pub struct Scrub {
    /// Bytes a second at most, as 100M; also when it goes on after a restart of the server
    #[arg(long, value_name = "SIZE", value_parser = parse_rate)]
    pub rate: Option<u64>,
    /// From the front, also when an earlier one was stopped on the way
    #[arg(long)]
    pub restart: bool,
    /// Begin and return; the server goes on
    #[arg(long)]
    pub detach: bool,
    /// Begin nothing: show how far it is and what is damaged
    #[arg(long, conflicts_with_all = ["rate", "restart", "detach", "stop"])]
    pub status: bool,
    /// Stop the scrub under way; the next one goes on from there
    #[arg(long, conflicts_with_all = ["rate", "restart", "detach"])]
    pub stop: bool,
}

fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_bytes(text) {
        Ok(0) => Err("a rate is at least one byte a second; leave it out for no limit".to_owned()),
        Ok(rate) => Ok(rate),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Args, Debug)]
pub struct Check {
    /// The folder of a store that no server has open; it is opened as `serve` opens it: an
    /// interrupted log is read back and sealed, and the catalog is backed up
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
