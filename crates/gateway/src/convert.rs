//! Values of the pool as values of the API.

use archipelago_api as api;
use archipelago_pool as pool;

use crate::login::{Caller, Names};

pub(crate) fn volume(volume: pool::Volume, names: &Names, caller: &Caller) -> api::Volume {
    // From what somebody made it is not for those who see it only because it is shared.
    let owns = caller.owns(&volume.name);
    let parent = volume.parent.filter(|_| owns);
    api::Volume {
        id: volume.id.get(),
        name: names.shown(&volume.name).to_string(),
        size: volume.size.bytes(),
        created_ms: volume.created_ms,
        parent: parent.map(|source| names.shown_source(&source)),
        // Nor is what its owner does with it.
        attached: owns.then_some(volume.attached),
        epoch: owns.then(|| volume.epoch.get()),
        snapshots: owns.then_some(volume.snapshots),
    }
}

pub(crate) fn snapshot(snapshot: pool::Snapshot, names: &Names) -> api::Snapshot {
    api::Snapshot {
        id: snapshot.id.get(),
        uuid: hex::encode(snapshot.uuid),
        volume: names.shown(&snapshot.path.volume).to_string(),
        name: snapshot.path.snapshot.to_string(),
        size: snapshot.size.bytes(),
        created_ms: snapshot.created_ms,
    }
}

pub(crate) fn image(image: pool::Image, names: &Names) -> api::Image {
    api::Image {
        id: image.id.get(),
        name: names.shown(&image.name).to_string(),
        format: image.format,
        os: image.os,
        size: image.size.bytes(),
        source_bytes: image.source_bytes,
        sha256: image.sha256,
        created_ms: image.created_ms,
    }
}

pub(crate) fn file(file: pool::File) -> api::File {
    api::File {
        id: file.id.get(),
        container: file.container.to_string(),
        object: file.object.to_string(),
        size: file.size,
        sha256: file.sha256,
        created_ms: file.created_ms,
        disk: None,
    }
}

pub(crate) fn updated(updated: pool::UpdatedFile) -> api::UpdatedFile {
    api::UpdatedFile { file: file(updated.file), offset: updated.at }
}

pub(crate) fn image_file(file: &pool::DiskFile) -> api::ImageFile {
    api::ImageFile {
        source: format!("file:{}/{}", file.container, file.object),
        file_bytes: file.file_bytes,
        created_ms: file.created_ms,
        disk: disk(file),
    }
}

pub(crate) fn disk(file: &pool::DiskFile) -> api::Disk {
    let (state, reason) = match &file.state {
        pool::DiskState::Found => ("found", None),
        pool::DiskState::Unpacking => ("unpacking", None),
        pool::DiskState::Ready => ("ready", None),
        pool::DiskState::Refused(reason) => ("refused", Some(reason.clone())),
    };
    let size = Some(file.size).filter(|size| *size > 0);
    api::Disk { format: file.format.clone(), size, state: state.to_owned(), reason }
}

pub(crate) fn user(user: &pool::User, members: &[pool::Member]) -> api::User {
    api::User {
        id: hex::encode(user.uuid),
        name: user.name.to_string(),
        admin: user.is_admin,
        enabled: user.enabled,
        created_ms: user.created_ms,
        accounts: members
            .iter()
            .map(|member| api::Membership {
                account: member.account.name.to_string(),
                role: member.role.to_string(),
            })
            .collect(),
    }
}

pub(crate) fn key(key: pool::AccessKey, secret: Option<&pool::Secret>) -> api::Key {
    api::Key {
        id: key.id,
        secret: secret.map(|secret| api::Hidden(secret.expose().to_owned())),
        user: key.user.name.to_string(),
        account: key.account.name.to_string(),
        created_ms: key.created_ms,
    }
}

pub(crate) fn container(account: &pool::Account, container: pool::Container) -> api::Container {
    api::Container {
        account: account.name.to_string(),
        name: container.name.to_string(),
        objects: container.objects,
        used_bytes: container.bytes + container.old_bytes,
        quota_bytes: container.quota_bytes,
        quota_objects: container.quota_objects,
        created_ms: container.created_ms,
    }
}

/// With what it holds.
pub(crate) fn account(account: pool::Account, used_bytes: u64) -> api::Account {
    api::Account {
        id: hex::encode(account.uuid),
        name: account.name.to_string(),
        enabled: account.enabled,
        used_bytes,
        quota_bytes: account.quota_bytes,
        created_ms: account.created_ms,
    }
}

pub(crate) fn diff(ranges: Vec<pool::DiffRange>) -> api::Diff {
    let ranges: Vec<_> = ranges
        .into_iter()
        .map(|range| api::DiffRange { offset: range.offset, len: range.len, zero: range.zero })
        .collect();
    api::Diff { changed: ranges.iter().map(|range| range.len).sum(), ranges }
}

