//! NBD over TLS with client certificates, by libnbd and by QEMU.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use archipelago_conformance::daemon::{Daemon, Options};
use archipelago_conformance::nbd::Client;
use archipelago_conformance::program::program;

/// An authority, and what it or another signed, in files named as GnuTLS clients expect them.
fn certificates(folder: &Path) -> Result<()> {
    let openssl = |words: &str| -> Result<()> {
        let words: Vec<&str> = words.split_whitespace().collect();
        program("openssl")?.args(words).folder(folder).run().map(drop)
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    fs::write(
        folder.join("ext"),
        "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n",
    )?;
    for (authority, names) in [("ca", &["server", "client"][..]), ("other", &["stranger"])] {
        openssl(&format!(
            "req -x509 {key} -keyout {authority}-key.pem -out {authority}-cert.pem -days 2 -subj /CN={authority}"
        ))?;
        for name in names {
            openssl(&format!(
                "req -new {key} -keyout {name}-key.pem -out {name}.csr -subj /CN={name}"
            ))?;
            openssl(&format!(
                "x509 -req -in {name}.csr -CA {authority}-cert.pem -CAkey {authority}-key.pem \
                 -CAcreateserial -days 2 -extfile ext -out {name}-cert.pem"
            ))?;
        }
    }
    Ok(())
}

/// A folder of what one client shows: the authority, its certificate and its key.
fn client(folder: &Path, name: &str) -> Result<PathBuf> {
    let own = folder.join(format!("{name}-folder"));
    fs::create_dir(&own)?;
    fs::copy(folder.join("ca-cert.pem"), own.join("ca-cert.pem"))?;
    fs::copy(folder.join(format!("{name}-cert.pem")), own.join("client-cert.pem"))?;
    fs::copy(folder.join(format!("{name}-key.pem")), own.join("client-key.pem"))?;
    Ok(own)
}

/// A daemon that asks for a certificate of the authority, with a volume `vol`.
fn serve(folder: &Path) -> Result<Daemon> {
    certificates(folder)?;
    let config = folder.join("config.toml");
    let tls = "[tls]\ncert = \"server-cert.pem\"\nkey = \"server-key.pem\"\n\
               client_ca = \"ca-cert.pem\"\nrequired = true\n";
    fs::write(&config, tls)?;
    let config = config.display().to_string();
    let daemon = Options::new(&folder.join("data")).args(&["--config", &config]).start()?;
    daemon.cli()?.run(&["volume", "create", "vol", "--size", "16M"])?;
    Ok(daemon)
}

fn uri(daemon: &Daemon, certificates: &Path) -> String {
    format!("nbds://{}/vol?tls-certificates={}", daemon.nbd(), certificates.display())
}

#[test]
fn libnbd_and_qemu_with_a_certificate_are_served_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = serve(folder.path())?;
    let own = client(folder.path(), "client")?;
    let info = program("nbdinfo")?.args(["--json", &uri(&daemon, &own)]).json()?;
    assert_eq!(info["TLS"], true, "{info}");

    let (host, port) = daemon.nbd().rsplit_once(':').unwrap_or_default();
    let credentials = format!("tls-creds-x509,id=tls,endpoint=client,dir={}", own.display());
    let disk = format!(
        "driver=nbd,server.type=inet,server.host={host},server.port={port},export=vol,tls-creds=tls"
    );
    let steps = ["-c", "write -P 3 0 1M", "-c", "flush", "-c", "read -P 3 0 1M"];
    let arguments = ["--object", &credentials, "--image-opts", &disk];
    let said = program("qemu-io")?.args(steps).args(arguments).run()?.text();
    assert!(!said.contains("verification failed"), "{said}");
    daemon.stop()
}

#[test]
fn a_client_without_tls_or_with_a_strangers_certificate_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let daemon = serve(folder.path())?;
    let stranger = client(folder.path(), "stranger")?;
    program("nbdinfo")?.args([uri(&daemon, &stranger)]).fails()?;
    program("nbdinfo")?.args([daemon.uri("vol")]).fails()?;
    assert!(Client::connect(daemon.nbd(), "vol").is_err());
    let own = client(folder.path(), "client")?;
    program("nbdinfo")?.args([uri(&daemon, &own)]).run()?;
    daemon.stop()
}
