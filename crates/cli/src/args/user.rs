//! `archipelago user` and `archipelago account`.

use archipelago_model::{AccountName, UserName};
use clap::{Subcommand, ValueEnum};

use super::container::BytesQuota;

/// What a user may do in an account.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Role {
    /// Everything, and say who else may do what
    Admin,
    /// Read and write
    Member,
    /// Read
    Reader,
    /// Nothing but what lists and shares allow by name
    Guest,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Reader => "reader",
            Self::Guest => "guest",
        }
    }
}

#[derive(Subcommand, Debug)]
pub enum User {
    /// Make a user, with an account of its own or in one that there is
    ///
    /// The password is asked for, or is the first line of standard input.
    #[command(after_help = "\
Examples:
  archipelago user create bob
  archipelago user create eve --account lab --role reader
  pass show eve | archipelago user create eve")]
    Create {
        /// The name
        name: UserName,
        /// An administrator: may do everything, in every account
        #[arg(long)]
        admin: bool,
        /// Join this account instead of having an own one
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountName>,
        /// As what it joins; member if nothing is said
        #[arg(long, requires = "account")]
        role: Option<Role>,
    },
    /// List the users
    #[command(after_help = "Example:\n  archipelago user ls --json")]
    Ls,
    /// Show a user and the accounts that it is in
    #[command(after_help = "Example:\n  archipelago user show bob")]
    Show {
        /// The user
        name: UserName,
    },
    /// Change a user's password, and end its tokens
    ///
    /// The password is asked for, or is the first line of standard input.
    #[command(after_help = "\
Examples:
  archipelago user passwd admin
  pass show admin | archipelago user passwd admin")]
    Passwd {
        /// The user
        name: UserName,
    },
    /// Remove users with their keys; what their accounts own stays
    #[command(after_help = "Example:\n  archipelago user rm bob")]
    Rm {
        /// The users
        #[arg(required = true, value_name = "NAME")]
        names: Vec<UserName>,
    },
    /// Let a user log in again
    #[command(after_help = "Example:\n  archipelago user enable bob")]
    Enable {
        /// The user
        name: UserName,
    },
    /// Keep a user out, and end its tokens; its keys do nothing until it is enabled
    #[command(after_help = "Example:\n  archipelago user disable bob")]
    Disable {
        /// The user
        name: UserName,
    },
    /// Put a user in an account, or give it another role there
    #[command(after_help = "Example:\n  archipelago user join bob lab --role reader")]
    Join {
        /// The user
        name: UserName,
        /// The account
        account: AccountName,
        /// As what
        #[arg(long, value_enum, default_value_t = Role::Member)]
        role: Role,
    },
    /// Take a user out of an account, with its keys there
    #[command(after_help = "Example:\n  archipelago user leave bob lab")]
    Leave {
        /// The user
        name: UserName,
        /// The account
        account: AccountName,
    },
    /// S3 keys of users
    #[command(subcommand, arg_required_else_help = true)]
    Key(Key),
}

#[derive(Subcommand, Debug)]
pub enum Key {
    /// Make a key; its secret is shown once
    #[command(after_help = "\
Examples:
  archipelago user key create bob
  archipelago user key create bob --account lab --json")]
    Create {
        /// The user
        name: UserName,
        /// The account in which it acts; the user's first one if nothing is said
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountName>,
    },
    /// List the keys of a user, without secrets
    #[command(after_help = "Example:\n  archipelago user key ls bob")]
    Ls {
        /// The user
        name: UserName,
    },
    /// Remove keys
    #[command(after_help = "Example:\n  archipelago user key rm AR5XW2K8QZ7TJ3NB6HCD")]
    Rm {
        /// The public parts of the keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

#[derive(Subcommand, Debug)]
pub enum Account {
    /// Make an account without members
    #[command(after_help = "\
Examples:
  archipelago account create lab
  archipelago account create lab --quota 500G")]
    Create {
        /// The name
        name: AccountName,
        /// How much it may hold
        #[arg(long, value_name = "SIZE")]
        quota: Option<BytesQuota>,
    },
    /// List the accounts
    #[command(after_help = "Example:\n  archipelago account ls")]
    Ls,
    /// Show an account and what it holds
    #[command(after_help = "Example:\n  archipelago account show lab")]
    Show {
        /// The account
        name: AccountName,
    },
    /// Set how much the containers of an account may hold together
    ///
    /// The sizes of all versions count, and those of parts of unfinished uploads; volumes,
    /// snapshots and images do not. What is held already stays, also when it is more.
    #[command(after_help = "\
Examples:
  archipelago account quota lab 1T
  archipelago account quota lab none")]
    Quota {
        /// The account
        name: AccountName,
        /// How much
        #[arg(value_name = "SIZE|none")]
        size: BytesQuota,
    },
    /// Have the containers of an account be in another pool, but for those that say one themselves
    #[command(after_help = "\
Examples:
  archipelago account move lab --to far
  archipelago account move lab --to none")]
    Move {
        /// The account
        name: AccountName,
        #[command(flatten)]
        target: super::pool::Target,
    },
    /// Remove accounts that own nothing; their users stay
    #[command(after_help = "Example:\n  archipelago account rm lab")]
    Rm {
        /// The accounts
        #[arg(required = true, value_name = "NAME")]
        names: Vec<AccountName>,
    },
}
