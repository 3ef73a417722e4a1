//! Passwords: typed unseen at a terminal, or the first line of standard input. Never an argument,
//! which every process of the machine can read.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failure::{Failure, Kind, Result};

/// A line is read so far, in bytes: more than any password has.
const LINE_BYTES_MAX: u64 = 4096;

/// Asks for a password.
pub fn read() -> Result<String> {
    if io::stdin().is_terminal() { ask("Password: ") } else { line(&mut io::stdin().lock()) }
}

/// Asks for a new password, twice at a terminal.
pub fn read_new() -> Result<String> {
    if !io::stdin().is_terminal() {
        return line(&mut io::stdin().lock());
    }
    let first = ask("New password: ")?;
    if ask("The same again: ")? != first {
        return Err(Failure::new(Kind::Local, "the two passwords differ").remedy("try again"));
    }
    Ok(first)
}

fn ask(prompt: &str) -> Result<String> {
    let words = |error| Failure::local("ask for the password")(error);
    let mut stderr = io::stderr().lock();
    write!(stderr, "{prompt}").and_then(|()| stderr.flush()).map_err(words)?;
    let unseen = Unseen::begin().map_err(words)?;
    let typed = line(&mut io::stdin().lock());
    drop(unseen);
    // The end of the line was not seen either.
    writeln!(stderr).map_err(words)?;
    typed
}

/// The first line, without its end.
fn line(input: &mut dyn BufRead) -> Result<String> {
    let mut text = String::new();
    let words = |error| Failure::local("read the password")(error);
    input.take(LINE_BYTES_MAX).read_line(&mut text).map_err(words)?;
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(Failure::new(Kind::Local, "there is no password on standard input")
            .remedy("type one, or pipe it in"));
    }
    Ok(password.to_owned())
}

/// The terminal does not show what is typed, until this is dropped.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Nothing can be done about it here; the shell resets the terminal.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests;
