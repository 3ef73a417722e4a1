//! `archipelago gc`.

use archipelago_api::{self as api, path};

use super::Context;
use crate::failure::Result;
use crate::output::table::facts;
use crate::output::text::size;
use crate::progress::Progress;

/// Collects until there is nothing more to do.
pub fn run(context: &Context, now: bool) -> Result {
    let mut all = api::Collected::default();
    let progress = Progress::new(context.output, "moving");
    loop {
        let done: api::Collected = context.client.post(path::GC, &api::Collect { now })?;
        all.add(&done);
        if !done.more {
            break;
        }
        progress.set(all.read_bytes, 0);
    }
    drop(progress);
    context.output.show(&all, view)
}

fn view(done: &api::Collected) -> String {
    let mut lines = vec![
        ("freed", format!("{} in {} segments", size(done.freed_bytes), done.removed)),
        ("waiting", size(done.waiting_bytes)),
        (
            "moved",
            format!(
                "{} of {} segments, as {}",
                size(done.read_bytes),
                done.compacted,
                size(done.written_bytes)
            ),
        ),
        ("maps", format!("{} written anew", done.flattened)),
    ];
    if done.alarms > 0 {
        lines.push(("alarms", format!("{}: report this defect; nothing was lost", done.alarms)));
    }
    facts(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_tells_what_came_back_and_what_waits() {
        let done = api::Collected {
            freed_bytes: 3 << 20,
            removed: 2,
            waiting_bytes: 1 << 20,
            compacted: 4,
            ..api::Collected::default()
        };
        let text = view(&done);
        assert!(text.contains("3 MiB in 2 segments") && text.contains("1 MiB"), "{text}");
        assert!(!text.contains("alarms"), "{text}");
    }
}
