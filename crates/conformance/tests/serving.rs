//! The daemon: how it starts, says that it is ready, is watched, and stops.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result};
use archipelago_conformance::daemon::{Daemon, Options};
use archipelago_conformance::nbd::Request;
use archipelago_conformance::site::Site;

/// A plain HTTP request, so that no client library stands between.
fn get(daemon: &Daemon, path: &str) -> Result<String> {
    let address = daemon.http().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading the answer")?;
    Ok(answer)
}

#[test]
fn a_second_serve_on_the_same_folder_refuses_and_the_first_goes_on() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    let said = Options::new(&site.data()).refuses()?;
    assert!(said.contains(&site.data().display().to_string()), "{said}");
    site.write("vol", 0, &[1; 4096])?;
    assert_eq!(site.read("vol", 0, 4096)?, [1; 4096]);
    Ok(())
}

#[test]
fn a_taken_port_is_told_and_the_store_is_not_harmed() -> Result<()> {
    let site = Site::new()?;
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("data");
    let said = Options::new(&other).like(&site.daemon).refuses()?;
    let ports = [site.daemon.http(), site.daemon.nbd()].map(|address| address.rsplit(':').next());
    assert!(ports.iter().flatten().any(|port| said.contains(port)), "{said}");
    Daemon::start(&other)?.stop()
}

#[test]
fn health_metrics_and_the_description_of_the_api_are_served() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &[1; 4096])?;
    let health = get(&site.daemon, "/healthz")?;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    let metrics = get(&site.daemon, "/metrics")?;
    assert!(metrics.contains("# TYPE ") && metrics.contains("archipelago_"), "{metrics}");
    let description = get(&site.daemon, "/openapi.json")?;
    assert!(description.contains("\"openapi\"") && description.contains("/v1/volumes"));
    Ok(())
}

#[test]
fn sigterm_stops_cleanly_while_clients_are_connected_and_keeps_what_they_wrote() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    let mut client = site.open("vol")?;
    // Not flushed by the client: a clean stop keeps it all the same.
    client.all(&[Request::write(0, &[7; 65536])])?;
    let site = site.restart()?;
    assert_eq!(site.read("vol", 0, 65536)?, [7; 65536]);
    Ok(())
}

#[test]
fn a_clean_stop_leaves_nothing_to_recover() -> Result<()> {
    let site = Site::with_volume("vol", "64M")?;
    site.write("vol", 0, &vec![1; 16 << 20])?;
    let site = site.restart()?.restart()?;
    assert_eq!(site.read("vol", (16 << 20) - 4096, 8192)?, [[1; 4096], [0; 4096]].concat());
    Ok(())
}

#[test]
fn completions_and_manual_pages_come_from_the_binary() -> Result<()> {
    let site = Site::new()?;
    for shell in ["bash", "zsh", "fish"] {
        assert!(site.cli.run(&["completions", shell])?.text().contains("archipelago"));
    }
    let pages = site.text("man");
    site.cli.run(&["man", &pages])?;
    assert!(std::fs::read_dir(&pages)?.count() > 5);
    Ok(())
}
