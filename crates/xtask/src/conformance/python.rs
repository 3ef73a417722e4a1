//! A virtual environment for a suite, kept between runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use archipelago_conformance::program::Program;

/// Where environments are, outside of the tree.
const CACHE: &str = "/var/tmp/archipelago-test";
/// Packages come from a registry.
const INSTALL_MAX: Duration = Duration::from_secs(20 * 60);

/// The Python of a suite, with what its list and `packages` name.
pub fn ensure(name: &str, checkout: &Path, packages: &[&str]) -> Result<PathBuf> {
    let list = checkout.join("requirements.txt");
    let wanted = fs::read_to_string(&list).with_context(|| format!("no {}", list.display()))?;
    let mark = blake3::hash(format!("{wanted}\n{}", packages.join(" ")).as_bytes()).to_hex();
    let folder = Path::new(CACHE).join(format!("venv-{name}-{}", &mark[..16]));
    let python = folder.join("bin/python");
    if folder.join("ready").is_file() {
        return Ok(python);
    }
    println!("installing into {}", folder.display());
    // What an interrupted run left has no mark, and is made anew.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(CACHE)?;
    Program::at(Path::new("/usr/bin/env"))
        .args(["python3", "-m", "venv", &folder.display().to_string()])
        .run()
        .context("cannot make a virtual environment: apt-get install python3-venv")?;
    Program::at(&python)
        .args(["-m", "pip", "install", "--quiet", "-r", &list.display().to_string()])
        .args(packages)
        .timeout(INSTALL_MAX)
        .run()?;
    fs::write(folder.join("ready"), "")?;
    Ok(python)
}
