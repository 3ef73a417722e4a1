//! `archipelago container`.

use archipelago_api::{self as api, path};
use archipelago_model::ContainerName;

use super::{Context, remove_each};
use crate::args::container::{Container as Verb, Owner};
use crate::failure::Result;
use crate::output::table::{Column, facts, render};
use crate::output::text::{exact_size, plain, size, time};

pub fn run(context: &Context, verb: Verb) -> Result {
    let client = &context.client;
    match verb {
        Verb::Ls { owner } => {
            let mut all = api::Containers { containers: Vec::new() };
            loop {
                let after = all.containers.last().map(|one| one.name.as_str());
                let page: api::Containers =
                    client.get(&path::containers(owner.account.as_str(), after))?;
                if page.containers.is_empty() {
                    break;
                }
                all.containers.extend(page.containers);
            }
            context.output.show(&all, |list| table(&list.containers))
        }
        Verb::Show { name, owner } => {
            let found: api::Container =
                client.get(&path::container(owner.account.as_str(), name.as_str()))?;
            context.output.show(&found, view)
        }
        Verb::Create { names, owner } => {
            for name in &names {
                let path = path::container(owner.account.as_str(), name.as_str());
                let made: api::Container = client.put_empty(&path)?;
                let said = |one: &api::Container| format!("created container {}", plain(&one.name));
                context.output.confirm(&made, said)?;
            }
            Ok(())
        }
        Verb::Rm { names, owner } => {
            let shown: Vec<String> = names.iter().map(|name| plain(name.as_str())).collect();
            remove_each(context, "container", &shown, |index| {
                client.delete(&path::container(owner.account.as_str(), names[index].as_str()))
            })
        }
        Verb::Move { name, target, owner } => {
            let path = path::container_placement(owner.account.as_str(), name.as_str());
            let what = format!("container {}", plain(name.as_str()));
            super::pool::move_later(context, &what, &path, &target.to)
        }
        Verb::Quota { name, size, objects, owner } => {
            let body = api::SetContainerQuota {
                quota_bytes: size.map(|quota| quota.0),
                quota_objects: objects.map(|quota| quota.0),
            };
            let path = path::container_quota(owner.account.as_str(), name.as_str());
            let changed: api::Container = client.post(&path, &body)?;
            context.output.confirm(&changed, |one| {
                let bytes =
                    one.quota_bytes.map_or_else(|| "any number of bytes".to_owned(), exact_size);
                let objects = one
                    .quota_objects
                    .map_or_else(|| "any number of objects".to_owned(), |n| format!("{n} objects"));
                format!("container {} may hold {bytes} and {objects}", plain(&one.name))
            })
        }
    }
}

/// `archipelago fork`.
pub fn fork(context: &Context, from: &ContainerName, to: &ContainerName, owner: &Owner) -> Result {
    let path = path::container_fork(owner.account.as_str(), from.as_str());
    let made: api::Container =
        context.client.post(&path, &api::ForkContainer { name: to.to_string() })?;
    context.output.confirm(&made, |made| {
        let (name, objects) = (plain(&made.name), made.objects);
        format!("forked {from} as {name}: {objects} objects, {}", size(made.used_bytes))
    })
}

fn view(one: &api::Container) -> String {
    let unlimited = || "none".to_owned();
    let rows = [
        ("container", plain(&one.name)),
        ("account", plain(&one.account)),
        ("objects", one.objects.to_string()),
        ("quota of objects", one.quota_objects.map_or_else(unlimited, |n| n.to_string())),
        ("used", exact_size(one.used_bytes)),
        ("quota", one.quota_bytes.map_or_else(unlimited, exact_size)),
        ("created", time(one.created_ms)),
    ];
    facts(rows)
}

fn table(containers: &[api::Container]) -> String {
    let columns = [
        Column::Left("NAME"),
        Column::Right("OBJECTS"),
        Column::Right("MAX"),
        Column::Right("USED"),
        Column::Right("QUOTA"),
        Column::Left("CREATED"),
    ];
    let unlimited = || "-".to_owned();
    let rows = containers.iter().map(|one| {
        vec![
            plain(&one.name),
            one.objects.to_string(),
            one.quota_objects.map_or_else(unlimited, |n| n.to_string()),
            size(one.used_bytes),
            one.quota_bytes.map_or_else(unlimited, size),
            time(one.created_ms),
        ]
    });
    render(&columns, rows)
}
