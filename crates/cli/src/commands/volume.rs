//! `archipelago volume`.

use archipelago_api::{self as api, path};
use archipelago_model::{VolumeName, VolumeSize};

use super::{Context, remove_each};
use crate::args::volume::Volume as Verb;
use crate::failure::{Failure, Result};
use crate::output::table::{Column, facts, render};
use crate::output::text::{exact_size, optional, size, time};

pub fn run(context: &Context, verb: Verb) -> Result {
    match verb {
        Verb::Create { names, size, from, raw, pool } => {
            let body = api::CreateVolumes {
                names: names.iter().map(VolumeName::to_string).collect(),
                from: from.map(|source| source.to_string()),
                size: size.map(VolumeSize::bytes),
                raw,
            };
            create(context, &body, pool.map(|pool| pool.to_string()))
        }
        Verb::Ls => {
            let volumes: api::Volumes = context.client.get(path::VOLUMES)?;
            context.output.show(&volumes, |list| table(&list.volumes))
        }
        Verb::Show { name } => {
            let volume: api::Volume = context.client.get(&path::volume(name.as_str()))?;
            context.output.show(&volume, view)
        }
        Verb::Rename { name, to } => {
            let body = api::RenameVolume { to: to.to_string() };
            let volume: api::Volume =
                context.client.post(&path::volume_rename(name.as_str()), &body)?;
            context.output.confirm(&volume, |v| format!("renamed volume {name} to {}", v.name))
        }
        Verb::Resize { name, size, shrink } => resize(context, &name, size, shrink),
        Verb::Move { name, target, detach } => {
            super::pool::move_volume(context, &name, &target.to, detach)
        }
        Verb::Rm { names, force } => {
            let names: Vec<String> = names.iter().map(VolumeName::to_string).collect();
            remove_each(context, "volume", &names, |index| {
                context.client.delete(&path::volume_remove(&names[index], force))
            })
        }
    }
}

fn create(context: &Context, body: &api::CreateVolumes, pool: Option<String>) -> Result {
    if let Some(pool) = &pool {
        // So that a name that is wrong makes no volume.
        let _there: api::Pool = context.client.get(&path::pool(pool))?;
    }
    let volumes: api::Volumes = context.client.post(path::VOLUMES, body)?;
    if pool.is_some() {
        let wanted = api::SetPlacement { pool };
        for volume in &volumes.volumes {
            let route = path::volume_placement(&volume.name);
            let _placed: api::Placement = context.client.post(&route, &wanted)?;
        }
    }
    context.output.confirm(&volumes, |made| {
        let lines: Vec<String> = made.volumes.iter().map(created).collect();
        lines.join("\n")
    })
}

fn created(volume: &api::Volume) -> String {
    let origin = volume
        .parent
        .as_deref()
        .map_or_else(String::new, |parent| format!(", a clone of {}", optional(Some(parent))));
    format!("created volume {}: {}{origin}", volume.name, size(volume.size))
}

fn resize(context: &Context, name: &VolumeName, new: VolumeSize, shrink: bool) -> Result {
    let route = path::volume(name.as_str());
    let old: api::Volume = context.client.get(&route)?;
    if new.bytes() < old.size && !shrink {
        let message = format!(
            "volume '{name}' has {}, and {} would cut off its end for good",
            exact_size(old.size),
            exact_size(new.bytes())
        );
        return Err(Failure::usage(message).remedy(format!(
            "take a snapshot first if in doubt, then: archipelago volume resize {name} {} --shrink",
            new.bytes()
        )));
    }
    let body = api::ResizeVolume { size: new.bytes() };
    let volume: api::Volume = context.client.post(&path::volume_resize(name.as_str()), &body)?;
    context.output.confirm(&volume, |v| {
        format!("resized volume {} from {} to {}", v.name, size(old.size), size(v.size))
    })
}

/// Of what is only shared with us its owner's figures are not told.
fn count(number: Option<u32>) -> String {
    optional(number.map(|number| number.to_string()).as_deref())
}

fn table(volumes: &[api::Volume]) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("NAME"),
        Right("SIZE"),
        Right("SNAPSHOTS"),
        Right("ATTACHED"),
        Left("CREATED"),
        Left("PARENT"),
    ];
    render(
        &columns,
        volumes.iter().map(|v| {
            vec![
                v.name.clone(),
                size(v.size),
                count(v.snapshots),
                count(v.attached),
                time(v.created_ms),
                optional(v.parent.as_deref()),
            ]
        }),
    )
}

fn view(volume: &api::Volume) -> String {
    facts([
        ("name", volume.name.clone()),
        ("id", volume.id.to_string()),
        ("size", exact_size(volume.size)),
        ("parent", optional(volume.parent.as_deref())),
        ("snapshots", count(volume.snapshots)),
        ("attached", count(volume.attached)),
        ("created", time(volume.created_ms)),
    ])
}

#[cfg(test)]
mod tests;
