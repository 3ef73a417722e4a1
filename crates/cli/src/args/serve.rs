//! `archipelago serve`.

use std::path::PathBuf;

use archipelago_node::LogFormat;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Options of `serve`. What is not given comes from the configuration file,
/// then from the daemon's defaults; so nothing has a default here.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  archipelago serve
  archipelago serve --data /srv/archipelago --nbd 127.0.0.1:10809 --nbd unix:/run/archipelago.sock")]
pub struct Serve {
    /// The folder of the store; made if it does not exist [default: ./archipelago-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The address of the HTTP API; port 0 takes a free one [default: 127.0.0.1:7480]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// A domain with a bucket of S3 in front, BUCKET.NAME; may be repeated
    #[arg(long, value_name = "NAME")]
    pub s3_domain: Vec<String>,
    /// A domain with an account of Swift in front, AUTH_ID.NAME or CONTAINER.AUTH_ID.NAME; may be repeated
    #[arg(long, value_name = "NAME")]
    pub swift_domain: Vec<String>,
    /// An address of the NBD server, HOST:PORT or unix:PATH; may be repeated [default: 127.0.0.1:10809]
    #[arg(long, value_name = "ADDR|unix:PATH")]
    pub nbd: Vec<String>,
    /// A configuration file (TOML); options given here win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen also on addresses that other machines reach
    ///
    /// Who comes from another machine has to log in to the HTTP API, with a token that travels
    /// without TLS. NBD asks for tickets then (`archipelago attach`).
    #[arg(long)]
    pub allow_remote: bool,
    /// How the log on stderr is written [default: human]
    #[arg(long, value_name = "FORMAT", value_parser = log_format())]
    pub log_format: Option<LogFormat>,
    /// Which log lines to write, as warn or info,archipelago_engine=debug [default: info]
    #[arg(long = "log", value_name = "FILTER", env = "ARCHIPELAGO_LOG")]
    pub log_filter: Option<String>,
}

fn log_format() -> impl TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(["human", "json"]).try_map(|text| text.parse::<LogFormat>())
}
