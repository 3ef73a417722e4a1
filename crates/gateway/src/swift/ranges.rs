//! `Range`: which bytes of something a client wants.

/// Ranges in one request at most, as Swift has it; it also bounds the answer's frame.
const RANGES_MAX: usize = 50;

/// What a header asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// Everything: there is no header, or one that says nothing.
    All,
    /// These, each with an offset and a length.
    Some(Vec<(u64, u64)>),
    /// Nothing that is there.
    Nothing,
}

/// Reads a header, for something of so many bytes.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let header = header.map(|header| header.replace([' ', '\t'], "").to_ascii_lowercase());
    let Some(list) = header.as_deref().and_then(|header| header.strip_prefix("bytes=")) else {
        return Wanted::All;
    };
    let mut out = Vec::new();
    for item in list.split(',') {
        match range(item, size) {
            None => return Wanted::All,
            Some(None) => {}
            Some(Some(range)) => out.push(range),
        }
        if out.len() > RANGES_MAX {
            return Wanted::Nothing;
        }
    }
    // Many that overlap would make an answer that is far larger than what there is.
    let total = out.iter().fold(0_u64, |sum, (_, len)| sum.saturating_add(*len));
    if out.is_empty() || total > size.saturating_mul(2) {
        return Wanted::Nothing;
    }
    Wanted::Some(out)
}

/// One range: `None` when it is none, `Some(None)` when it lies behind the end.
pub(super) fn range(item: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = item.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return None;
    }
    // Longer numbers lie behind any end.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    if first.is_empty() {
        let len = number(last).min(size);
        return Some((len > 0).then(|| (size - len, len)));
    }
    let first = number(first);
    let last = if last.is_empty() { u64::MAX } else { number(last) };
    if last < first {
        return None;
    }
    if first >= size {
        return Some(None);
    }
    Some(Some((first, last.min(size - 1) - first + 1)))
}
