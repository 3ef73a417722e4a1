//! The smallest Ceph that keeps what it acknowledges: one monitor, one OSD with bluestore on a
//! file, one gateway, on ports of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use archipelago_conformance::program::{Background, program};
use archipelago_conformance::wait_for;

use super::servers::{await_port, call, free_port};

/// An OSD that is not up after this is taken for broken.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// What the OSD may hold.
const OSD_BYTES: u64 = 32 << 30;

/// A running cluster.
pub struct Ceph {
    pub endpoint: String,
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
    /// Starts one below `folder` with a user of S3.
    pub fn start(folder: &Path, key: &str, secret: &str) -> Result<Self> {
        let ports = [free_port()?, free_port()?, free_port()?];
        let place = Place {
            folder: folder.to_owned(),
            config: folder.join("ceph.conf").display().to_string(),
        };
        fs::write(&place.config, config(folder, ports))?;
        let monitor = monitor(&place, ports[0])?;
        let osd = osd(&place)?;
        // What was started is ended in this order.
        let mut ceph = Self { endpoint: String::new(), processes: vec![osd, monitor] };
        let user = ["user", "create", "--uid", "bench", "--display-name", "Bench"];
        let keys = ["--access-key", key, "--secret-key", secret];
        place.tool("radosgw-admin", &[&user[..], &keys[..]].concat())?;
        let gateway = place.daemon("radosgw", &["-n", "client.rgw"])?;
        ceph.processes.insert(0, gateway);
        await_port(&ports[2].to_string())?;
        ceph.endpoint = format!("http://127.0.0.1:{}", ports[2]);
        Ok(ceph)
    }

    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(Background::id)
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

/// Its own settings wherever these do not keep it from running on one machine, or at all.
fn config(folder: &Path, [monitor, osd, gateway]: [u16; 3]) -> String {
    let folder = folder.display();
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
[client]
admin_socket =
[mon]
mon_data = {folder}/mon.$id
mon_data_avail_warn = 2
mon_data_avail_crit = 1
[osd]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
osd_data = {folder}/osd.$id
osd_objectstore = bluestore
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
