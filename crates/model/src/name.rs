//! Names: labels that users give. Checked at the edge, so that what is inside
//! never meets a hostile one.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Why a name was refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// Length or characters.
    #[error(
        "'{name}' is not a {kind} name: use 1 to {max} of a-z A-Z 0-9 . _ -, \
         beginning with a letter or a digit"
    )]
    Label {
        /// What was to be named.
        kind: &'static str,
        /// What was given, shortened and escaped.
        name: String,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// A container's name is nearly free.
    #[error(
        "'{0}' is not a container name: use 1 to 256 bytes of UTF-8 without '/' and control \
         characters, but not '.' or '..'"
    )]
    Container(String),
    /// An object's name is free, within limits.
    #[error("'{0}' is not an object name: use 1 to 1024 bytes of UTF-8 without NUL")]
    Object(String),
}

/// Names that stand in URLs, export names and SOURCE: 128 bytes at most.
const LABEL_BYTES_MAX: usize = 128;
/// As Swift has it; buckets are shorter.
const CONTAINER_BYTES_MAX: usize = 256;
const OBJECT_BYTES_MAX: usize = 1024;

fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_default).collect()
}

fn check_label(kind: &'static str, name: &str) -> Result<(), NameError> {
    let bytes = name.as_bytes();
    let ok = (1..=LABEL_BYTES_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if ok {
        Ok(())
    } else {
        Err(NameError::Label { kind, name: shown(name), max: LABEL_BYTES_MAX })
    }
}

/// A label, behind the account that owns it where that is not the first.
fn check_owned(kind: &'static str, name: &str) -> Result<(), NameError> {
    match name.split_once('/') {
        Some((account, label)) => {
            check_label("account", account)?;
            check_label(kind, label)
        }
        None => check_label(kind, name),
    }
}

fn check_container(_: &'static str, name: &str) -> Result<(), NameError> {
    let ok = (1..=CONTAINER_BYTES_MAX).contains(&name.len())
        && !name.contains(|c: char| c == '/' || c.is_control())
        && name != "."
        && name != "..";
    if ok { Ok(()) } else { Err(NameError::Container(shown(name))) }
}

fn check_object(_: &'static str, name: &str) -> Result<(), NameError> {
    if (1..=OBJECT_BYTES_MAX).contains(&name.len()) && !name.contains('\0') {
        Ok(())
    } else {
        Err(NameError::Object(shown(name)))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(String);

        impl $name {
            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check($kind, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

/// A name that says whose it is: `LABEL` of the first account, `ACCOUNT/LABEL` of another, so that
/// accounts cannot take names from each other.
macro_rules! owned {
    ($name:ident) => {
        impl $name {
            /// The account in front; `None` of the first account.
            pub fn owner(&self) -> Option<&str> {
                self.0.split_once('/').map(|(account, _)| account)
            }

            /// The same label of another account; `None` for the first.
            #[must_use]
            pub fn of(&self, account: Option<&AccountName>) -> Self {
                let label = self.0.split_once('/').map_or(self.0.as_str(), |(_, label)| label);
                Self(match account {
                    Some(account) => format!("{account}/{label}"),
                    None => label.to_owned(),
                })
            }
        }
    };
}

name!(
    /// A volume's name, with the account that owns it in front unless that is the first.
    VolumeName, "volume", check_owned
);
owned!(VolumeName);
name!(
    /// A snapshot's name, unique within its volume.
    SnapshotName, "snapshot", check_label
);
name!(
    /// An image's name, with the account that owns it in front unless that is the first.
    ImageName, "image", check_owned
);
owned!(ImageName);
name!(
    /// A container's name.
    ContainerName, "container", check_container
);
name!(
    /// A pool's name.
    PoolName, "pool", check_label
);
name!(
    /// A user's name.
    UserName, "user", check_label
);
name!(
    /// An account's name: OpenStack calls it a project.
    AccountName, "account", check_label
);
name!(
    /// A group's name, unique within its account.
    GroupName, "group", check_label
);
name!(
    /// An application credential's name, unique for its user.
    CredentialName, "credential", check_label
);
name!(
    /// An object's name within its container; slashes are part of it.
    ObjectName, "object", check_object
);

#[cfg(test)]
mod tests;
