//! The programs of others that the tests run, and the Debian packages which
//! bring them: one list, for the tests' errors and for `cargo xtask packages`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program and what to install for it.
pub struct Tool {
    /// As it is called.
    pub program: &'static str,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// The package with the emulator; on a machine whose `qemu-utils` is from backports it must come
/// from there too.
pub const EMULATOR_PACKAGE: &str = "qemu-system-x86";

/// Releases of Debian after bookworm have nbdfuse in a package of its own.
pub const NBDFUSE_PACKAGE: &str = "nbdfuse";

/// Modules for the system's own Python, and the packages that bring them.
pub const PYTHON_MODULES: &[(&str, &str)] =
    &[("boto3", "python3-boto3"), ("nbd", "python3-libnbd"), ("openstack", "python3-openstacksdk")];

/// The Python that Debian's modules belong to, whatever comes first in PATH.
pub const PYTHON: &str = "/usr/bin/python3";

/// Every program that a test or a preparation runs.
pub const TOOLS: &[Tool] = &[
    Tool { program: "aws", package: "awscli" },
    Tool { program: "busybox", package: "busybox-static" },
    Tool { program: "ceph", package: "ceph-common" },
    Tool { program: "ceph-authtool", package: "ceph-common" },
    Tool { program: "ceph-mon", package: "ceph-mon" },
    Tool { program: "ceph-osd", package: "ceph-osd" },
    Tool { program: "curl", package: "curl" },
    Tool { program: "diff", package: "diffutils" },
    Tool { program: "e2fsck", package: "e2fsprogs" },
    Tool { program: "fio", package: "fio" },
    Tool { program: "fstrim", package: "util-linux" },
    Tool { program: "fusermount3", package: "fuse3" },
    Tool { program: "gcc", package: "gcc" },
    Tool { program: "initdb", package: "postgresql" },
    Tool { program: "losetup", package: "mount" },
    Tool { program: "mkfs.ext4", package: "e2fsprogs" },
    Tool { program: "mkfs.xfs", package: "xfsprogs" },
    Tool { program: "monmaptool", package: "ceph-base" },
    Tool { program: "mount", package: "mount" },
    Tool { program: "nbdcopy", package: "libnbd-bin" },
    Tool { program: "nbdfuse", package: "libnbd-bin" },
    Tool { program: "nbdinfo", package: "libnbd-bin" },
    Tool { program: "nbdkit", package: "nbdkit" },
    Tool { program: "openssl", package: "openssl" },
    Tool { program: "openstack", package: "python3-openstackclient" },
    Tool { program: "postgres", package: "postgresql" },
    Tool { program: "psql", package: "postgresql-client" },
    Tool { program: "qemu-img", package: "qemu-utils" },
    Tool { program: "qemu-io", package: "qemu-utils" },
    Tool { program: "qemu-nbd", package: "qemu-utils" },
    Tool { program: "qemu-storage-daemon", package: "qemu-utils" },
    Tool { program: "qemu-system-x86_64", package: EMULATOR_PACKAGE },
    Tool { program: "radosgw", package: "radosgw" },
    Tool { program: "radosgw-admin", package: "ceph-common" },
    Tool { program: "rclone", package: "rclone" },
    Tool { program: "s3cmd", package: "s3cmd" },
    Tool { program: "setpriv", package: "util-linux" },
    Tool { program: "swift", package: "python3-swiftclient" },
    Tool { program: "umount", package: "mount" },
    Tool { program: "xfs_repair", package: "xfsprogs" },
    Tool { program: "xz", package: "xz-utils" },
    Tool { program: "zstd", package: "zstd" },
];

/// Where administrators' programs are, which the PATH of a user may lack.
const MORE_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Where Debian puts the programs of each version of PostgreSQL's server.
const POSTGRES_FOLDER: &str = "/usr/lib/postgresql";

/// Where a program is, if anywhere.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.iter().map(PathBuf::from));
    folders.chain(postgres_folders()).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The newest version first.
fn postgres_folders() -> Vec<PathBuf> {
    let versions = std::fs::read_dir(POSTGRES_FOLDER).into_iter().flatten().flatten();
    let number = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let mut found: Vec<PathBuf> = versions.map(|version| version.path()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(number(path)));
    found.into_iter().map(|path| path.join("bin")).collect()
}

/// The package that brings a program.
pub fn package(program: &str) -> Option<&'static str> {
    if Path::new(program) == Path::new(PYTHON) {
        return Some("python3");
    }
    TOOLS.iter().find(|tool| tool.program == program).map(|tool| tool.package)
}

/// Whether a module of Python can be imported.
pub fn python_has(module: &str) -> bool {
    let mut command = Command::new(PYTHON);
    command.args(["-c", &format!("import {module}")]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests;
