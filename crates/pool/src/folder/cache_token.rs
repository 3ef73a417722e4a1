//! The file `CACHE`: which cache on a disk of this host saw every opening of the store.
//!
//! A cache must know of every segment that is written, since an id may be given again where an old
//! copy of the folder was put back. So whoever opens the store without it takes the file away
//! first, and the cache that comes later is made anew.

use std::io;

use archipelago_env::{Env, Mode};
use archipelago_format::cache_file::{TOKEN_FILE_BYTES, decode_token, encode_token};

use super::{CACHE, Folder, failed, settle_store, write_whole};
use crate::error::Error;

impl Folder {
    /// The token of the cache that may be trusted.
    pub fn cache_token(&self, env: &Env) -> Option<[u8; 16]> {
        let file = env.disk().open(&self.root.join(CACHE), Mode::Read).ok()?;
        let mut raw = [0; TOKEN_FILE_BYTES + 1];
        let len = file.read_at(0, &mut raw).ok()?;
        decode_token(&raw[..len]).ok()
    }

    /// Trusts a cache, which is empty now.
    pub fn trust_cache(&self, env: &Env, token: &[u8; 16]) -> Result<(), Error> {
        write_whole(env, &self.root, CACHE, &encode_token(token))
            .and_then(|()| settle_store(env, &self.root))
            .map_err(|error| failed("write to", &self.root, error))
    }

    /// Trusts no cache: what is written from now on none of them sees.
    pub fn distrust_cache(&self, env: &Env) -> Result<(), Error> {
        match env.disk().remove_file(&self.root.join(CACHE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("write to", &self.root, error)),
            Ok(()) => {
                let synced = env.disk().sync_dir(&self.root);
                synced.map_err(|error| failed("write to", &self.root, error))
            }
        }
    }
}
