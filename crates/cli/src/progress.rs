//! Progress bars: bytes, rate and time left, on standard error, only when it is
//! a terminal and nobody asked for quiet.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// How often a bar is drawn, per second.
const DRAWS_PER_SECOND: u8 = 10;

const KNOWN: &str =
    "{prefix} {wide_bar} {percent:>3}%  {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta}";
const UNKNOWN: &str = "{prefix} {spinner} {bytes}  {binary_bytes_per_sec}";

/// A bar, or nothing where nobody watches. Dropping it clears it.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that is headed by `what`.
    pub fn new(output: Output, what: &str) -> Self {
        let target = if output.watched() {
            ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target).with_style(style(UNKNOWN));
        bar.set_prefix(what.to_owned());
        Self { bar }
    }

    /// How far it is: bytes done and bytes in all, 0 when that is not known.
    pub fn set(&self, done: u64, total: u64) {
        if total > 0 && self.bar.length() != Some(total) {
            self.bar.set_style(style(KNOWN));
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_well_formed() {
        assert!(ProgressStyle::with_template(KNOWN).is_ok());
        assert!(ProgressStyle::with_template(UNKNOWN).is_ok());
    }
}
