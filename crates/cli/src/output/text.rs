//! Values in words: times, sizes, names of any content.

use archipelago_model::size::Human;
use jiff::Timestamp;

/// Milliseconds since the epoch as `2026-11-20T19:35:34Z`; UTC, so that the
/// listings of two hosts can be compared and no time zone database is needed.
pub fn time(unix_ms: u64) -> String {
    i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "?".to_owned(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A detail of the record, in which `until` is followed by such a number, as people read it.
pub fn detail(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let shown = words.iter().enumerate().map(|(at, word)| {
        let is_time = at.checked_sub(1).is_some_and(|before| words[before] == "until");
        match word.parse() {
            Ok(ms) if is_time => time(ms),
            _ => plain(word),
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Bytes as `40 GiB`.
pub fn size(bytes: u64) -> String {
    Human(bytes).to_string()
}

/// Bytes with the exact number, for views of one resource.
pub fn exact_size(bytes: u64) -> String {
    if bytes < 1024 { size(bytes) } else { format!("{} ({bytes} bytes)", size(bytes)) }
}

/// A span in its two greatest units, as `2 d 3 h`.
pub fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    let (d, h, m, s) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) => format!("{m} min {s} s"),
        (0, ..) => format!("{h} h {m} min"),
        _ => format!("{d} d {h} h"),
    }
}

/// A count with its noun.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Text from elsewhere, with nothing in it that could act on a terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

/// What may be missing, as `-`.
pub fn optional(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), plain)
}

#[cfg(test)]
mod tests;
