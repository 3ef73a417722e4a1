//! The Debian packages that the conformance tests run, and a guest's kernel.
//!
//! Nothing under /etc/apt is touched and no server is named: where a package
//! needs Debian's backports, the lines come from the machine's own sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use archipelago_conformance::guest::{KERNEL, MODULES, WANTED_MODULES};
use archipelago_conformance::tools;

/// Where lists, packages and the kernel are kept between runs: outside the tree, so that a clean
/// clone does not fetch them again.
const CACHE: &str = "/var/tmp/archipelago-test";

/// The magic number of a zstd frame, which the kernel image holds its ELF file in.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Installs what is missing. Without root it says what to install.
pub fn ensure() -> Result<()> {
    let missing = missing_packages();
    if !missing.is_empty() {
        if !is_root()? {
            bail!("run as root: apt-get install --no-install-recommends {}", missing.join(" "));
        }
        println!("installing {}", missing.join(" "));
        let (emulator, plain): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|package| *package == tools::EMULATOR_PACKAGE);
        install(&plain, None)?;
        if let [emulator] = emulator[..] {
            // A machine whose qemu-utils came from backports refuses the emulator of the release.
            install(&[emulator], None).or_else(|_| install(&[emulator], Some(&backports()?)))?;
        }
        if tools::find("nbdfuse").is_none() {
            install(&[tools::NBDFUSE_PACKAGE], None)?;
        }
        // apt may have settled a conflict by removing what was there.
        let removed = missing_packages();
        if !removed.is_empty() {
            install(&removed, None)?;
        }
        let still = missing_packages();
        ensure!(still.is_empty(), "installed, yet still missing: {}", still.join(" "));
    }
    if !Path::new(KERNEL).is_file() || !Path::new(MODULES).is_dir() {
        kernel().context("cannot prepare the kernel of the test guest")?;
    }
    Ok(())
}

fn missing_packages() -> Vec<&'static str> {
    let absent = tools::TOOLS.iter().filter(|tool| tools::find(tool.program).is_none());
    let mut packages: Vec<&str> = absent.map(|tool| tool.package).collect();
    let modules = tools::PYTHON_MODULES.iter().filter(|(module, _)| !tools::python_has(module));
    packages.extend(modules.map(|(_, package)| *package));
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Backports as apt sees them: an apt configuration of our own and the suite's name.
struct Backports {
    config: PathBuf,
    suite: String,
}

impl Backports {
    fn apt(&self, program: &str) -> Command {
        let mut command = apt(program);
        command.env("APT_CONFIG", &self.config);
        command
    }
}

fn apt(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

/// Installs packages; brings the lists up to date and tries again when that fails at first.
fn install(packages: &[&str], from: Option<&Backports>) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let get = || from.map_or_else(|| apt("apt-get"), |from| from.apt("apt-get"));
    let once = || {
        let mut command = get();
        command.args(["install", "-y", "-q", "--no-install-recommends"]);
        if let Some(from) = from {
            command.args(["-t", &from.suite]);
        }
        output(command.args(packages))
    };
    if once().is_ok() {
        return Ok(());
    }
    output(get().args(["update", "-q"]))?;
    once().map(drop)
}

/// Writes an apt configuration whose sources are the machine's own and their backports.
fn backports() -> Result<Backports> {
    let folder = Path::new(CACHE).join("apt");
    fs::create_dir_all(folder.join("lists/partial"))?;
    fs::create_dir_all(folder.join("archives/partial"))?;
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = codename(&release).context("/etc/os-release names no VERSION_CODENAME")?;
    let targets = output(apt("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]))?;
    let sources = sources(&targets, codename);
    ensure!(!sources.is_empty(), "apt has no source for {codename}");
    let list = folder.join("sources.list");
    fs::write(&list, sources)?;
    let config = folder.join("apt.conf");
    let at = folder.display();
    fs::write(
        &config,
        format!(
            "Dir::Etc::sourcelist \"{}\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::State::Lists \"{at}/lists\";\nDir::Cache::archives \"{at}/archives\";\n\
             Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n",
            list.display()
        ),
    )?;
    let backports = Backports { config, suite: format!("{codename}-backports") };
    output(backports.apt("apt-get").args(["update", "-q"]))?;
    Ok(backports)
}

fn codename(release: &str) -> Option<&str> {
    release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))
}

