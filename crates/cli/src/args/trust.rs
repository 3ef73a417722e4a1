//! `archipelago scrub` and `archipelago check`.

use std::path::PathBuf;

use archipelago_model::size::parse_bytes;
use clap::Args;

#[derive(Args, Debug)]
pub struct Scrub {
    /// Bytes a second at most, as 100M
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
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

#[derive(Args, Debug)]
pub struct Check {
    /// The folder of a store that no server has open
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
