//! `archipelago serve`: the daemon, in this process.

use archipelago_node::{self as node, LogFormat, ServeError, ServeOptions};

use crate::args::serve::Serve;
use crate::failure::{Failure, Kind, Result};

/// Runs until it is told to stop. `json` is for programs, and so is then the log.
pub fn serve(options: Serve, json: bool) -> Result {
    let options = ServeOptions {
        config: options.config,
        data: options.data,
        http: options.http,
        s3_domains: options.s3_domain,
        swift_domains: options.swift_domain,
        nbd: options.nbd,
        allow_remote: options.allow_remote,
        log_format: options.log_format.or(json.then_some(LogFormat::Json)),
        log_filter: options.log_filter,
    };
    node::serve(options).map_err(|error| {
        let kind = match error {
            ServeError::Setting(_) | ServeError::Remote { .. } => Kind::Usage,
            _ => Kind::Daemon,
        };
        Failure::new(kind, error.to_string())
    })
}
