//! A client of S3 and Swift that sends what it likes, byte by byte: in Python, so that nothing of
//! the product has a part in what is signed, framed and compared.

use std::fs;

use anyhow::{Context, Result};

use crate::program::{Program, program};
use crate::site::Site;
use crate::tools;

/// The client: signatures, requests, answers.
const WIRE: &str = include_str!("wire/wire.py");

/// A script on top of the client, against a site, as the owner of a key, in the site's folder. It
/// is silent and ends with 0, or fails.
pub fn script(site: &Site, user: &str, text: &str) -> Result<Program> {
    let key = site.access_key(user)?;
    // A file, so that what fails names a line and not the whole script.
    let file = site.text("script.py");
    fs::write(&file, format!("{WIRE}{text}"))?;
    let arguments = [&file, site.daemon.http(), &key.id, &key.secret];
    let program = program(tools::PYTHON)?.args(arguments);
    Ok(program.folder(site.data().parent().context("no folder")?))
}

/// Random acts through every door at once, against a model.
pub const DOORS: &str = include_str!("wire/doors.py");
