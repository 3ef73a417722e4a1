//! TLS, with clients of GnuTLS where they are installed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use archipelago_block::{Limits, TlsConfig, TlsMode};
use tempfile::TempDir;

use crate::client::{Client, Style, info_data, opt, port, rep, serve_with};
use crate::clients::{available, run};
use crate::memory::{Memory, MemoryExports};

/// A directory with certificates, named as libnbd wants them.
fn certificates() -> Option<TempDir> {
    if !available(&["openssl"]) {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let openssl = |args: &str| {
        let mut command = Command::new("openssl");
        command.args(args.split_whitespace()).current_dir(&directory);
        run(&mut command)
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    openssl(&format!("req -x509 {key} -keyout ca-key.pem -out ca-cert.pem -subj /CN=test-ca"));
    for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=tester")] {
        openssl(&format!("req -new {key} -keyout {name}-key.pem -out {name}.csr -subj {subject}"));
        let extensions = directory.path().join("ext");
        std::fs::write(extensions, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        openssl(&format!(
            "x509 -req -days 2 -in {name}.csr -CA ca-cert.pem -CAkey ca-key.pem -set_serial 7 \
             -extfile ext -out {name}-cert.pem"
        ));
    }
    Some(directory)
}

fn config(directory: &Path, client_ca: bool, mode: TlsMode) -> TlsConfig {
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    let ca = client_ca.then(|| read("ca-cert.pem"));
    TlsConfig::from_pem(&read("server-cert.pem"), &read("server-key.pem"), ca.as_deref(), mode)
        .unwrap()
}

fn exports() -> Arc<MemoryExports> {
    Arc::new(MemoryExports::default().with("v", Memory::new(64 << 20)))
}

#[test]
fn where_tls_is_required_nothing_is_told_without() {
    let Some(directory) = certificates() else { return };
    let tls = config(directory.path(), false, TlsMode::Required);
    let server = serve_with(&exports(), Some(tls), Limits::default());
    let mut client = Client::connect(&server);
    for option in [opt::LIST, opt::STRUCTURED_REPLY, opt::GO, 4711] {
        assert_eq!(client.verdict(option, &info_data("v", &[])), rep::TLS_REQD);
    }
    assert_eq!(client.verdict(opt::STARTTLS, b"x"), rep::INVALID);
    client.send_option(opt::EXPORT_NAME, b"v");
    assert!(client.is_closed());
}

#[test]
fn where_tls_is_optional_both_are_served() {
    let Some(directory) = certificates() else { return };
    let tls = config(directory.path(), false, TlsMode::Optional);
    let server = serve_with(&exports(), Some(tls), Limits::default());
    let mut clear = Client::open(&server, "v", Style::Simple);
    assert_eq!(clear.do_write(0, 0, &[1; 512]), 0);
    if available(&["nbdinfo"]) {
        let out = nbdinfo(&server, directory.path(), "--size");
        assert_eq!(out.trim(), (64 << 20).to_string());
    }
}

#[test]
fn what_is_sent_in_the_clear_after_starttls_is_never_taken_for_an_option() {
    let Some(directory) = certificates() else { return };
    let tls = config(directory.path(), false, TlsMode::Required);
    let server = serve_with(&exports(), Some(tls), Limits::default());
    let mut client = Client::connect(&server);
    let mut bytes = Vec::new();
    for (option, data) in [(opt::STARTTLS, Vec::new()), (opt::GO, info_data("v", &[]))] {
        bytes.extend(crate::client::OPTION_MAGIC.to_be_bytes());
        bytes.extend(option.to_be_bytes());
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(data);
    }
    client.send(&bytes);
    assert_eq!(client.bytes(20)[12..16], rep::ACK.to_be_bytes());
    // A TLS alert at most, and the end.
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut client.socket, &mut rest);
    assert!(rest.len() < 20 && rest.first().is_none_or(|kind| *kind == 21), "{rest:?}");
    server.stop();
    assert_eq!(server.counts().tls_failures, 1);
}

#[test]
fn a_client_without_the_certificate_asked_for_is_refused() {
    let Some(directory) = certificates() else { return };
    if !available(&["nbdinfo"]) {
        return;
    }
    let tls = config(directory.path(), true, TlsMode::Required);
    let server = serve_with(&exports(), Some(tls), Limits::default());
    let out = nbdinfo(&server, directory.path(), "--size");
    assert_eq!(out.trim(), (64 << 20).to_string());
    std::fs::remove_file(directory.path().join("client-cert.pem")).unwrap();
    std::fs::remove_file(directory.path().join("client-key.pem")).unwrap();
    let refused = Command::new("nbdinfo").arg(uri(&server, directory.path())).output().unwrap();
    assert!(!refused.status.success());
}

#[test]
fn much_goes_both_ways_under_tls() {
    let Some(directory) = certificates() else { return };
    if !available(&["nbdcopy"]) {
        return;
    }
    let tls = config(directory.path(), true, TlsMode::Required);
    let exports = exports();
    let server = serve_with(&exports, Some(tls), Limits::default());
    let file = directory.path().join("image");
    let image: Vec<u8> = (0..64u32 << 20).map(|at| (at ^ (at >> 9)) as u8).collect();
    std::fs::write(&file, &image).unwrap();
    let uri = uri(&server, directory.path());
    run(Command::new("nbdcopy").args(["--connections=4", "--flush"]).arg(&file).arg(&uri));
    assert!(exports.get("v").bytes(0, 64 << 20) == image);
    let back = directory.path().join("back");
    run(Command::new("nbdcopy").arg("--connections=4").arg(&uri).arg(&back));
    assert!(std::fs::read(back).unwrap() == image);
}

fn uri(server: &archipelago_block::NbdServer, directory: &Path) -> String {
    format!("nbds://localhost:{}/v?tls-certificates={}", port(server), directory.display())
}

fn nbdinfo(server: &archipelago_block::NbdServer, directory: &Path, what: &str) -> String {
    run(Command::new("nbdinfo").arg(what).arg(uri(server, directory)))
}
