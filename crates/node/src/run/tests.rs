//! Tests of starting and stopping. Signals and standard output are tested with
//! the real program in crate `cli`.

use std::sync::Arc;

use archipelago_env::Env;
use archipelago_pool::{self as pool, Service};

use super::*;

#[test]
fn a_second_daemon_on_the_same_folder_is_refused_with_folder_and_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = Service::open(dir.path(), Env::real(), pool::Config::default()).unwrap();
    let options = ServeOptions {
        data: Some(dir.path().to_owned()),
        http: Some("127.0.0.1:0".to_owned()),
        nbd: vec!["127.0.0.1:0".to_owned()],
        ..Default::default()
    };
    let message = serve(options).unwrap_err().to_string();
    assert!(message.contains(&dir.path().display().to_string()), "{message}");
    assert!(message.contains(&std::process::id().to_string()), "{message}");
    first.close().unwrap();
}

#[test]
fn an_address_that_is_taken_closes_the_store_again() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (http, nbd) in [
        (taken.local_addr().unwrap().to_string(), "127.0.0.1:0".to_owned()),
        ("127.0.0.1:0".to_owned(), taken.local_addr().unwrap().to_string()),
    ] {
        let options = ServeOptions {
            data: Some(dir.path().join("d")),
            http: Some(http),
            nbd: vec![nbd],
            ..Default::default()
        };
        let error = serve(options).unwrap_err().to_string();
        let port = taken.local_addr().unwrap().port().to_string();
        assert!(error.contains(&port), "{error}");
    }
    let again = Service::open(&dir.path().join("d"), Env::real(), pool::Config::default());
    again.unwrap().close().unwrap();
}

#[test]
fn a_missing_certificate_is_named() {
    let files = TlsFiles {
        cert: "/nowhere/cert.pem".into(),
        key: "/nowhere/key.pem".into(),
        client_ca: None,
        required: true,
    };
    let error = load_tls(&files).unwrap_err().to_string();
    assert!(error.contains("/nowhere/cert.pem"), "{error}");
}

#[test]
fn nbd_counts_have_one_sample_a_command() {
    let exports = Arc::new(NoExports);
    let server = NbdServer::start(Env::real(), exports, &[], None, Limits::default()).unwrap();
    let metrics = nbd_metrics(&server.counts(), server.connections());
    let reads = metrics.iter().filter(|metric| {
        metric.name == "archipelago_nbd_requests_total" && metric.labels[0].1 == "read"
    });
    assert_eq!(reads.count(), 1);
}

struct NoExports;

impl archipelago_block::Exports for NoExports {
    fn open(
        &self,
        _: archipelago_block::Client,
        name: &str,
    ) -> Result<Arc<dyn archipelago_block::Export>, archipelago_block::ExportError> {
        let kind = archipelago_block::ExportErrorKind::NotFound;
        Err(archipelago_block::ExportError::new(kind, name))
    }

    fn list(
        &self,
        _: archipelago_block::Client,
    ) -> Result<Vec<String>, archipelago_block::ExportError> {
        Ok(Vec::new())
    }
}
