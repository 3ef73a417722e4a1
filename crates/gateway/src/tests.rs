//! Tests of the server over a real pool in a temporary folder, by raw HTTP.

mod document;
mod harness;
mod requests;
mod transfers;
