//! Log lines: on standard error, for people or for programs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::ServeError;
use crate::config::LogFormat;

/// The library of S3 shows the fields of forms there, and keys of clients are among them.
const FORMS: &str = "s3s::ops=info";

/// Starts logging for the whole process. Where a log was started before (a
/// program that embeds the daemon, a test), that one stays.
pub(crate) fn start(format: LogFormat, filter: &str) -> Result<(), ServeError> {
    let wrong = |error: tracing_subscriber::filter::ParseError| {
        ServeError::Setting(format!("the log filter '{}': {error}", filter.escape_default()))
    };
    let quiet = FORMS.parse().map_err(wrong)?;
    let filter = EnvFilter::builder().parse(filter).map_err(wrong)?.add_directive(quiet);
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
    Ok(())
}
