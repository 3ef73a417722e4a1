//! What files of the store are called on a disk: only where that can mean one thing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind, Result};

/// The path of a file in a folder.
///
/// # Errors
/// The name leads out of the folder (`..`, a link on the way), or is none that a path can have.
pub fn path_in(dir: &Path, name: &str) -> Result<PathBuf> {
    let refused = |why: &str| {
        let shown = name.escape_debug();
        Failure::new(Kind::Local, format!("'{shown}' cannot be the path of a file: {why}"))
            .remedy("`archipelago file get` it under another name")
    };
    let mut path = dir.to_owned();
    let mut parts = name.split('/').peekable();
    while let Some(part) = parts.next() {
        match part {
            "" => return Err(refused("a folder of it has no name")),
            "." | ".." => return Err(refused("it has . or .. in it")),
            _ if part.contains('\0') => return Err(refused("it has a zero byte")),
            _ if super::walk::is_ours(part) => {
                return Err(refused("this program calls files so that are not complete"));
            }
            _ => path.push(part),
        }
        if parts.peek().is_some() {
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => {}
                Ok(meta) if meta.is_symlink() => {
                    return Err(refused(&format!("'{}' is a link", path.display())));
                }
                Ok(_) => return Err(refused(&format!("'{}' is no folder", path.display()))),
                // It will be made.
                Err(_) => {}
            }
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_name_stays_in_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(path_in(dir, "a/b c/\u{fc}").unwrap(), dir.join("a").join("b c").join("\u{fc}"));
        for name in ["../a", "a/../b", "..", ".", "a/./b", "/a", "a//b", "a/", "", "a\0b"] {
            assert!(path_in(dir, name).is_err(), "{name:?}");
        }
        assert!(path_in(dir, ".archipelago-0123456789abcdef.part").is_err());
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        symlink("/tmp", dir.join("out")).unwrap();
        assert!(path_in(dir, "out/a").is_err());
        fs::write(dir.join("file"), b"").unwrap();
        assert!(path_in(dir, "file/a").is_err());
    }
}
