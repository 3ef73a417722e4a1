//! Real file names of publishers.

use super::guess_os;

#[test]
fn the_names_that_publishers_give_tell_the_system() {
    let cases = [
        ("debian-12-generic-amd64.qcow2", "debian"),
        ("noble-server-cloudimg-amd64.img", "ubuntu"),
        ("Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2", "fedora"),
        ("generic_alpine-3.20.3-x86_64-bios-cloudinit-r0.qcow2", "alpine"),
        ("Rocky-9-GenericCloud.latest.x86_64.qcow2", "rocky"),
        ("Win11_24H2_English_x64.vhdx", "windows"),
        ("Arch-Linux-x86_64-cloudimg.qcow2", "arch"),
        ("FreeBSD-14.1-RELEASE-amd64.qcow2", "freebsd"),
    ];
    for (name, os) in cases {
        assert_eq!(guess_os(name).as_deref(), Some(os), "{name}");
    }
}

#[test]
fn a_name_that_says_nothing_gives_no_guess() {
    for name in ["disk.img", "", "archive.raw", "my-architecture.qcow2", "windmill.raw", "backup"] {
        assert_eq!(guess_os(name), None, "{name}");
    }
}
