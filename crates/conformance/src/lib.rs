//! Real clients as processes against the built binary.
//!
//! The library is the harness: it starts the daemon ([`daemon`]), calls the
//! command line ([`cli`]) and other people's programs ([`program`]), speaks just
//! enough NBD to know what was acknowledged ([`nbd`]), and boots a guest
//! ([`guest`]). The facts are in `tests/`, one file for each kind of client.
//!
//! A missing program fails a test with the name of its Debian package; nothing
//! is skipped. Only processes that were started here are ended, by their id.

pub mod cli;
pub mod crash;
pub mod daemon;
pub mod filesystem;
pub mod guest;
pub mod load;
pub mod nbd;
pub mod peers;
pub mod place;
pub mod powercut;
pub mod program;
pub mod site;
pub mod stamp;
pub mod tools;
pub mod wire;

use std::sync::OnceLock;
use std::time::Duration;

use archipelago_env::Env;

/// The real clock and threads, as everybody else gets them.
pub fn env() -> &'static Env {
    static ENV: OnceLock<Env> = OnceLock::new();
    ENV.get_or_init(Env::real)
}

/// How often a condition of another process is looked at again.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `done` says something, at most `limit`; `None` when that passed.
pub fn wait_for<T>(limit: Duration, mut done: impl FnMut() -> Option<T>) -> Option<T> {
    let clock = env().clock();
    let end = clock.monotonic() + limit;
    loop {
        if let Some(value) = done() {
            return Some(value);
        }
        if end <= clock.monotonic() {
            return None;
        }
        clock.sleep(POLL);
    }
}
