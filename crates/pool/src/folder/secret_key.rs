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

/// The key, which is made when it is missing. It appears whole or not at all, only its owner
/// may read it (0600), and it is durable on return.
pub(crate) fn secret_key(env: &Env, root: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, Error> {
    let path = root.join(SECRET_KEY);
    match env.disk().open(&path, Mode::Read) {
        Ok(file) => {
            // One byte more, so that a longer file is seen to be one.
            let mut raw = Zeroizing::new([0; KEY_BYTES + 1]);
            let len = file.read_at(0, &mut *raw).map_err(|e| failed("read", &path, e))?;
            let mut key = Zeroizing::new([0; KEY_BYTES]);
            if len != KEY_BYTES {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "{} has {len} bytes or more instead of {KEY_BYTES}: put it back from a \
                         copy, or remove it and make all S3 keys anew",
                        path.display()
                    ),
                ));
            }
            key.copy_from_slice(&raw[..KEY_BYTES]);
            // Whoever made it may have failed right after the rename.
            env.disk().sync_dir(root).map_err(|e| failed("write to", root, e))?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(env, root).map_err(|e| failed("make", &path, e))
        }
        Err(error) => Err(failed("read", &path, error)),
    }
}

fn make(env: &Env, root: &Path) -> io::Result<Zeroizing<[u8; KEY_BYTES]>> {
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
