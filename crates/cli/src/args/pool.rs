//! `archipelago pool`.

use archipelago_model::PoolName;
use clap::{Args, Subcommand};

/// Where something is to be.
#[derive(Args, Debug)]
pub struct Target {
    /// The pool; `none` for nowhere in particular: what is there stays
    #[arg(long, value_name = "POOL|none")]
    pub to: Place,
}

/// A pool, or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place(pub Option<PoolName>);

impl std::str::FromStr for Place {
    type Err = archipelago_model::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(Some).map(Self) }
    }
}

#[derive(Subcommand, Debug)]
pub enum Pool {
    /// Make an empty place a pool of the store
    ///
    /// URL is file:///FOLDER, s3://BUCKET/PREFIX?endpoint=URL&credentials=FILE or
    /// rados://POOL/NAMESPACE?conf=FILE. Keys are never in it: they come from that file, or from
    /// the environment of the server. Nothing goes there until something is to be there.
    #[command(after_help = "\
Examples:
  archipelago pool add disk2 file:///mnt/disk2/archipelago
  archipelago pool add ceph2 'rados://archipelago/main?conf=/etc/ceph/ceph2.conf'
  archipelago pool add far 's3://backup/vm?endpoint=https://s3.example.org&credentials=/etc/far.keys'")]
    Add {
        /// Its name
        name: PoolName,
        /// Where it is
        url: String,
    },
    /// List the pools
    #[command(after_help = "Example:\n  archipelago pool ls --json")]
    Ls,
    /// Show one pool
    #[command(after_help = "Example:\n  archipelago pool show ceph2")]
    Show {
        /// The pool
        name: PoolName,
    },
    /// Move everything out of a pool, so that it can be unplugged
    ///
    /// Clients go on meanwhile. It is done in the background, goes on after a restart, and can be
    /// taken back by `pool use`. What nobody names any more goes by `gc`.
    #[command(after_help = "\
Examples:
  archipelago pool drain disk2
  archipelago pool drain disk2 --to ceph2 --detach")]
    Drain {
        /// The pool
        name: PoolName,
        /// Where everything goes; the first pool if nothing is said
        #[arg(long, value_name = "POOL")]
        to: Option<PoolName>,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Take a pool into use again that was drained; what has left it stays where it is
    #[command(after_help = "Example:\n  archipelago pool use disk2")]
    Use {
        /// The pool
        name: PoolName,
    },
    /// Have everything of a pool be in another one, too
    ///
    /// Each sealed segment gets a second copy there, verified before it counts, and so do the
    /// backups of the catalog. What one pool does not give, or gives damaged, is read in the other.
    /// The copies are made in the background, go on after a restart, and follow what is written,
    /// within a minute or two. The pool `default` may be mirrored, too.
    #[command(after_help = "\
Examples:
  archipelago pool mirror default --to disk2
  archipelago pool mirror ceph2 --to far --detach")]
    Mirror {
        /// The pool
        name: PoolName,
        /// Where the second copies are to be
        #[arg(long, value_name = "POOL")]
        to: PoolName,
        /// Do not wait for the copies of what is there now
        #[arg(long)]
        detach: bool,
    },
    /// Have what is in a pool be nowhere else any more; the second copies are removed
    #[command(after_help = "Example:\n  archipelago pool unmirror default")]
    Unmirror {
        /// The pool
        name: PoolName,
    },
    /// Give pools up in which nothing is, or that are lost
    ///
    /// With --lost, a pool that is away and will never come back: from now on its segments are where
    /// their second copies are. It is refused while some have none, unless --force says that these
    /// are lost as well; `scrub` then tells what they were. The place is never looked at again.
    #[command(after_help = "\
Examples:
  archipelago pool rm disk2
  archipelago pool rm disk2 --lost
  archipelago pool rm disk2 --lost --force")]
    Rm {
        /// The pools
        #[arg(required = true, value_name = "NAME")]
        names: Vec<PoolName>,
        /// They will never come back: go on with second copies
        #[arg(long)]
        lost: bool,
        /// Also when something has no second copy, and is lost with them
        #[arg(long, requires = "lost")]
        force: bool,
    },
}
