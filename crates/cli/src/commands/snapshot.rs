//! `archipelago snapshot`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use archipelago_api::{self as api, path};
use archipelago_model::SnapshotPath;
use serde::Serialize;

use super::{Context, remove_each, transfer};
use crate::args::snapshot::{Since, Snapshot as Verb};
use crate::client::Method;
use crate::failure::{Failure, Result};
use crate::output::table::{Column, facts, render};
use crate::output::text::{count, exact_size, plain, size, time};
use crate::progress::Progress;

pub fn run(context: &Context, verb: Verb) -> Result {
    match verb {
        Verb::Create { snapshots } => create(context, &snapshots),
        Verb::Ls { volume } => {
            let route = path::snapshots(volume.as_ref().map(|name| name.as_str()));
            let snapshots: api::Snapshots = context.client.get(&route)?;
            context.output.show(&snapshots, |list| table(&list.snapshots))
        }
        Verb::Show { snapshot } => {
            let snapshot: api::Snapshot = context.client.get(&route(&snapshot))?;
            context.output.show(&snapshot, view)
        }
        Verb::Rm { snapshots } => {
            let names: Vec<String> = snapshots.iter().map(SnapshotPath::to_string).collect();
            remove_each(context, "snapshot", &names, |index| {
                context.client.delete(&route(&snapshots[index]))
            })
        }
        Verb::Rollback { snapshot } => {
            let route =
                path::snapshot_rollback(snapshot.volume.as_str(), snapshot.snapshot.as_str());
            let volume: api::Volume = context.client.post_empty(&route)?;
            context.output.confirm(&volume, |volume| {
                format!("volume {} is again as at {snapshot}: {}", volume.name, size(volume.size))
            })
        }
        Verb::Diff { from, to } => {
            let route = path::diff(&from.0.to_string(), &to.0.to_string());
            let diff: api::Diff = context.client.get(&route)?;
            context.output.show(&diff, differences)
        }
        Verb::Send { snapshot, since, output, force } => {
            send(context, &snapshot, since, output.as_deref(), force)
        }
        Verb::Receive { snapshot, file } => receive(context, &snapshot, &file),
    }
}

fn route(snapshot: &SnapshotPath) -> String {
    path::snapshot(snapshot.volume.as_str(), snapshot.snapshot.as_str())
}

fn create(context: &Context, snapshots: &[SnapshotPath]) -> Result {
    let body =
        api::CreateSnapshots { members: snapshots.iter().map(SnapshotPath::to_string).collect() };
    let taken: api::Snapshots = context.client.post(path::SNAPSHOTS, &body)?;
    context.output.confirm(&taken, |taken| {
        let line = |s: &api::Snapshot| {
            format!("created snapshot {}@{}: {}", s.volume, s.name, size(s.size))
        };
        taken.snapshots.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// The JSON of `send -o`.
#[derive(Serialize)]
struct Sent {
    snapshot: String,
    since: Option<String>,
    file: String,
    stream_bytes: u64,
}

fn send(
    context: &Context,
    snapshot: &SnapshotPath,
    since: Option<Since>,
    file: Option<&Path>,
    force: bool,
) -> Result {
    if let Some(volume) = since.as_ref().and_then(|since| since.volume.as_ref())
        && *volume != snapshot.volume
    {
        let message = format!("--since names volume '{volume}', and the snapshot is {snapshot}");
        return Err(Failure::usage(message).remedy("name an older snapshot of the same volume"));
    }
    let since = since.map(|since| since.snapshot.to_string());
    let route =
        path::snapshot_send(snapshot.volume.as_str(), snapshot.snapshot.as_str(), since.as_deref());
    let Some(file) = file.filter(|file| !transfer::is_standard(file)) else {
        let remedy = "redirect it, pipe it to another command, or give -o FILE";
        transfer::refuse_terminal(
            &io::stdout(),
            "a stream of binary data does not go to a terminal",
            remedy,
        )?;
        let mut stream = context.client.download(&route)?;
        let words = |error| Failure::local("write the stream to standard output")(error);
        transfer::copy_verified(context, &mut stream, &mut io::stdout().lock(), words)?;
        return Ok(());
    };
    let stream_bytes = transfer::write_whole(file, force, |out| {
        let mut stream = context.client.download(&route)?;
        let words = |error| Failure::local(format!("write '{}'", file.display()))(error);
        transfer::copy_verified(context, &mut stream, out, words)
    })?;
    let sent = Sent {
        snapshot: snapshot.to_string(),
        since,
        file: file.display().to_string(),
        stream_bytes,
    };
    context.output.confirm(&sent, |sent| {
        format!("sent {} to {}: {}", sent.snapshot, plain(&sent.file), size(sent.stream_bytes))
    })
}

fn receive(context: &Context, snapshot: &SnapshotPath, file: &Path) -> Result {
    let (mut input, total): (Box<dyn Read>, u64) = if transfer::is_standard(file) {
        transfer::refuse_terminal(
            &io::stdin(),
            "the stream to receive is not on a terminal",
            "give a FILE, or pipe in what `archipelago snapshot send` writes",
        )?;
        (Box::new(io::stdin().lock()), 0)
    } else {
        let open = || Failure::local(format!("open '{}'", file.display()));
        let opened = File::open(file).map_err(open())?;
        let total = opened.metadata().map_err(open())?.len();
        (Box::new(opened), total)
    };
    let progress = Progress::new(context.output, "receiving");
    let mut body = transfer::Sending::new(&mut input, progress, total);
    let route = path::receive(&snapshot.to_string());
    let answer = context.client.upload(Method::Post, &route, &mut body);
    if let Some(error) = body.failure() {
        return Err(Failure::local(format!("read '{}'", file.display()))(error));
    }
    drop(body);
    let made: api::Snapshot = answer?;
    context.output.confirm(&made, |made| {
        format!("received snapshot {}@{}: {}", made.volume, made.name, size(made.size))
    })
}

fn table(snapshots: &[api::Snapshot]) -> String {
    use Column::{Left, Right};
    let columns = [Left("SNAPSHOT"), Right("SIZE"), Left("CREATED")];
    render(
        &columns,
        snapshots
            .iter()
            .map(|s| vec![format!("{}@{}", s.volume, s.name), size(s.size), time(s.created_ms)]),
    )
}

fn view(snapshot: &api::Snapshot) -> String {
    facts([
        ("snapshot", format!("{}@{}", snapshot.volume, snapshot.name)),
        ("id", snapshot.id.to_string()),
        ("uuid", plain(&snapshot.uuid)),
        ("size", exact_size(snapshot.size)),
        ("created", time(snapshot.created_ms)),
    ])
}

fn differences(diff: &api::Diff) -> String {
    use Column::{Left, Right};
    let total = format!(
        "{} changed in {}",
        size(diff.changed),
        count(diff.ranges.len() as u64, "range", "ranges")
    );
    if diff.ranges.is_empty() {
        return total;
    }
    let rows = diff.ranges.iter().map(|range| {
        let now = if range.zero { "zero" } else { "data" };
        vec![range.offset.to_string(), range.len.to_string(), now.to_owned()]
    });
    let ranges = render(&[Right("OFFSET"), Right("BYTES"), Left("NOW")], rows);
    format!("{ranges}\n{total}")
}

#[cfg(test)]
mod tests;
