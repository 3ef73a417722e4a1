//! Clients that nobody here wrote, as processes. A test whose clients are not installed says so
//! and passes; `apt-get install libnbd-bin python3-libnbd qemu-utils fio openssl` brings them.

use std::process::Command;
use std::sync::Arc;

use archipelago_block::{Limits, Listen, NbdServer};
use archipelago_env::Env;

use crate::client::{port, serve};
use crate::memory::{Memory, MemoryExports};

/// Whether all of these programs are installed.
pub fn available(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        !std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    });
    if let Some(missing) = missing {
        eprintln!("skipped: {missing} is not installed");
    }
    missing.is_none()
}

/// Runs a program that has to succeed; what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}\n{err}", output.status);
    out
}

fn exports() -> Arc<MemoryExports> {
    let volume = Memory::new(64 << 20).with_snapshot("s");
    Arc::new(MemoryExports::default().with("v", volume))
}

fn uri(server: &NbdServer) -> String {
    format!("nbd://127.0.0.1:{}/v", port(server))
}

#[test]
fn nbdinfo_sees_the_export_and_its_contexts() {
    if !available(&["nbdinfo"]) {
        return;
    }
    let server = serve(&exports());
    let out = run(Command::new("nbdinfo").arg(uri(&server)));
    for line in [
        "export-size: 67108864",
        "base:allocation",
        "archipelago:changed-since:s",
        "can_multi_conn: true",
        "can_fast_zero: true",
        "block_size_maximum: 33554432",
    ] {
        assert!(out.contains(line), "{line} is not in\n{out}");
    }
    run(Command::new("nbdinfo").arg("--map=archipelago:changed-since:s").arg(uri(&server)));
}

#[test]
fn nbdcopy_over_many_connections_brings_back_what_it_took() {
    if !available(&["nbdcopy"]) {
        return;
    }
    let exports = exports();
    let server = serve(&exports);
    let directory = tempfile::tempdir().unwrap();
    let (file, back) = (directory.path().join("image"), directory.path().join("back"));
    let image: Vec<u8> = (0..64u32 << 20)
        .map(|at| if at >> 22 & 1 == 0 { (at ^ (at >> 9)) as u8 } else { 0 })
        .collect();
    std::fs::write(&file, &image).unwrap();
    let args = ["--connections=8", "--requests=64", "--flush"];
    run(Command::new("nbdcopy").args(args).arg(&file).arg(uri(&server)));
    assert!(exports.get("v").bytes(0, 64 << 20) == image);
    run(Command::new("nbdcopy").args(args).arg(uri(&server)).arg(&back));
    assert!(std::fs::read(back).unwrap() == image);
}

#[test]
fn qemu_converts_compares_and_maps_over_a_unix_socket() {
    if !available(&["qemu-img"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("nbd.sock");
    let listen = [Listen::Unix(socket.clone())];
    let limits = Limits::default();
    let server = NbdServer::start(Env::real(), exports() as _, &listen, None, limits).unwrap();
    let file = directory.path().join("image");
    let mut image = vec![0; 64 << 20];
    image[5 << 20..9 << 20].fill(0x5a);
    std::fs::write(&file, &image).unwrap();
    let uri = format!("nbd+unix:///v?socket={}", socket.display());
    let qemu = |args: &[&str]| run(Command::new("qemu-img").args(args).arg(&file).arg(&uri));
    qemu(&["convert", "-n", "-W", "-f", "raw", "-O", "raw"]);
    qemu(&["compare", "-f", "raw", "-F", "raw"]);
    let map = run(Command::new("qemu-img").args(["map", "--output=json", "-f", "raw"]).arg(&uri));
    assert!(map.contains("\"zero\": true"), "{map}");
    server.stop();
}

#[test]
fn fio_verifies_what_it_wrote_at_depth() {
    if !available(&["fio"]) {
        return;
    }
    let server = serve(&exports());
    let directory = tempfile::tempdir().unwrap();
    let job = "--name=v --ioengine=nbd --rw=randrw --bsrange=512-512k --size=64M --io_size=32M \
               --iodepth=32 --verify=crc32c --verify_fatal=1 --fsync=16 --randseed=7";
    let mut command = Command::new("fio");
    command.args(job.split_whitespace()).arg(format!("--uri={}", uri(&server)));
    run(command.current_dir(directory.path()));
}
