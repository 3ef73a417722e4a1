//! `archipelago df` and `archipelago status`.

use archipelago_api::{self as api, path};

use super::Context;
use crate::failure::Result;
use crate::output::table::{Column, facts, render};
use crate::output::text::{plain, size, span};

/// Where the bytes are.
pub fn df(context: &Context) -> Result {
    let usage: api::Usage = context.client.get(path::USAGE)?;
    context.output.show(&usage, usage_view)
}

/// What the server does.
pub fn status(context: &Context) -> Result {
    let status: api::Status = context.client.get(path::STATUS)?;
    context.output.show(&status, status_view)
}

fn usage_view(usage: &api::Usage) -> String {
    use Column::{Left, Right};
    let totals = render(
        &[Right("LOGICAL"), Right("UNIQUE"), Right("COMPRESSED"), Right("PHYSICAL")],
        [[usage.logical, usage.unique, usage.compressed, usage.physical].map(size).to_vec()],
    );
    let pools = render(
        &[Left("POOL"), Right("PHYSICAL"), Right("TOTAL"), Right("FREE"), Right("SEGMENTS")],
        usage.pools.iter().map(|pool| {
            vec![
                plain(&pool.name),
                size(pool.physical),
                size(pool.total),
                size(pool.free),
                pool.segments.to_string(),
            ]
        }),
    );
    if usage.resources.is_empty() {
        return format!("{totals}\n\n{pools}");
    }
    let resources = render(
        &[
            Left("RESOURCE"),
            Right("SIZE"),
            Right("REFERENCED"),
            Right("EXCLUSIVE"),
            Right("SHARED"),
        ],
        usage.resources.iter().map(|resource| {
            vec![
                plain(&resource.source),
                size(resource.size),
                size(resource.referenced),
                size(resource.exclusive),
                size(resource.shared),
            ]
        }),
    );
    format!("{totals}\n\n{pools}\n\n{resources}")
}

fn status_view(status: &api::Status) -> String {
    let mut lines = vec![
        ("version", plain(&status.version)),
        ("uptime", span(status.uptime_ms)),
        ("data", plain(&status.data)),
        ("volumes", status.volumes.to_string()),
        ("snapshots", status.snapshots.to_string()),
        ("images", status.images.to_string()),
        ("files", status.files.to_string()),
        ("attached", status.attached.to_string()),
    ];
    if let Some(problem) = &status.problem {
        lines.push(("problem", plain(problem)));
    }
    let mut text = facts(lines);
    if !status.figures.is_empty() {
        let rows = status.figures.iter().map(|(name, value)| vec![plain(name), value.to_string()]);
        let figures = render(&[Column::Left("FIGURE"), Column::Right("VALUE")], rows);
        text.push_str("\n\n");
        text.push_str(&figures);
    }
    text
}

#[cfg(test)]
mod tests;
