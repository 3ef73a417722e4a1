//! Which operating system an image probably holds, told by its file's name.
//!
//! Publishers name their images after the system, so the name is right far
//! more often than any cheap look inside. Where it says nothing, nothing is
//! guessed.

/// Beginnings of words in file names, and the `ID` of os-release that they
/// stand for. The first that matches wins.
const WORDS: [(&str, &str); 44] = [
    ("debian", "debian"),
    ("bookworm", "debian"),
    ("bullseye", "debian"),
    ("trixie", "debian"),
    ("ubuntu", "ubuntu"),
    ("focal", "ubuntu"),
    ("jammy", "ubuntu"),
    ("noble", "ubuntu"),
    ("fedora", "fedora"),
    ("alpine", "alpine"),
    ("centos", "centos"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("alma", "almalinux"),
    ("rhel", "rhel"),
    ("redhat", "rhel"),
    ("oracle", "ol"),
    ("amzn", "amzn"),
    ("opensuse", "opensuse"),
    ("sles", "sles"),
    ("archlinux", "arch"),
    ("arch", "arch"),
    ("gentoo", "gentoo"),
    ("nixos", "nixos"),
    ("kali", "kali"),
    ("cirros", "cirros"),
    ("coreos", "fedora"),
    ("flatcar", "flatcar"),
    ("talos", "talos"),
    ("openwrt", "openwrt"),
    ("freebsd", "freebsd"),
    ("openbsd", "openbsd"),
    ("netbsd", "netbsd"),
    ("windows", "windows"),
    ("win7", "windows"),
    ("win8", "windows"),
    ("win10", "windows"),
    ("win11", "windows"),
    ("win2k", "windows"),
    ("win2012", "windows"),
    ("win2016", "windows"),
    ("win2019", "windows"),
    ("win2022", "windows"),
    ("win2025", "windows"),
];

/// Words that begin as an operating system does and mean something else.
const NOT_WORDS: [&str; 3] = ["archive", "archipelago", "architecture"];

/// The `ID` of os-release (`debian`, `ubuntu`, `windows`...) that a file's or
/// an image's name suggests.
pub fn guess_os(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.find_map(|word| {
        if NOT_WORDS.iter().any(|not| word.starts_with(not)) {
            return None;
        }
        let (_, id) = WORDS.iter().find(|(begin, _)| word.starts_with(begin))?;
        Some((*id).to_owned())
    })
}

#[cfg(test)]
mod tests;
