//! `archipelago sync`.

use std::path::PathBuf;
use std::str::FromStr;

use archipelago_model::{ContainerName, NameError};
use clap::Args;

#[derive(Args, Debug)]
pub struct Sync {
    /// What is copied: a folder, or CONT: or CONT:PREFIX/
    #[arg(value_name = "SOURCE")]
    pub source: Place,
    /// What becomes the same: the other of both
    #[arg(value_name = "TARGET")]
    pub target: Place,
    /// Remove from the target what the source has not; refused where the source has no file
    #[arg(long)]
    pub delete: bool,
    /// Only tell what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// A folder, or a part of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A local folder.
    Folder(PathBuf),
    /// Files of a container whose names begin so: with nothing, or with a text that ends in a slash.
    Store(ContainerName, String),
}

impl FromStr for Place {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split_once(':') {
            // What has a slash in front of the colon is a path, as with scp.
            Some((container, prefix)) if !container.contains('/') => {
                let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
                Ok(Self::Store(container.parse()?, format!("{prefix}{slash}")))
            }
            _ => Ok(Self::Folder(PathBuf::from(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(container: &str, prefix: &str) -> Place {
        Place::Store(container.parse().unwrap(), prefix.to_owned())
    }

    #[test]
    fn a_colon_behind_a_container_tells_the_store_from_a_folder() {
        for (text, place) in [
            ("snapshots:", store("snapshots", "")),
            ("c:a/b/", store("c", "a/b/")),
            ("c:a", store("c", "a/")),
            ("c:a:b", store("c", "a:b/")),
            ("./home", Place::Folder("./home".into())),
            ("home", Place::Folder("home".into())),
            ("./a:b", Place::Folder("./a:b".into())),
            ("/tmp/a:b", Place::Folder("/tmp/a:b".into())),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        assert!(":a".parse::<Place>().is_err());
    }
}
