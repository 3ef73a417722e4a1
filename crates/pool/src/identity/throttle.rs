//! Guessing is made slow: after some failed logins of one user, further ones are refused
//! for a while, whoever asks.

use std::collections::HashMap;
use std::time::Duration;

/// Failed logins in a row that cost nothing: people mistype.
const FREE_FAILURES: u32 = 5;

/// The first refusal lasts so long, each further one twice as long as the one before.
const DELAY_MIN: Duration = Duration::from_secs(1);

/// No refusal lasts longer, so that nobody can keep somebody else out for good.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(30);

/// After so long without a failed login all is forgotten.
const MEMORY: Duration = Duration::from_secs(900);

/// Users whose failures are remembered, those that do not exist among them. When there are
/// more, the one with the fewest failures is forgotten: filling the table with new names does
/// not make it forget whom somebody is really after.
const USERS_MAX: usize = 4096;

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Duration,
}

impl Failures {
    /// Until when logins are refused.
    fn until(self) -> Duration {
        let Some(over) = self.count.checked_sub(FREE_FAILURES) else { return self.last };
        let delay = DELAY_MIN.saturating_mul(1 << over.min(16));
        self.last + delay.min(DELAY_MAX)
    }

    fn is_forgotten(self, now: Duration) -> bool {
        now.saturating_sub(self.last) > MEMORY
    }
}

/// The failures of all.
#[derive(Default)]
pub(crate) struct Throttle(HashMap<[u8; 32], Failures>);

impl Throttle {
    fn key(user: &str) -> [u8; 32] {
        *blake3::hash(user.as_bytes()).as_bytes()
    }

    /// How long logins of this user are still refused.
    pub fn wait(&self, user: &str, now: Duration) -> Option<Duration> {
        let failures = self.0.get(&Self::key(user)).filter(|one| !one.is_forgotten(now))?;
        failures.until().checked_sub(now).filter(|left| !left.is_zero())
    }

    /// A login failed.
    pub fn failed(&mut self, user: &str, now: Duration) {
        let key = Self::key(user);
        if self.0.len() >= USERS_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, one| !one.is_forgotten(now));
            if self.0.len() >= USERS_MAX
                && let Some(least) =
                    self.0.iter().min_by_key(|(_, one)| (one.count, one.last)).map(|(key, _)| *key)
            {
                self.0.remove(&least);
            }
        }
        let one = self.0.entry(key).or_insert(Failures { count: 0, last: now });
        if one.is_forgotten(now) {
            one.count = 0;
        }
        *one = Failures { count: one.count.saturating_add(1), last: now };
    }

    /// A login succeeded: what was before is forgiven.
    pub fn succeeded(&mut self, user: &str) {
        self.0.remove(&Self::key(user));
    }
}

#[cfg(test)]
mod tests;
