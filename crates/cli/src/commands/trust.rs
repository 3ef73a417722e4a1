//! `archipelago scrub` and `archipelago check`.

use std::time::Duration;

use archipelago_api::{self as api, path};
use archipelago_node as node;

use super::Context;
use crate::args::trust::{Check, Scrub};
use crate::failure::{Failure, Kind, Result};
use crate::output::table::{Column, facts, render};
use crate::output::text::{plain, size};
use crate::progress::Progress;

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_millis(500);
/// So many stretches of one resource are shown.
const STRETCHES_SHOWN: usize = 4;

/// Scrubs, and waits for the end unless told not to.
pub fn scrub(context: &Context, options: Scrub) -> Result {
    let client = &context.client;
    let state = if options.status {
        client.get(path::SCRUB)?
    } else if options.stop {
        client.delete(path::SCRUB)?;
        client.get(path::SCRUB)?
    } else {
        let request = api::StartScrub { rate: options.rate, restart: options.restart };
        let mut state: api::Scrub = client.post(path::SCRUB, &request)?;
        let progress = Progress::new(context.output, "scrubbing");
        while state.running && !options.detach {
            progress.set(state.bytes, state.total_bytes);
            context.env.clock().sleep(POLL);
            state = client.get(path::SCRUB)?;
        }
        state
    };
    context.output.show(&state, scrub_view)?;
    let faults = state.damages.len() + state.catalog.len();
    match (faults, &state.problem) {
        (0, None) => Ok(()),
        (0, Some(problem)) => Err(Failure::new(Kind::Store, format!("the scrub ended: {problem}"))),
        _ => Err(Failure::new(Kind::Store, "stored bytes are damaged")),
    }
}

/// Checks a running store, or the one in a folder.
pub fn check(context: &Context, options: &Check) -> Result {
    let found: api::Check = match &options.data {
        Some(data) => {
            node::offline::check(data).map_err(|message| Failure::new(Kind::Store, message))?
        }
        None => context.client.post_empty(path::CHECK)?,
    };
    context.output.show(&found, check_view)?;
    if found.findings.iter().all(|finding| finding.severity != "damage") {
        Ok(())
    } else {
        Err(Failure::new(Kind::Store, "the store is not consistent"))
    }
}

fn scrub_view(scrub: &api::Scrub) -> String {
    let word = match (scrub.running, scrub.stopped, scrub.started_ms) {
        (true, ..) => "running",
        _ if scrub.problem.is_some() => "failed",
        (false, true, _) => "stopped on the way",
        (false, false, None) => "never done",
        (false, false, Some(_)) => "done",
    };
    let read = format!("{} of {} segments", size(scrub.bytes), scrub.segments);
    let mut lines = vec![("scrub", word.to_owned()), ("read", read)];
    if scrub.healed > 0 {
        lines.push(("healed", format!("{} copies, each from the other", scrub.healed)));
    }
    if scrub.running {
        lines.push(("in all", size(scrub.total_bytes)));
    }
    lines.extend(scrub.problem.iter().map(|problem| ("problem", plain(problem))));
    lines.extend(scrub.catalog.iter().map(|fault| ("catalog", plain(fault))));
    lines.push(("damage", scrub.damages.len().to_string()));
    let mut text = facts(lines);
    if scrub.damages.is_empty() {
        return text;
    }
    let rows = scrub.damages.iter().map(|damage| {
        let file = damage.segment.as_deref().unwrap_or("STORE");
        vec![
            plain(file),
            damage.offset.to_string(),
            damage.bytes.to_string(),
            plain(&damage.what),
            touches(&damage.touches),
        ]
    });
    use Column::{Left, Right};
    let columns = [Left("SEGMENT"), Right("OFFSET"), Right("BYTES"), Left("WHAT"), Left("TOUCHES")];
    text.push_str("\n\n");
    text.push_str(&render(&columns, rows));
    if !scrub.complete {
        text.push_str("\nthere is more damage than is shown");
    }
    text
}

fn touches(touches: &[api::Touch]) -> String {
    if touches.is_empty() {
        return "nothing that is read".to_owned();
    }
    let each = touches.iter().map(|touch| {
        let shown = touch.stretches.iter().take(STRETCHES_SHOWN);
        let mut places: Vec<String> =
            shown.map(|stretch| format!("{}+{}", stretch.offset, stretch.len)).collect();
        if touch.stretches.len() > STRETCHES_SHOWN {
            places.push("...".to_owned());
        }
        format!("{} at {}", plain(&touch.source), places.join(", "))
    });
    each.collect::<Vec<String>>().join("; ")
}

fn check_view(check: &api::Check) -> String {
    if check.findings.is_empty() {
        return "consistent".to_owned();
    }
    let blocks = check.findings.iter().map(|finding| {
        facts(vec![
            (
                "finding",
                format!("{}: {} ({})", finding.severity, plain(&finding.resource), finding.kind),
            ),
            ("found", plain(&finding.what)),
            ("why", finding.why.clone()),
            ("do", finding.remedy.clone()),
        ])
    });
    blocks.collect::<Vec<String>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_shown_with_what_it_touches() {
        let touch = api::Touch {
            source: "volume:web".to_owned(),
            bytes: 4096,
            stretches: vec![api::Stretch { offset: 8192, len: 4096 }],
            map: false,
        };
        let damage = api::Damage {
            segment: Some("000000001f".to_owned()),
            offset: 700,
            bytes: 4096,
            what: "piece: wrong".to_owned(),
            touches: vec![touch],
            ..api::Damage::default()
        };
        let scrub = api::Scrub { damages: vec![damage], complete: true, ..Default::default() };
        let text = scrub_view(&scrub);
        assert!(text.contains("000000001f") && text.contains("volume:web at 8192+4096"), "{text}");
    }

    #[test]
    fn a_scrub_that_ended_by_a_problem_has_failed() {
        let problem = Some("its thread panicked".to_owned());
        let text = scrub_view(&api::Scrub { problem, started_ms: Some(1), ..Default::default() });
        assert!(text.contains("failed") && text.contains("panicked"), "{text}");
    }

    #[test]
    fn a_finding_says_what_why_and_what_to_do() {
        let finding = api::Finding {
            kind: "segment-missing".to_owned(),
            severity: "damage".to_owned(),
            resource: "segment:7".to_owned(),
            what: "its file is not there".to_owned(),
            why: "because".to_owned(),
            remedy: "restore".to_owned(),
        };
        let text = check_view(&api::Check { findings: vec![finding] });
        assert!(text.contains("segment-missing") && text.contains("restore"), "{text}");
        assert_eq!(check_view(&api::Check::default()), "consistent");
    }
}
