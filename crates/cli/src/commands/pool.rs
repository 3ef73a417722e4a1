//! `archipelago pool`, and `move` of what is in one.

use std::time::Duration;

use archipelago_api::{self as api, path};
use archipelago_model::{PoolName, VolumeName};

use super::{Context, remove_each};
use crate::args::pool::{Place, Pool as Verb};
use crate::failure::{Failure, Kind, Result};
use crate::output::table::{Column, facts, render};
use crate::output::text::{exact_size, plain, size};
use crate::progress::Progress;

/// How often the server is asked how far it is.
const POLL: Duration = Duration::from_secs(1);

pub fn run(context: &Context, verb: Verb) -> Result {
    let client = &context.client;
    match verb {
        Verb::Add { name, url } => {
            let body = api::AddPool { name: name.to_string(), url };
            let added: api::Pool = client.post(path::POOLS, &body)?;
            context.output.confirm(&added, |one| format!("added pool {}", plain(&one.name)))
        }
        Verb::Ls => {
            let pools: api::Pools = client.get(path::POOLS)?;
            context.output.show(&pools, |list| table(&list.pools))
        }
        Verb::Show { name } => {
            let pool: api::Pool = client.get(&path::pool(name.as_str()))?;
            context.output.show(&pool, view)
        }
        Verb::Drain { name, to, detach } => drain(context, &name, to.as_ref(), detach),
        Verb::Use { name } => {
            client.delete(&path::pool_drain(name.as_str()))?;
            let pool: api::Pool = client.get(&path::pool(name.as_str()))?;
            context.output.confirm(&pool, |one| format!("pool {} is in use", plain(&one.name)))
        }
        Verb::Mirror { name, to, detach } => mirror(context, &name, &to, detach),
        Verb::Unmirror { name } => {
            client.delete(&path::pool_mirror(name.as_str()))?;
            let pool: api::Pool = client.get(&path::pool(name.as_str()))?;
            let told = |one: &api::Pool| format!("pool {} has no mirror", plain(&one.name));
            context.output.confirm(&pool, told)
        }
        Verb::Rm { names, lost, force } => {
            let names: Vec<String> = names.iter().map(PoolName::to_string).collect();
            remove_each(context, "pool", &names, |index| match lost {
                true => {
                    let body = api::LosePool { force };
                    client.post_for_bytes(&path::pool_lost(&names[index]), &body).map(drop)
                }
                false => client.delete(&path::pool(&names[index])),
            })
        }
    }
}

fn drain(context: &Context, name: &PoolName, to: Option<&PoolName>, detach: bool) -> Result {
    let client = &context.client;
    let body = api::DrainPool { to: to.map(PoolName::to_string) };
    let mut pool: api::Pool = client.post(&path::pool_drain(name.as_str()), &body)?;
    let all = pool.stored_bytes;
    let progress = Progress::new(context.output, "moving");
    while !detach && !pool.settled {
        progress.set(all.saturating_sub(pool.stored_bytes), all);
        told(&pool)?;
        context.env.clock().sleep(POLL);
        pool = client.get(&path::pool(name.as_str()))?;
    }
    drop(progress);
    told(&pool)?;
    context.output.confirm(&pool, |one| {
        let (name, left) = (plain(&one.name), one.segments);
        match (detach, left) {
            (true, _) => {
                format!("pool {name} is being drained; `archipelago pool ls` tells how far")
            }
            (false, 0) => format!("pool {name} is empty"),
            (false, left) => format!(
                "what somebody names has left pool {name}; {left} segments wait to be freed: \
                 `archipelago gc --now`"
            ),
        }
    })
}

fn mirror(context: &Context, name: &PoolName, to: &PoolName, detach: bool) -> Result {
    let client = &context.client;
    let body = api::MirrorPool { to: to.to_string() };
    let mut pool: api::Pool = client.post(&path::pool_mirror(name.as_str()), &body)?;
    let all = pool.lacking_bytes;
    let progress = Progress::new(context.output, "copying");
    while !detach && pool.lacking > 0 {
        progress.set(all.saturating_sub(pool.lacking_bytes), all);
        context.env.clock().sleep(POLL);
        pool = client.get(&path::pool(name.as_str()))?;
        if pool.lacking > 0 {
            told(&client.get(&path::pool(to.as_str()))?)?;
        }
    }
    drop(progress);
    context.output.confirm(&pool, |one| {
        let (name, to) = (plain(&one.name), plain(to.as_str()));
        match one.lacking {
            0 => format!("what is in pool {name} is in pool {to}, too"),
            left => format!(
                "pool {name} is being copied to {to}: {left} segments are left; \
                 `archipelago pool ls` tells how far"
            ),
        }
    })
}

