//! Serves memory over NBD, to try clients on: `memory ADDRESS|SOCKET [SIZE-IN-MIB [TLS-DIRECTORY]]`.
//! The directory holds `server.pem` and `server.key`, and `ca.pem` when clients need certificates.

#[allow(dead_code)]
#[path = "../tests/nbd/memory.rs"]
mod memory;

use std::path::Path;
use std::sync::Arc;

use archipelago_block::{Limits, Listen, NbdServer, TlsConfig, TlsMode};
use archipelago_env::Env;

use memory::{Memory, MemoryExports};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:10809".to_owned());
    let listen = match address.parse() {
        Ok(address) => Listen::Tcp(address),
        Err(_) => Listen::Unix(address.into()),
    };
    let mebibytes: u64 = args.next().map_or(Ok(1024), |text| text.parse())?;
    let tls = args.next().map(|directory| {
        let read = |name: &str| std::fs::read(Path::new(&directory).join(name));
        let ca = read("ca.pem").ok();
        Ok::<_, Box<dyn std::error::Error>>(TlsConfig::from_pem(
            &read("server.pem")?,
            &read("server.key")?,
            ca.as_deref(),
            TlsMode::Required,
        )?)
    });
    let exports = MemoryExports::default()
        .with("x", Memory::new(mebibytes << 20).with_snapshot("s"))
        .with("x@s", Memory::new(mebibytes << 20).read_only());
    let server = NbdServer::start(
        Env::real(),
        Arc::new(exports),
        &[listen],
        tls.transpose()?,
        Limits::default(),
    )?;
    println!("{}", server.local_addrs()[0]);
    // Until standard input ends.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    server.stop();
    eprintln!("{:?}", server.counts());
    Ok(())
}