/// One line for each suite that the machine has, and one for the backports of its release.
fn sources(targets: &str, codename: &str) -> String {
    // Debian's own key ring, where it is installed; else apt's trusted keys decide.
    let ring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let signed =
        if Path::new(ring).exists() { format!("[signed-by={ring}] ") } else { String::new() };
    let mut lines = Vec::new();
    for target in targets.lines() {
        if let [uri, suite, component] = target.split_whitespace().collect::<Vec<_>>()[..] {
            lines.push(format!("deb {signed}{uri} {suite} {component}\n"));
            if suite == codename {
                lines.push(format!("deb {signed}{uri} {suite}-backports {component}\n"));
            }
        }
    }
    lines.sort_unstable();
    lines.dedup();
    lines.concat()
}

/// Unpacks Debian's newest cloud kernel for the emulated guest; it is not installed.
fn kernel() -> Result<()> {
    let backports = backports()?;
    let folder = Path::new(CACHE).join("kernel.new");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let meta = output(backports.apt("apt-cache").args(["show", "linux-image-cloud-amd64"]))?;
    let package = kernel_package(&meta).context("apt knows no linux-image-cloud-amd64")?;
    println!("fetching {package}");
    output(backports.apt("apt-get").args(["download", "-q", package]).current_dir(&folder))?;
    let archive = only(&folder, |name| name.ends_with(".deb"))?;
    let unpacked = folder.join("root");
    output(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&unpacked))?;
    let image = only(&unpacked.join("boot"), |name| name.starts_with("vmlinuz"))?;
    // The uncompressed kernel spares an emulated guest its slowest work. A kernel that is packed
    // in another way boots as it is.
    let unzipped = elf(&fs::read(&image)?).unwrap_or(fs::read(&image)?);
    let modules = folder.join("modules");
    fs::create_dir_all(&modules)?;
    for name in WANTED_MODULES {
        module(&unpacked, &modules, name)?;
    }
    let _ = fs::remove_dir_all(MODULES);
    fs::create_dir_all(Path::new(MODULES).parent().expect("it lies in the cache"))?;
    fs::rename(&modules, MODULES)?;
    fs::write(folder.join("vmlinux"), unzipped)?;
    fs::rename(folder.join("vmlinux"), KERNEL)?;
    fs::remove_dir_all(&folder).context("cannot clean up")
}

/// The versioned package behind the meta package; apt lists the newest version first.
fn kernel_package(meta: &str) -> Option<&str> {
    let depends = meta.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split_whitespace().next()
}

/// The ELF file inside a kernel image.
fn elf(image: &[u8]) -> Option<Vec<u8>> {
    let start = image.windows(ZSTD_MAGIC.len()).position(|window| window == ZSTD_MAGIC)?;
    let packed = Path::new(CACHE).join("kernel.new/vmlinux.zst");
    fs::write(&packed, &image[start..]).ok()?;
    // The frame ends where the image goes on, which zstd calls an error after it wrote all.
    let unpacked = Command::new("zstd").arg("-dcq").arg(&packed).output().ok()?.stdout;
    unpacked.starts_with(b"\x7fELF").then_some(unpacked)
}

/// Unpacks one kernel module; one that is missing is built into this kernel.
fn module(unpacked: &Path, into: &Path, name: &str) -> Result<()> {
    let found = output(Command::new("find").arg(unpacked).args(["-name", &format!("{name}.ko*")]))?;
    let Some(path) = found.lines().next() else { return Ok(()) };
    let bytes = match path.rsplit('.').next() {
        Some("xz") => Command::new("xz").args(["-dc", path]).output()?.stdout,
        Some("zst") => Command::new("zstd").args(["-dcq", path]).output()?.stdout,
        _ => fs::read(path)?,
    };
    ensure!(bytes.starts_with(b"\x7fELF"), "{path} is no kernel module");
    fs::write(into.join(format!("{name}.ko")), bytes).context("cannot write the module")
}

fn only(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut paths = entries
        .iter()
        .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
        .map(|e| e.path());
    paths.next().with_context(|| format!("{} lacks the expected file", folder.display()))
}

/// Runs a program and returns what it printed; its last words are in the error.
fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let words = String::from_utf8_lossy(&done.stderr);
    let last: Vec<&str> = words.lines().rev().take(4).collect();
    ensure!(done.status.success(), "{command:?}: {}: {}", done.status, last.join(" / "));
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests;
