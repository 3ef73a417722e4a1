//! `secret.key`: 32 random bytes which seal what the catalog must not tell. It stands beside
//! the catalog and never in the pool, nor in a backup of the catalog.

use std::io::{self, IoSlice};
use std::path::Path;

use archipelago_env::{Env, Mode};
use zeroize::Zeroizing;

use super::{TMP, failed};
use crate::error::{Error, ErrorKind};

const SECRET_KEY: &str = "secret.key";
const KEY_BYTES: usize = 32;

/// The key as it is kept.
pub(crate) type SecretKey = Zeroizing<[u8; KEY_BYTES]>;

/// The key, which is made when it is missing. It appears whole or not at all, only its owner
/// may read it (0600), and it is durable on return.
pub(crate) fn secret_key(env: &Env, root: &Path) -> Result<SecretKey, Error> {
    match read_secret_key(env, root)? {
        Some(key) => {
            // Whoever made it may have failed right after the rename.
            env.disk().sync_dir(root).map_err(|e| failed("write to", root, e))?;
            Ok(key)
        }
        None => make(env, root).map_err(|e| failed("make", &root.join(SECRET_KEY), e)),
    }
}

/// The key; `None` when there is none.
pub(crate) fn read_secret_key(env: &Env, root: &Path) -> Result<Option<SecretKey>, Error> {
    let path = root.join(SECRET_KEY);
    let file = match env.disk().open(&path, Mode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &path, error)),
    };
    // One byte more, so that a longer file is seen to be one.
    let mut raw = Zeroizing::new([0; KEY_BYTES + 1]);
    let len = file.read_at(0, &mut *raw).map_err(|e| failed("read", &path, e))?;
    if len != KEY_BYTES {
        let had = if len > KEY_BYTES { "more".to_owned() } else { len.to_string() };
        return Err(Error::new(
            ErrorKind::Damaged,
            format!(
                "{} has {had} bytes instead of {KEY_BYTES}: put it back from a copy, or remove \
                 it and make all S3 keys anew",
                path.display()
            ),
        ));
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    key.copy_from_slice(&raw[..KEY_BYTES]);
    Ok(Some(key))
}

fn make(env: &Env, root: &Path) -> io::Result<SecretKey> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    env.random().fill(&mut *key);
    let disk = env.disk();
    let tmp = root.join(TMP);
    disk.create_dir_all(&tmp)?;
    let path = tmp.join(SECRET_KEY);
    match disk.remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&path, Mode::CreateNew)?;
    file.write_all_at(0, &[IoSlice::new(&*key)])?;
    file.sync_data()?;
    disk.rename(&path, &root.join(SECRET_KEY))?;
    disk.sync_dir(&tmp)?;
    disk.sync_dir(root)?;
    Ok(key)
}
