//! `archipelago token`.

use archipelago_model::{AccountName, UserName};
use clap::Subcommand;

#[derive(Subcommand, Debug)]
pub enum Token {
    /// Log in, and print a token for ARCHIPELAGO_TOKEN or a file
    ///
    /// The password is asked for, or is the first line of standard input. The token holds for 12
    /// hours, and acts for one account. A shell sets it as in
    /// `export ARCHIPELAGO_TOKEN=$(archipelago token issue bob)`.
    #[command(after_help = "\
Examples:
  archipelago token issue bob > token
  pass show eve | archipelago token issue eve --account lab > token
  archipelago volume ls --token-file token")]
    Issue {
        /// The user
        user: UserName,
        /// The account to act for; the oldest that the user is in if nothing is said
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountName>,
    },
    /// End the token that is used
    #[command(after_help = "\
Examples:
  archipelago token revoke
  archipelago token revoke --token-file token")]
    Revoke,
}
