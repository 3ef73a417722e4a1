//! A server of PostgreSQL of one's own: made anew below a folder, on a port of its own, with its
//! settings as they come, so that what it acknowledges is synced.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{await_port, free_port};
use crate::program::{Background, Program, program};

/// A server that does not end after this is taken for broken.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// It refuses to be run by root: this is whom Debian's package makes for it.
const USER: &str = "postgres";
/// The database for catalogs, and the user that owns it.
const DATABASE: &str = "archipelago";

/// A running server, or one that was stopped.
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    process: Option<Background>,
}

/// The environment variable that has the tests of the pool make their catalogs on a server.
pub const TESTS_VARIABLE: &str = "ARCHIPELAGO_TEST_POSTGRES";

impl Postgres {
    /// Makes one below `folder`, which it gets for itself, and starts it.
    pub fn start(folder: &Path) -> Result<Self> {
        let mut server =
            Self { folder: folder.join("postgres"), port: free_port()?, process: None };
        fs::create_dir(&server.folder)?;
        if is_root() {
            // The folder of the test is root's alone.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
            let owner = format!("{USER}:");
            let folder = server.folder.display().to_string();
            Program::at(Path::new("/bin/chown")).args([&owner, &folder]).run()?;
        }
        let data = server.data();
        let fixed = ["-D", &data, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8"];
        as_user("initdb")?.args(fixed).run().context("cannot make a server")?;
        server.go_on()?;
        let make = format!("CREATE ROLE {DATABASE} SUPERUSER LOGIN");
        server.sql("postgres", &make)?;
        server.sql("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {DATABASE}"))?;
        Ok(server)
    }

    fn data(&self) -> String {
        self.folder.join("data").display().to_string()
    }

    /// Starts it, if it does not run.
    pub fn go_on(&mut self) -> Result<()> {
        if self.process.is_none() {
            let log = File::create(self.folder.join("log"))?;
            let sockets = self.folder.display();
            let server = as_user("postgres")?.args([
                "-D".to_owned(),
                self.data(),
                format!("-cport={}", self.port),
                "-clisten_addresses=127.0.0.1".to_owned(),
                format!("-cunix_socket_directories={sockets}"),
                "-cmax_connections=300".to_owned(),
            ]);
            self.process = Some(server.background(&log)?);
            await_port(&self.port.to_string())?;
            // It listens before it lets anybody in.
            let there = crate::wait_for(ENDS_WITHIN, || self.sql("postgres", "SELECT 1").ok());
            ensure!(there.is_some(), "the server lets nobody in");
        }
        Ok(())
    }

    /// Stops it: at once, as a crash would, or after what is under way was taken back.
    pub fn stop(&mut self, at_once: bool) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal(if at_once { Signal::QUIT } else { Signal::INT })?;
            process.wait(ENDS_WITHIN)?;
        }
        Ok(())
    }

    /// Runs statements; gives what they answer, one row a line.
    pub fn sql(&self, database: &str, text: &str) -> Result<String> {
        let (port, folder) = (self.port.to_string(), self.folder.display().to_string());
        let to = ["-h", &folder, "-p", &port, "-U", USER, "-d", database];
        let how = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text];
        Ok(program("psql")?.args(to).args(how).run()?.text().trim().to_owned())
    }

    /// The same in the database for catalogs.
    pub fn ask(&self, text: &str) -> Result<String> {
        self.sql(DATABASE, text)
    }

    /// The url of that.
    pub fn server_url(&self) -> String {
        format!("postgres://{DATABASE}@127.0.0.1:{}/{DATABASE}", self.port)
    }

    /// The url of a catalog in a schema of its own.
    pub fn url(&self, schema: &str) -> String {
        format!("{}?schema={schema}", self.server_url())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Killed alone, it would leave others of its processes.
        let _ = self.stop(true);
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn as_user(name: &str) -> Result<Program> {
    if !is_root() {
        return program(name);
    }
    let path = crate::tools::find(name)
        .with_context(|| format!("{name} is missing: apt-get install postgresql"))?;
    let who = [format!("--reuid={USER}"), format!("--regid={USER}"), "--init-groups".to_owned()];
    Ok(program("setpriv")?.args(who).args([path]))
}
