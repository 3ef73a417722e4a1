//! A small Ceph: one monitor, one OSD or a few, and a gateway where one is wanted, on ports of
//! their own.

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

/// How large a cluster is, and whom it lets in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// What it is made for.
    pub purpose: Purpose,
    /// OSDs. Each keeps a copy of everything, and all but one have to acknowledge.
    pub osds: usize,
    /// Whether keys are asked for (cephx).
    pub keys: bool,
}

/// A running cluster.
pub struct Ceph {
    place: Place,
    ports: [u16; 3],
    osds: usize,
    /// The gateway first, then the OSDs, then the monitor: the order in which they are ended.
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
    /// Starts one of one OSD below `folder`, without a gateway.
    pub fn start(folder: &Path, purpose: Purpose) -> Result<Self> {
        Self::shaped(folder, Shape { purpose, osds: 1, keys: false })
    }

    /// Starts one below `folder`, without a gateway.
    pub fn shaped(folder: &Path, shape: Shape) -> Result<Self> {
        let ports = [free_port()?, free_port()?, free_port()?];
        let place = Place {
            folder: folder.to_owned(),
            config: folder.join("ceph.conf").display().to_string(),
        };
        fs::write(&place.config, config(folder, ports, shape))?;
        let monitor = monitor(&place, ports[0])?;
        // What was started is ended in this order, also when the next one does not start.
        let mut this = Self { place, ports, osds: 0, processes: vec![monitor] };
        for id in 0..shape.osds {
            let osd = osd(&this.place, id, shape.keys)?;
            this.processes.insert(0, osd);
            this.osds += 1;
        }
        this.await_osds()?;
        key_of_gateway(&this.place)?;
        Ok(this)
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

    /// Waits until all OSDs take part: pools that are made then have all their copies.
    fn await_osds(&self) -> Result<()> {
        let wanted = format!("{} up", self.osds);
        let up = || self.place.tool("ceph", &["osd", "stat"]).ok().filter(|t| t.contains(&wanted));
        wait_for(UP_WITHIN, up).context("the OSDs of Ceph do not come up")?;
        Ok(())
    }

    /// Makes a user who may do with a pool what the store needs, and no more; gives the file that
    /// tells where the cluster and the key are.
    pub fn make_user(&self, name: &str, pool: &str) -> Result<PathBuf> {
        let entity = format!("client.{name}");
        let osd = format!("allow rwx pool={pool}");
        let user = ["auth", "get-or-create", &entity, "mon", "allow r", "osd", &osd];
        let ring = self.place.folder.join(format!("{name}.keyring"));
        fs::write(&ring, self.place.tool("ceph", &user)?)?;
        let config = self.place.folder.join(format!("{name}.conf"));
        let text = format!(
            "[global]\nmon_host = [v2:127.0.0.1:{}]\nkeyring = {}\n",
            self.ports[0],
            ring.display()
        );
        fs::write(&config, text)?;
        Ok(config)
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
        self.processes.first().filter(|_| self.processes.len() > self.osds + 1)
    }

    /// Its first OSD, to be stopped and let go on.
    pub fn osd(&self) -> Option<&Background> {
        self.processes.iter().rev().nth(1)
    }

    /// Ends the OSD that was started last, as a machine that loses its power does.
    pub fn kill_an_osd(&mut self) -> Result<()> {
        let last = self.processes.len().checked_sub(1 + self.osds).filter(|_| self.osds > 0);
        self.processes.remove(last.context("there is no OSD left")?).kill();
        self.osds -= 1;
        Ok(())
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

fn osd(place: &Place, id: usize, keys: bool) -> Result<Background> {
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let (uuid, number) = (uuid.trim(), id.to_string());
    let data = place.folder.join(format!("osd.{id}"));
    fs::create_dir(&data)?;
    let secret = match keys {
        false => String::new(),
        true => {
            let key = call("ceph-authtool", &["--gen-print-key"])?;
            let (key, name) = (key.trim(), format!("osd.{id}"));
            let ring = data.join("keyring").display().to_string();
            call("ceph-authtool", &["--create-keyring", &ring, "-n", &name, "--add-key", key])?;
            format!("{{\"cephx_secret\":\"{key}\"}}")
        }
    };
    let mut new = vec!["-c", &place.config, "--connect-timeout", "30", "osd", "new", uuid, &number];
    if keys {
        new.extend(["-i", "-"]);
    }
    program("ceph")?.args(new).input(secret).run()?;
    place.tool("ceph-osd", &["-i", &number, "--mkfs", "--osd-uuid", uuid])?;
    place.daemon("ceph-osd", &["-i", &number])
}

fn key_of_gateway(place: &Place) -> Result<()> {
    let caps = ["mon", "allow rw", "osd", "allow rwx", "mgr", "allow rw"];
    let key = [&["auth", "get-or-create", "client.rgw"], &caps[..]].concat();
    let key = place.tool("ceph", &key)?;
    let ring = place.path("keyring");
    fs::write(&ring, fs::read_to_string(&ring)? + &key)?;
    Ok(())
}

/// A monitor waits a second for more to decide at once.
const HURRY: &str = "paxos_propose_interval = 0.01\npaxos_min_wait = 0.01\n";

/// Its own settings wherever these do not keep it from running on one machine, or at all.
fn config(folder: &Path, [monitor, osd, gateway]: [u16; 3], shape: Shape) -> String {
    let folder = folder.display();
    let (keys, keyring) = match shape.keys {
        false => ("none", String::new()),
        true => ("cephx", format!("keyring = {folder}/osd.$id/keyring\n")),
    };
    let (copies, least) = (shape.osds, (shape.osds - 1).max(1));
    let (backend, hurry) = match shape.purpose {
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
auth_cluster_required = {keys}
auth_service_required = {keys}
auth_client_required = {keys}
keyring = {folder}/keyring
run_dir = {folder}
log_to_stderr = true
osd_pool_default_size = {copies}
osd_pool_default_min_size = {least}
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
{keyring}osd_objectstore = {backend}
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
