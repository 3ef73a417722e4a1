//! The command line as types: one definition gives the parser, `--help`, the
//! completions and the man pages.
//!
//! Names, sizes and SOURCEs are parsed here, into the types of `model`, so that
//! a malformed one is a usage error (exit 2) and reaches no server.

pub mod attach;
pub mod container;
pub mod file;
pub mod image;
pub mod pool;
pub mod serve;
pub mod share;
pub mod snapshot;
pub mod sync;
pub mod token;
pub mod trust;
pub mod user;
pub mod volume;

use std::path::PathBuf;

use archipelago_api::DEFAULT_ENDPOINT;
use archipelago_model::{AccountName, ContainerName, UserName};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::client::Endpoint;

/// One store in which files, images, volumes and snapshots are the same thing.
///
/// `archipelago serve` starts a store in a folder; every other command talks to
/// a running one. Sizes are written 512, 64K, 10G, 1.5T (powers of 1024).
/// SOURCE is image:NAME, volume:NAME, snapshot:VOL@SNAP or
/// file:CONTAINER/OBJECT. Exit status: 0 done, 1 failed, 2 usage.
#[derive(Parser, Debug)]
#[command(name = "archipelago", version, arg_required_else_help = true, propagate_version = false)]
#[command(after_help = "\
Examples:
  archipelago serve
  archipelago image import debian.qcow2 debian-12
  archipelago volume create web --from image:debian-12 --size 40G
  archipelago snapshot create web@before")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print JSON on stdout, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// The server to talk to
    #[arg(long, global = true, value_name = "URL", env = "ARCHIPELAGO_ENDPOINT")]
    #[arg(default_value = DEFAULT_ENDPOINT)]
    pub endpoint: Endpoint,
    /// A file with a token, which says who asks; the operator of this machine needs none
    ///
    /// ARCHIPELAGO_TOKEN in the environment is the token itself; this file comes before it.
    #[arg(long, global = true, value_name = "FILE", env = "ARCHIPELAGO_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Print nothing but results that were asked for: no progress, no confirmations
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the store: opens or makes a data folder, serves HTTP and NBD until SIGTERM
    Serve(serve::Serve),
    /// Disk images: import, export, list
    #[command(subcommand, arg_required_else_help = true)]
    Image(image::Image),
    /// Volumes: thin disks, served over NBD under their names
    #[command(subcommand, arg_required_else_help = true)]
    Volume(volume::Volume),
    /// Snapshots of volumes: take, compare, send, receive
    #[command(subcommand, arg_required_else_help = true)]
    Snapshot(snapshot::Snapshot),
    /// Files: objects in containers, which are SOURCEs too
    #[command(subcommand, arg_required_else_help = true)]
    File(file::File),
    /// Containers: what they hold and may hold
    #[command(subcommand, arg_required_else_help = true)]
    Container(container::Container),
    /// Pools: places for data, besides the one that the store was made with
    #[command(subcommand, arg_required_else_help = true)]
    Pool(pool::Pool),
    /// Make a container with everything that another has now, writable, without copying data
    ///
    /// It has the newest versions, as of one instant, and what is known of them. Neither sees
    /// what is written to the other. Versions, settings, quotas, locks, links and what was shared
    /// stay with the old one.
    #[command(after_help = "\
Examples:
  archipelago fork datasets exp-42
  archipelago fork datasets exp-42 --account lab")]
    Fork {
        /// The container
        #[arg(value_name = "CONT")]
        container: ContainerName,
        /// The container that is made
        #[arg(value_name = "NEW")]
        new: ContainerName,
        #[command(flatten)]
        owner: container::Owner,
    },
    /// Share a file, folder, container, image, volume or snapshot with somebody
    ///
    /// It holds at every door that knows who asks, from the next request on, and so does its end.
    /// A folder shares what is below it.
    #[command(after_help = "\
Examples:
  archipelago share snapshots/web@paper bob:read
  archipelago share papers/draft.pdf --with group:lab/friends --read --write --until 7d
  archipelago share container:datasets --with everyone --read")]
    Share(share::Share),
    /// Show the record of sharing: who let whom do what, and who was refused
    ///
    /// The newest first. Several refusals of one kind in ten seconds are one line.
    #[command(after_help = "\