/// What keeps segments from moving is tried again, but who waits should know.
fn told(pool: &api::Pool) -> Result {
    match &pool.problem {
        None => Ok(()),
        Some(problem) => Err(Failure::new(
            Kind::Store,
            format!("pool {}: {}; it is tried again", plain(&pool.name), plain(problem)),
        )),
    }
}

/// `archipelago volume move`.
pub fn move_volume(context: &Context, name: &VolumeName, to: &Place, detach: bool) -> Result {
    let client = &context.client;
    let path = path::volume_placement(name.as_str());
    let pool = to.0.as_ref().map(PoolName::to_string);
    let mut placement: api::Placement = client.post(&path, &api::SetPlacement { pool })?;
    let progress = Progress::new(context.output, "moving");
    while let (false, Some(to)) = (detach || placement.settled, &to.0) {
        let all: u64 = placement.stored.iter().map(|one| one.bytes).sum();
        let there = placement.stored.iter().filter(|one| one.pool == to.as_str());
        progress.set(there.map(|one| one.bytes).sum(), all);
        let pools: api::Pools = client.get(path::POOLS)?;
        pools.pools.iter().try_for_each(told)?;
        context.env.clock().sleep(POLL);
        placement = client.get(&path)?;
    }
    drop(progress);
    context.output.confirm(&placement, |placement| {
        let name = plain(name.as_str());
        let mut text = match &placement.pool {
            None => format!("volume {name} stays where it is"),
            Some(pool) if detach => format!("volume {name} is moving to pool {}", plain(pool)),
            Some(pool) => format!("volume {name} is in pool {}", plain(pool)),
        };
        for one in &placement.stored {
            text.push_str(&format!("\n  {}: {}", plain(&one.pool), exact_size(one.bytes)));
        }
        text
    })
}

/// `move` of what holds other things, which follow in the background.
pub fn move_later(context: &Context, what: &str, path: &str, to: &Place) -> Result {
    let pool = to.0.as_ref().map(PoolName::to_string);
    let placed: api::Placement = context.client.post(path, &api::SetPlacement { pool })?;
    context.output.confirm(&placed, |placed| match &placed.pool {
        None => format!("{what} stays where it is, and says nothing of a pool any more"),
        Some(pool) => {
            let pool = plain(pool);
            format!("what comes into {what} goes to pool {pool}; what is there follows")
        }
    })
}

fn state(pool: &api::Pool) -> String {
    match (&pool.away, &pool.drain_to) {
        (Some(_), _) => "away".to_owned(),
        (None, Some(to)) => format!("drained to {}", plain(to)),
        (None, None) => match (&pool.mirror, pool.lacking) {
            (None, _) => "in use".to_owned(),
            (Some(to), 0) => format!("mirrored to {}", plain(to)),
            (Some(to), left) => format!("mirrored to {}, {left} to copy", plain(to)),
        },
    }
}

fn view(one: &api::Pool) -> String {
    let room = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), exact_size);
    let mut rows = vec![
        ("pool", plain(&one.name)),
        ("kind", plain(&one.kind)),
        ("url", plain(&one.url)),
        ("state", state(one)),
        ("segments", one.segments.to_string()),
        ("stored", exact_size(one.stored_bytes)),
        ("copies", format!("{} segments, {}", one.copies, size(one.copy_bytes))),
        ("resources", one.resources.to_string()),
        ("free", room(one.free_bytes)),
        ("in all", room(one.total_bytes)),
    ];
    if let Some(to) = &one.mirror {
        let left = format!("{} segments, {}", one.lacking, size(one.lacking_bytes));
        rows.push(("mirror", plain(to)));
        rows.push(("to copy", left));
    }
    if one.answered_by_copies > 0 {
        rows.push(("read in copies", one.answered_by_copies.to_string()));
    }
    rows.extend(one.away.iter().map(|why| ("away", plain(why))));
    rows.extend(one.problem.iter().map(|problem| ("problem", plain(problem))));
    facts(rows)
}

fn table(pools: &[api::Pool]) -> String {
    let columns = [
        Column::Left("NAME"),
        Column::Left("KIND"),
        Column::Left("STATE"),
        Column::Right("SEGMENTS"),
        Column::Right("STORED"),
        Column::Right("COPIES"),
        Column::Right("FAILED"),
        Column::Right("FREE"),
        Column::Left("URL"),
    ];
    let rows = pools.iter().map(|one| {
        vec![
            plain(&one.name),
            plain(&one.kind),
            state(one),
            one.segments.to_string(),
            size(one.stored_bytes),
            size(one.copy_bytes),
            one.answered_by_copies.to_string(),
            one.free_bytes.map_or_else(|| "-".to_owned(), size),
            plain(&one.url),
        ]
    });
    render(&columns, rows)
}
