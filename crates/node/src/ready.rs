//! What standard output says once everything works: for people, and for the
//! scripts that wait for the line `ready`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use archipelago_block::Listen;
use archipelago_pool::FirstAdmin;

/// Writes where everything is, and at the very first start who may log in: nobody learns that
/// again. A closed standard output is no reason to stop.
pub(crate) fn announce(
    out: &mut dyn Write,
    data: &Path,
    http: SocketAddr,
    nbd: &[Listen],
    first: Option<&FirstAdmin>,
) {
    let text = text(data, http, nbd, first);
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::debug!(%error, "standard output is closed");
    }
}

fn text(data: &Path, http: SocketAddr, nbd: &[Listen], first: Option<&FirstAdmin>) -> String {
    let mut lines = vec![
        format!("Archipelago {}", env!("CARGO_PKG_VERSION")),
        format!("  store  {}", data.display()),
        format!("  http   http://{http}"),
    ];
    for listen in nbd {
        lines.push(match listen {
            Listen::Tcp(address) => format!("  nbd    nbd://{address}/NAME"),
            Listen::Unix(path) => format!("  nbd    nbd+unix:///NAME?socket={}", path.display()),
        });
    }
    // Without an address: scripts look for the one line that has it.
    lines.push("  login  /identity/v3 (Keystone), /auth/v1.0 (Swift)".to_owned());
    if let Some(first) = first {
        lines.push(format!("  user   {}  password {}", first.user, first.password.expose()));
        lines.push(format!("  s3     {}  secret {}", first.access_key, first.secret_key.expose()));
        lines.push(format!(
            "         shown this once: keep them; `archipelago user passwd {}` sets a new password",
            first.user
        ));
    }
    lines.push("  stop   Ctrl-C, or SIGTERM".to_owned());
    lines.push("ready".to_owned());
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests;