Examples:
  archipelago audit
  archipelago audit --limit 20 --json")]
    Audit {
        /// So many lines at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u64,
    },
    /// Make a folder and a container the same, one way
    ///
    /// Of files that differ only what differs travels. Without --delete nothing is removed. Links
    /// and what else is no file are left as they are. CONT:PREFIX/ means the files whose names
    /// begin so; a folder whose name has a colon is written with ./ in front. Exit status 1 when
    /// something could not be made the same.
    #[command(after_help = "\
Examples:
  archipelago sync snapshots: ./home
  archipelago sync ./results runs:2026/ --delete --dry-run")]
    Sync(sync::Sync),
    /// Users: who may log in, and their S3 keys
    #[command(subcommand, arg_required_else_help = true)]
    User(user::User),
    /// Accounts: what owns containers; OpenStack calls them projects
    #[command(subcommand, arg_required_else_help = true)]
    Account(user::Account),
    /// Print an export name by which an NBD client opens what the token's user may open
    ///
    /// NBD has no login: the name is a secret, as a password is. It holds for a time; what the
    /// user may do is asked again whenever a client connects with it.
    #[command(after_help = "\
Examples:
  archipelago attach volume:web
  archipelago attach image:admin/debian-12 --for 30m --json")]
    Attach(attach::Attach),
    /// Tokens: log in to act as a user instead of as the operator
    #[command(subcommand, arg_required_else_help = true)]
    Token(token::Token),
    /// Print the variables by which clients of OpenStack and Swift log in
    ///
    /// For a shell to evaluate. The password is asked for, or is the first line of standard
    /// input; it is among what is printed.
    #[command(after_help = "\
Examples:
  archipelago env bob
  archipelago env bob --account lab --json")]
    Env {
        /// The user
        user: UserName,
        /// The account; the user's first one if nothing is said
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountName>,
    },
    /// Show where the bytes are: per pool, and what each resource holds alone and shares
    #[command(after_help = "Example:\n  archipelago df")]
    Df,
    /// Free the space of what was removed, and compact what is left
    ///
    /// The server does this by itself, a little at a time; this does all that can be done.
    /// What nobody names is kept for a grace time (ten minutes unless configured) before its
    /// files are removed.
    #[command(after_help = "\
Examples:
  archipelago gc
  archipelago gc --now")]
    Gc {
        /// Remove without waiting for the grace time
        #[arg(long)]
        now: bool,
    },
    /// Read and verify every stored byte, and name what damage touches
    ///
    /// Runs in the server, behind the guests, and goes on after a restart. Exit status 1
    /// when anything is damaged.
    #[command(after_help = "\
Examples:
  archipelago scrub --rate 100M
  archipelago scrub --detach
  archipelago scrub --status --json
  archipelago scrub --stop")]
    Scrub(trust::Scrub),
    /// Compare catalog, files, maps, index and leases with each other
    ///
    /// Of the running server, or of a folder that no server has open. Exit status 1 when
    /// damage is found; each finding says why it matters and what to do. It changes nothing
    /// that is named, but it is no mere look: what the log has is persisted, and a backup of
    /// the catalog that was lost is made again.
    #[command(after_help = "\
Examples:
  archipelago check
  archipelago check --data ./archipelago-data")]
    Check(trust::Check),
    /// Make the catalog of a stopped store anew, from the backups in its pool
    ///
    /// Names come from the newest backup that the pool holds (made every ten seconds, when
    /// something changed); what was written to those volumes since is in the log, and the next
    /// `serve` replays it. Names made after the backup are lost.
    #[command(after_help = "\
Examples:
  archipelago rebuild --data archipelago-data
  archipelago rebuild --data archipelago-data --force")]
    Rebuild {
        /// The folder of the store
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Do it although there is a catalog, which is set aside under another name
        #[arg(long)]
        force: bool,
    },
    /// Show what the server is doing
    #[command(after_help = "Example:\n  archipelago status --json")]
    Status,
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  archipelago completions bash > /etc/bash_completion.d/archipelago
  archipelago completions zsh > ~/.zfunc/_archipelago
  archipelago completions fish > ~/.config/fish/completions/archipelago.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_help = "Example:\n  archipelago man /usr/local/share/man/man1")]
    Man {
        /// The folder; made if it does not exist
        dir: PathBuf,
    },
}

#[cfg(test)]
mod tests;
