//! Log lines: on standard error, for people or for programs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::ServeError;
use crate::config::LogFormat;

/// It calls whatever a client did wrong an error of the server. The gateway tells of each refusal
/// itself, at the level that it deserves, so that this is heard only by whoever asks for it.
const LIBRARY: &str = "s3s";
const LIBRARY_OFF: &str = "s3s=off";

/// Nor does it show there, to whoever asks, the fields of forms: keys of clients are among them.
const FORMS: &str = "s3s::ops=info";

/// Starts logging for the whole process. Where a log was started before (a
/// program that embeds the daemon, a test), that one stays.
pub(crate) fn start(format: LogFormat, filter: &str) -> Result<(), ServeError> {
    let wrong = |error: tracing_subscriber::filter::ParseError| {
        ServeError::Setting(format!("the log filter '{}': {error}", filter.escape_default()))
    };
    let parsed = EnvFilter::builder().parse(filter).map_err(wrong)?;
    let quiet = if filter.contains(LIBRARY) { FORMS } else { LIBRARY_OFF };
    let filter = parsed.add_directive(quiet.parse().map_err(wrong)?);
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Human => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
    Ok(())
}
