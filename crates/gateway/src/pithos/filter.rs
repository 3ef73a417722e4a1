//! Filters of listings by metadata: `?meta=`.

use std::collections::BTreeMap;

/// Whether an order is the one that is wanted.
type Is = fn(std::cmp::Ordering) -> bool;

/// `key`, `!key`, `key=value`, and the other comparisons.
pub(super) struct Filter {
    key: String,
    how: How,
    value: String,
}

#[derive(Clone, Copy)]
enum How {
    There,
    NotThere,
    Is(Is),
}

impl Filter {
    pub(super) fn all(text: &str) -> Vec<Self> {
        text.split(',')
            .filter(|one| !one.trim().is_empty())
            .map(|one| Self::one(one.trim()))
            .collect()
    }

    fn one(text: &str) -> Self {
        let signs: [(&str, Is); 6] = [
            ("!=", std::cmp::Ordering::is_ne),
            ("<=", std::cmp::Ordering::is_le),
            (">=", std::cmp::Ordering::is_ge),
            ("=", std::cmp::Ordering::is_eq),
            ("<", std::cmp::Ordering::is_lt),
            (">", std::cmp::Ordering::is_gt),
        ];
        let made = |key: &str, how, value: &str| Self {
            key: key.trim().to_lowercase(),
            how,
            value: value.trim().to_owned(),
        };
        for (sign, is) in signs {
            if let Some((key, value)) = text.split_once(sign)
                && !key.is_empty()
            {
                return made(key, How::Is(is), value);
            }
        }
        match text.strip_prefix('!') {
            Some(key) => made(key, How::NotThere, ""),
            None => made(text, How::There, ""),
        }
    }

    pub(super) fn fits(&self, meta: &BTreeMap<String, String>) -> bool {
        let kept = meta.get(&self.key);
        match (self.how, kept) {
            (How::There, kept) => kept.is_some(),
            (How::NotThere, kept) => kept.is_none(),
            (How::Is(_), None) => false,
            (How::Is(is), Some(kept)) => {
                is(match (kept.parse::<f64>(), self.value.parse::<f64>()) {
                    (Ok(one), Ok(other)) => one.total_cmp(&other),
                    _ => kept.as_str().cmp(self.value.as_str()),
                })
            }
        }
    }
}