pub(crate) fn usage(usage: pool::Usage) -> api::Usage {
    api::Usage {
        logical: usage.logical,
        unique: usage.unique,
        compressed: usage.compressed,
        physical: usage.physical,
        pools: usage.pools.into_iter().map(pool_usage).collect(),
        resources: usage.resources.into_iter().map(resource_usage).collect(),
    }
}

pub(crate) fn pool(pool: pool::Pool) -> api::Pool {
    api::Pool {
        name: pool.name.to_string(),
        kind: pool.kind,
        url: pool.url,
        away: match pool.state {
            pool::PoolState::Open => None,
            pool::PoolState::Away { why } => Some(why),
        },
        drain_to: pool.drain_to.map(|to| to.to_string()),
        mirror: pool.mirror.map(|mirror| mirror.to_string()),
        lacking: pool.lacking,
        lacking_bytes: pool.lacking_bytes,
        segments: pool.segments,
        stored_bytes: pool.stored_bytes,
        copies: pool.copies,
        copy_bytes: pool.copy_bytes,
        answered_by_copies: pool.answered_by_copies,
        resources: pool.resources,
        total_bytes: pool.space.map(|space| space.total),
        free_bytes: pool.space.map(|space| space.free),
        problem: pool.problem,
        settled: pool.settled,
    }
}

pub(crate) fn placement(placement: pool::Placement) -> api::Placement {
    let stored = placement.stored.into_iter();
    api::Placement {
        pool: placement.pool.map(|pool| pool.to_string()),
        stored: stored
            .map(|(pool, bytes)| api::StoredIn { pool: pool.to_string(), bytes })
            .collect(),
        settled: placement.settled,
    }
}

fn pool_usage(usage: pool::PoolUsage) -> api::PoolUsage {
    api::PoolUsage {
        name: usage.name,
        physical: usage.physical,
        total: usage.total,
        free: usage.free,
        segments: usage.segments,
    }
}

fn resource_usage(usage: pool::ResourceUsage) -> api::ResourceUsage {
    api::ResourceUsage {
        source: usage.source.to_string(),
        size: usage.size,
        referenced: usage.referenced,
        exclusive: usage.exclusive,
        shared: usage.shared,
    }
}

pub(crate) fn status(status: pool::Status) -> api::Status {
    api::Status {
        version: status.version,
        api_version: api::VERSION,
        uptime_ms: status.uptime_ms,
        data: status.data,
        volumes: status.volumes,
        snapshots: status.snapshots,
        images: status.images,
        files: status.files,
        attached: status.attached,
        problem: status.problem,
        figures: status.figures.into_iter().collect(),
    }
}

pub(crate) const fn collected(done: &pool::Collected) -> api::Collected {
    api::Collected {
        condemned: done.condemned,
        compacted: done.compacted,
        read_bytes: done.read_bytes,
        written_bytes: done.written_bytes,
        duplicate_bytes: done.duplicate_bytes,
        flattened: done.flattened,
        removed: done.removed,
        freed_bytes: done.freed_bytes,
        waiting_bytes: done.waiting_bytes,
        alarms: done.alarms,
        more: done.more,
    }
}

pub(crate) fn scrub(state: pool::ScrubState, damages: pool::Damages) -> api::Scrub {
    api::Scrub {
        running: state.running,
        started_ms: state.started_ms,
        finished_ms: state.finished_ms,
        stopped: state.stopped,
        segments: state.segments,
        bytes: state.bytes,
        total_bytes: state.total_bytes,
        healed: state.healed,
        rate: state.rate,
        problem: state.problem,
        catalog: state.catalog,
        damages: damages.damages.into_iter().map(damage).collect(),
        complete: damages.complete,
    }
}

fn damage(damage: pool::Damage) -> api::Damage {
    api::Damage {
        segment: damage.segment.map(|id| id.to_string()),
        offset: damage.offset,
        bytes: damage.bytes,
        what: damage.what,
        found_ms: damage.found_ms,
        touches: damage.touches.into_iter().map(touch).collect(),
    }
}

fn touch(touch: pool::Touch) -> api::Touch {
    let stretches = touch.stretches.into_iter();
    api::Touch {
        source: touch.source.to_string(),
        bytes: touch.bytes,
        stretches: stretches.map(|(offset, len)| api::Stretch { offset, len }).collect(),
        map: touch.map,
    }
}

pub(crate) fn finding(finding: &pool::Finding) -> api::Finding {
    api::Finding {
        kind: finding.kind.name().to_owned(),
        severity: finding.kind.severity().name().to_owned(),
        resource: finding.resource.clone(),
        what: finding.what.clone(),
        why: finding.kind.why().to_owned(),
        remedy: finding.kind.remedy().to_owned(),
    }
}
