//! What is in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Kind, Result};

/// Files of a folder that are held in memory, with some 300 bytes each.
const FILES_MAX: usize = 10_000_000;

/// A file.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub size: u64,
}

/// What was found, by the path in the folder with slashes.
#[derive(Default, Debug)]
pub struct Tree {
    pub files: BTreeMap<String, Found>,
    /// What is neither a file nor a folder, and why it is left.
    pub skipped: BTreeMap<String, String>,
}

impl Tree {
    /// Whether there is anything of this name, or a folder that was not looked into on the way.
    pub fn has(&self, name: &str) -> bool {
        let above = name.match_indices('/').map(|(at, _)| &name[..at]);
        self.files.contains_key(name)
            || self.skipped.contains_key(name)
            || above.into_iter().any(|dir| self.skipped.contains_key(dir))
    }
}

/// Whether a file is one that a transfer has not completed.
pub fn is_ours(name: &str) -> bool {
    let end = [".part", ".record"].iter().any(|end| name.ends_with(end));
    name.starts_with(".archipelago-") && end
}

/// Looks into a folder and those in it. Links are not followed.
pub fn walk(dir: &Path) -> Result<Tree> {
    let failed = |path: &Path| Failure::local(format!("list '{}'", path.display()));
    let mut tree = Tree::default();
    let mut left = vec![(dir.to_owned(), String::new())];
    while let Some((dir, above)) = left.pop() {
        for entry in fs::read_dir(&dir).map_err(failed(&dir))? {
            let entry = entry.map_err(failed(&dir))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(failed(&path))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let shown = format!("{above}{}", name.to_string_lossy());
                tree.skipped.insert(shown, "its name is no UTF-8".to_owned());
                continue;
            };
            if is_ours(name) {
                continue;
            }
            let name = format!("{above}{name}");
            if kind.is_dir() {
                left.push((path, format!("{name}/")));
            } else if kind.is_file() {
                let size = entry.metadata().map_err(failed(&path))?.len();
                tree.files.insert(name, Found { path, size });
            } else {
                let what = if kind.is_symlink() { "a link" } else { "neither a file nor a folder" };
                tree.skipped.insert(name, format!("it is {what}"));
            }
            if tree.files.len() + tree.skipped.len() > FILES_MAX {
                let message = format!("there are more than {FILES_MAX} files in the folder");
                return Err(Failure::new(Kind::Local, message).remedy("sync parts of it"));
            }
        }
    }
    Ok(tree)
}

/// Removes a file, and the folders between it and `dir` that are empty then.
pub fn remove(dir: &Path, path: &Path) -> Result {
    fs::remove_file(path).map_err(Failure::local(format!("remove '{}'", path.display())))?;
    let mut above = path.parent();
    while let Some(folder) = above.filter(|folder| *folder != dir && folder.starts_with(dir)) {
        if fs::remove_dir(folder).is_err() {
            break;
        }
        above = folder.parent();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/b/c"), b"123").unwrap();
        fs::write(dir.join("top"), b"").unwrap();
        fs::write(dir.join(".archipelago-12.part"), b"").unwrap();
        std::os::unix::fs::symlink("/", dir.join("a/root")).unwrap();
        let tree = walk(dir).unwrap();
        let names: Vec<&str> = tree.files.keys().map(String::as_str).collect();
        assert_eq!(names, ["a/b/c", "top"]);
        assert_eq!(tree.files["a/b/c"].size, 3);
        assert_eq!(tree.skipped.keys().collect::<Vec<_>>(), ["a/root"]);
        assert!(tree.has("a/root/etc/passwd") && tree.has("top") && !tree.has("a/b/d"));
    }

    #[test]
    fn folders_that_are_empty_go_with_their_last_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/b/c"), b"").unwrap();
        fs::write(dir.join("a/d"), b"").unwrap();
        remove(dir, &dir.join("a/b/c")).unwrap();
        assert!(!dir.join("a/b").exists() && dir.join("a/d").exists());
        remove(dir, &dir.join("a/d")).unwrap();
        assert!(dir.exists() && !dir.join("a").exists());
    }
}
