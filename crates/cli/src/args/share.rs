//! `archipelago share`.

use std::str::FromStr;

use archipelago_model::AccountName;
use clap::{Args, Subcommand};

use super::file::Lifetime;

/// Share something, and say until when.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Share {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// What: CONT/OBJ, CONT/FOLDER/, container:NAME, image:NAME, volume:NAME, snapshot:VOL@SNAP
    #[arg(value_name = "RESOURCE", required = true)]
    pub resource: Option<String>,
    /// With whom and what: bob:read, @lab/friends:read,write
    #[arg(value_name = "WHO:RIGHTS", required_unless_present = "with", conflicts_with = "with")]
    pub said: Vec<Said>,
    /// With whom: everyone, signed-in, user:NAME, account:NAME, group:ACCOUNT/NAME
    #[arg(long, value_name = "WHO")]
    pub with: Vec<Who>,
    /// They may read it; of a container, everything in it, and list it
    #[arg(long, requires = "with")]
    pub read: bool,
    /// They may change its content; in a container, also make and remove
    #[arg(long, requires = "with")]
    pub write: bool,
    /// They may make volumes that begin as it; that is to read it, too
    #[arg(long, requires = "with")]
    pub clone: bool,
    /// When it ends: 30m, 12h or 7d from now; otherwise when `share rm` ends it
    #[arg(long, value_name = "TIME")]
    pub until: Option<Lifetime>,
    /// The account whose containers are meant; that of the token, or admin, if nothing is said
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountName>,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// List what is shared, and with whom
    #[command(after_help = "\
Examples:
  archipelago share ls
  archipelago share ls papers/draft.pdf --json")]
    Ls {
        /// Of this only
        #[arg(value_name = "RESOURCE")]
        resource: Option<String>,
        /// The account whose containers are meant; that of the token, or admin, if nothing is said
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountName>,
    },
    /// Share no more, from the next request on
    #[command(after_help = "\
Examples:
  archipelago share rm papers/draft.pdf
  archipelago share rm papers/draft.pdf bob
  archipelago share rm papers/draft.pdf bob:write @lab/friends
  archipelago share rm papers/draft.pdf --with user:bob --right write")]
    Rm {
        /// What
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// With whom no more, and, behind a colon, what they may no more; with nobody if nothing
        /// is said
        #[arg(value_name = "WHO[:RIGHTS]", conflicts_with_all = ["with", "right"])]
        said: Vec<Ended>,
        /// With whom no more
        #[arg(long, value_name = "WHO")]
        with: Option<Who>,
        /// Which right no more; none if nothing is said
        #[arg(long, value_name = "RIGHT")]
        right: Option<String>,
        /// The account whose containers are meant; that of the token, or admin, if nothing is said
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountName>,
    },
}

/// With whom, in the words of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who(pub String);

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = match text.split_once(':') {
            Some(("user", name)) => name.to_owned(),
            Some(("account", name)) => format!("{name}/*"),
            Some(("group", name)) => format!("@{name}"),
            Some(_) => {
                return Err(format!(
                    "'{}' is nobody to share with: write everyone, signed-in, user:NAME, \
                     account:NAME or group:ACCOUNT/NAME",
                    text.escape_debug()
                ));
            }
            None => text.to_owned(),
        };
        match words.is_empty() {
            true => Err("say with whom".to_owned()),
            false => Ok(Self(words)),
        }
    }
}

/// `WHO:RIGHT,RIGHT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    pub who: Who,
    pub rights: Vec<String>,
}

impl FromStr for Said {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (who, rights) = text
            .rsplit_once(':')
            .filter(|(_, rights)| !rights.is_empty())
            .ok_or(format!("'{}' says nothing of rights: write bob:read", text.escape_debug()))?;
        let rights = rights.split(',').map(str::to_owned).collect();
        Ok(Self { who: who.parse()?, rights })
    }
}

/// `WHO`, or `WHO:RIGHT,RIGHT`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    pub who: Who,
    /// None for all of them.
    pub rights: Vec<String>,
}

/// The words of the server behind WHO that are no names.
const RIGHTS: [&str; 6] = ["read", "list", "write", "clone", "read-acl", "write-acl"];

impl FromStr for Ended {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let are_rights = |words: &str| words.split(',').all(|word| RIGHTS.contains(&word));
        match text.rsplit_once(':') {
            Some((_, rights)) if are_rights(rights) => {
                text.parse().map(|Said { who, rights }| Self { who, rights })
            }
            _ => match text.parse() {
                Ok(who) => Ok(Self { who, rights: Vec::new() }),
                Err(_) => Err(format!(
                    "'{}' is neither WHO nor WHO:RIGHTS: write bob or bob:read,write; WHO is \
                     everyone, signed-in, user:NAME, account:NAME or group:ACCOUNT/NAME, too",
                    text.escape_debug()
                )),
            },
        }
    }
}
