//! Names, SOURCEs and sizes, as people and programs write them.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use archipelago_model::size::{Human, parse_bytes};
use archipelago_model::{
    ContainerName, ImageName, ObjectName, SnapshotName, SnapshotPath, Source, VolumeName,
    VolumeSize,
};

/// What a name or SOURCE must be, once it was accepted: what was written.
fn same<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + Debug + PartialEq,
{
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string(), text);
            Some(value)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 16 << 10, "{} bytes", message.len());
            assert!(!message.contains('\0'), "what is refused must not reach a terminal as it is");
            None
        }
    }
}

/// Names and SOURCEs.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let label = |text: &str| assert!(text.len() <= 128 && !text.contains(['/', '@', ':', '\0']));
    // Perhaps with the account in front.
    let owned = |text: &str| match text.split_once('/') {
        Some((account, name)) => {
            label(account);
            label(name);
        }
        None => label(text),
    };
    if let Some(name) = same::<VolumeName>(text) {
        owned(name.as_str());
        assert!(same::<ImageName>(text).is_some());
        if name.owner().is_none() {
            assert!(same::<SnapshotName>(text).is_some());
            assert!(same::<ContainerName>(text).is_some());
        }
    }
    if let Some(name) = same::<ObjectName>(text) {
        assert!(!name.as_str().contains('\0'));
    }
    if let Some(path) = same::<SnapshotPath>(text) {
        owned(path.volume.as_str());
        label(path.snapshot.as_str());
    }
    let _ = same::<Source>(text);
    let _ = archipelago_image::guess_os(text);
}

/// Sizes.
pub fn sizes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(size) = parse_bytes(text) {
        assert_eq!(parse_bytes(&size.to_string()), Ok(size));
        assert!(!Human(size).to_string().is_empty());
    }
    match text.parse::<VolumeSize>() {
        Ok(size) => assert_eq!(size.sectors() * 512, size.bytes()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
