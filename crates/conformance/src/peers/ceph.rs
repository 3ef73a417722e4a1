//! The smallest Ceph there is: one monitor, one OSD, and a gateway where one is wanted, on ports
//! of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{await_port, call, free_port};
use crate::program::{Background, program};
use crate::wait_for;

/// An OSD that is not up after this is taken for broken.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// What the OSD may hold.
const OSD_BYTES: u64 = 32 << 30;

/// What a cluster is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To be measured: bluestore on a file, its own settings wherever it runs with them.
    Figures,
    /// To be there at once: objects in memory, nothing waited for.
    Facts,
}

/// A running cluster.
pub struct Ceph {
    place: Place,
    ports: [u16; 3],
    /// The gateway first, then the OSD, then the monitor: the order in which they are ended.
    processes: Vec<Background>,
}

/// Where its files are, and what it is called.
struct Place {
    folder: PathBuf,
    config: String,
}

impl Place {
    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let all = [&["-c", &self.config], arguments].concat();
        call(name, &all)
    }

    /// Stays in the foreground, so that it ends with us.
    fn daemon(&self, name: &str, arguments: &[&str]) -> Result<Background> {
        let log = File::create(self.folder.join(format!("{name}.out")))?;
        let fixed = ["-f", "-c", &self.config];
        program(name)?.args(fixed).args(arguments).background(&log)
    }
}

impl Ceph {
    /// Starts one below `folder`, without a gateway.
    pub fn start(folder: &Path, purpose: Purpose) -> Result<Self> {
        let ports = [free_port()?, free_port()?, free_port()?];
        let place = Place {
            folder: folder.to_owned(),
            config: folder.join("ceph.conf").display().to_string(),
        };
        fs::write(&place.config, config(folder, ports, purpose))?;
        let monitor = monitor(&place, ports[0])?;
        let osd = osd(&place)?;
        // What was started is ended in this order.
        Ok(Self { place, ports, processes: vec![osd, monitor] })
    }

    /// Starts the gateway, with a user of S3.
    pub fn start_gateway(&mut self, key: &str, secret: &str) -> Result<()> {
        let user = ["user", "create", "--uid", "bench", "--display-name", "Bench"];
        let keys = ["--access-key", key, "--secret-key", secret];
        self.place.tool("radosgw-admin", &[&user[..], &keys[..]].concat())?;
        let gateway = self.place.daemon("radosgw", &["-n", "client.rgw"])?;
        self.processes.insert(0, gateway);
        await_port(&self.ports[2].to_string())
    }

    /// Makes a pool.
    pub fn make_pool(&self, name: &str) -> Result<()> {
        self.place.tool("ceph", &["osd", "pool", "create", name, "8", "8", "replicated"])?;
        self.place.tool("ceph", &["osd", "pool", "application", "enable", name, "archipelago"])?;
        Ok(())
    }

    /// The URL of the gateway.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[2])
    }

    /// The file that clients find the cluster by.
    pub fn config(&self) -> &Path {
        Path::new(&self.place.config)
    }

    /// The ids of its processes.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(Background::id)
    }

    /// Its gateway, where one was started.
    pub fn gateway(&self) -> Option<&Background> {
        self.processes.first().filter(|_| self.processes.len() > 2)
    }

    /// Its OSD, to be stopped and let go on.
    pub fn osd(&self) -> Option<&Background> {
        self.processes.iter().rev().nth(1)
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        self.processes.iter_mut().for_each(Background::kill);
    }
}

fn monitor(place: &Place, port: u16) -> Result<Background> {
    let (ring, map, data) = (place.path("keyring"), place.path("monmap"), place.path("mon.a"));
    let all = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"];
    call(
        "ceph-authtool",
        &["--create-keyring", &ring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *"],
    )?;
    call(
        "ceph-authtool",
        &[&[ring.as_str(), "--gen-key", "-n", "client.admin"], &all[..]].concat(),
    )?;
    let address = format!("[v2:127.0.0.1:{port}]");
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    call(
        "monmaptool",
        &["--create", "--clobber", "--fsid", id.trim(), "--addv", "a", &address, &map],
    )?;
    fs::create_dir(&data)?;
    let made = ["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &ring];
    place.tool("ceph-mon", &made)?;
    place.daemon("ceph-mon", &["-i", "a"])
}

fn osd(place: &Place) -> Result<Background> {
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    place.tool("ceph", &["--connect-timeout", "30", "osd", "new", id.trim(), "0"])?;
    fs::create_dir(place.folder.join("osd.0"))?;
    place.tool("ceph-osd", &["-i", "0", "--mkfs", "--osd-uuid", id.trim()])?;
    let osd = place.daemon("ceph-osd", &["-i", "0"])?;
    let up = || place.tool("ceph", &["osd", "stat"]).ok().filter(|text| text.contains("1 up"));
    wait_for(UP_WITHIN, up).context("the OSD of Ceph does not come up")?;
    let caps = ["mon", "allow rw", "osd", "allow rwx", "mgr", "allow rw"];
    let key = [&["auth", "get-or-create", "client.rgw"], &caps[..]].concat();
    let key = place.tool("ceph", &key)?;
    let ring = place.path("keyring");
    fs::write(&ring, fs::read_to_string(&ring)? + &key)?;
    Ok(osd)
}

/// A monitor waits a second for more to decide at once.
const HURRY: &str = "paxos_propose_interval = 0.01\npaxos_min_wait = 0.01\n";

/// Its own settings wherever these do not keep it from running on one machine, or at all.
fn config(folder: &Path, [monitor, osd, gateway]: [u16; 3], purpose: Purpose) -> String {
    let folder = folder.display();
    let (backend, hurry) = match purpose {
        Purpose::Figures => ("bluestore", ""),
        Purpose::Facts => ("memstore", HURRY),
    };
    format!(
        "[global]
mon_host = [v2:127.0.0.1:{monitor}]
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = {osd}
ms_bind_port_max = {}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
keyring = {folder}/keyring
run_dir = {folder}
log_to_stderr = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
mon_allow_pool_delete = true
{hurry}[client]
admin_socket =
[mon]
mon_data = {folder}/mon.$id
mon_data_avail_warn = 2
mon_data_avail_crit = 1
[osd]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_data = {folder}/osd.$id
osd_objectstore = {backend}
memstore_device_bytes = 4294967296
bluestore_block_size = {OSD_BYTES}
[client.rgw]
# Without it, it wants a secure connection, which there is none of with auth none.
ms_mon_client_mode = crc
rgw_data = {folder}/rgw
# Otherwise small answers wait 40 ms for an acknowledgement.
rgw_frontends = beast endpoint=127.0.0.1:{gateway} tcp_nodelay=1
rgw_enable_usage_log = false
",
        osd.saturating_add(400)
    )
}
