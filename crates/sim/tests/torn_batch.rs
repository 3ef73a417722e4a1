//! What recovery has passed over stays so, whatever a later power cut keeps.

#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use archipelago_env::{Env, Mode};
use archipelago_model::VolumeSize;
use archipelago_pool::{Config, Origin, Service, Write};

const DATA: &str = "/data";
const SEGMENTS: &str = "/data/pool/segments/0000000";

/// A byte of the header of the first batch.
const IN_FIRST_BATCH: u64 = 512 + 100;

fn open(env: &Env) -> std::sync::Arc<Service> {
    let config = Config { collector_interval_ms: 0, lifecycle_interval_ms: 0, ..Config::default() };
    Service::open(Path::new(DATA), env.clone(), config).unwrap()
}

fn first_sector(env: &Env) -> Vec<u8> {
    let service = open(env);
    let mut bytes = vec![0; 512];
    service.open_device("web").unwrap().read(0, &mut bytes).unwrap();
    bytes
}

fn newest(env: &Env) -> PathBuf {
    let names = env.disk().list(Path::new(SEGMENTS)).unwrap().into_iter().map(|entry| entry.name);
    Path::new(SEGMENTS).join(names.max().unwrap())
}

#[test]
fn a_write_that_was_read_as_lost_does_not_come_back() {
    for seed in 0..32 {
        let (env, sim) = archipelago_sim::env(seed);
        let service = open(&env);
        let size = VolumeSize::from_bytes(1 << 20).unwrap();
        service.volume_create(&["web".parse().unwrap()], &Origin::Empty(size)).unwrap();
        service.close().unwrap();
        let env = sim.kill();
        let service = open(&env);
        let device = service.open_device("web").unwrap();
        device.write(&[Write::Data { offset: 0, bytes: &[7; 512] }]).unwrap();
        let env = sim.kill();
        drop((device, service));
        // As a later write does that fails half-way in the same place.
        let file = env.disk().open(&newest(&env), Mode::Write).unwrap();
        file.write_all_at(IN_FIRST_BATCH, &[IoSlice::new(&[0xee; 64])]).unwrap();
        drop(file);
        assert_eq!(first_sector(&env), [0; 512], "seed {seed}");
        let env = sim.crash();
        assert_eq!(first_sector(&env), [0; 512], "seed {seed}");
    }
}
