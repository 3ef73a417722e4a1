//! `archipelago rebuild`.

use std::path::Path;

use archipelago_api as api;
use archipelago_node as node;

use super::Context;
use crate::failure::{Failure, Kind, Result};
use crate::output::table::facts;
use crate::output::text::{plain, time};

/// Makes the catalog of a stopped store anew.
pub fn run(context: &Context, data: &Path, force: bool) -> Result {
    let done = node::offline::rebuild(data, force)
        .map_err(|message| Failure::new(Kind::Store, message))?;
    context.output.show(&done, view)
}

fn view(done: &api::Rebuilt) -> String {
    let mut lines = vec![
        ("backup of", time(done.made_ms)),
        (
            "restored",
            format!(
                "{} volumes, {} snapshots, {} images, {} files",
                done.volumes, done.snapshots, done.images, done.files
            ),
        ),
        ("segments", format!("{}, {} without a footer", done.segments, done.unsealed)),
    ];
    for why in &done.passed_over {
        lines.push(("unreadable", plain(why)));
    }
    if done.unknown_volumes > 0 {
        let what = "volumes with writes in the log that the backup does not know";
        lines.push(("unknown", format!("{} {what}", done.unknown_volumes)));
    }
    if let Some(path) = &done.set_aside {
        lines.push(("set aside", plain(path)));
    }
    lines.push(("lost", "names made after the backup".to_owned()));
    if !done.passed_over.is_empty() {
        let what = "an older backup was used: what was written after it may be missing, too; \
                    compare what you can with copies";
        lines.push(("beware", what.to_owned()));
    }
    lines.push(("next", "archipelago serve, then archipelago check and scrub".to_owned()));
    facts(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_tells_what_came_back_and_what_to_do_next() {
        let done = api::Rebuilt { volumes: 3, unknown_volumes: 1, ..api::Rebuilt::default() };
        let text = view(&done);
        assert!(text.contains("3 volumes") && text.contains("1 volumes with writes"), "{text}");
        assert!(text.contains("archipelago check"), "{text}");
    }
}
