//! Long functions that were there before the limit: listed with their length,
//! which may only fall.

use std::collections::BTreeMap;

use super::Finding;

/// The list, of the tree.
pub const LIST: &str = "crates/xtask/ratchet.txt";

/// A function over the limit.
pub struct Long {
    /// Of the tree, with `/`.
    pub path: String,
    /// Where its signature begins, counted from 1.
    pub line: usize,
    /// Its name; functions of one name in one file share a line of the list.
    pub function: String,
    /// How long it is.
    pub lines: usize,
}

/// Compares the list with what is there.
pub fn check(list: &str, long: &[Long]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut listed = BTreeMap::new();
    let rows = list.lines().enumerate().filter(|(_, row)| !row.is_empty() && !row.starts_with('#'));
    for (at, row) in rows {
        let words: Vec<&str> = row.split_whitespace().collect();
        match words[..] {
            [path, function, lines] if lines.parse::<usize>().is_ok() => {
                listed.insert((path, function), (at + 1, lines.parse().unwrap_or(0)));
            }
            _ => found.push(Finding::new(LIST, at + 1, "is not `path function lines`")),
        }
    }
    for one in long {
        let Long { path, line, function, lines } = one;
        let message = match listed.remove(&(path.as_str(), function.as_str())) {
            None => format!("fn {function} has {lines} lines"),
            Some((_, was)) if was < *lines => {
                format!("fn {function} grew from {was} to {lines} lines")
            }
            Some((_, was)) if *lines < was => format!("fn {function} shrank: list it with {lines}"),
            Some(_) => continue,
        };
        found.push(Finding::new(path, *line, message));
    }
    for ((path, function), (at, _)) in listed {
        found.push(Finding::new(
            LIST,
            at,
            format!("{path}: fn {function} is short now: remove the row"),
        ));
    }
    found
}

#[cfg(test)]
mod tests;
