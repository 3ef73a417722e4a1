//! Tests of the server over a real pool in a temporary folder, by raw HTTP.

mod conditions;
mod deltas;
mod disks;
mod document;
mod forks;
pub(crate) mod harness;
mod identities;
mod links;
mod matrix;
mod native;
mod policies;
mod requests;
mod revoked;
mod shares;
pub(crate) mod signed;
mod slow;
mod strange;
mod transfers;
mod unread;
mod updates;
mod users;
mod writers;
