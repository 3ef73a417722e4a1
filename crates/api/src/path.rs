//! Where things are: route templates for the server, and functions that fill
//! them in for clients (each gives a path with its query, ready to append to an
//! endpoint).

use std::fmt::Write;

/// `GET` list, `POST` [`CreateVolumes`](crate::CreateVolumes).
pub const VOLUMES: &str = "/v1/volumes";
/// `GET`, `DELETE` with [`RemoveQuery`](crate::RemoveQuery).
pub const VOLUME: &str = "/v1/volumes/{name}";
/// `POST` [`RenameVolume`](crate::RenameVolume).
pub const VOLUME_RENAME: &str = "/v1/volumes/{name}/rename";
/// `POST` [`ResizeVolume`](crate::ResizeVolume).
pub const VOLUME_RESIZE: &str = "/v1/volumes/{name}/resize";
/// `GET` with [`SnapshotQuery`](crate::SnapshotQuery), `POST` [`CreateSnapshots`](crate::CreateSnapshots).
pub const SNAPSHOTS: &str = "/v1/snapshots";
/// `GET`, `DELETE`.
pub const SNAPSHOT: &str = "/v1/snapshots/{volume}/{snapshot}";
/// `POST`, no body.
pub const SNAPSHOT_ROLLBACK: &str = "/v1/snapshots/{volume}/{snapshot}/rollback";
/// `GET` with [`SendQuery`](crate::SendQuery); a transfer stream.
pub const SNAPSHOT_SEND: &str = "/v1/snapshots/{volume}/{snapshot}/send";
/// `POST` a transfer stream with [`ReceiveQuery`](crate::ReceiveQuery).
pub const RECEIVE: &str = "/v1/receive";
/// `GET` with [`DiffQuery`](crate::DiffQuery).
pub const DIFF: &str = "/v1/diff";
/// `GET`.
pub const IMAGES: &str = "/v1/images";
/// `GET`, `DELETE`, `POST` a transfer stream with [`ImportQuery`](crate::ImportQuery).
pub const IMAGE: &str = "/v1/images/{name}";
/// `POST` [`CreateTicket`](crate::CreateTicket).
pub const TICKETS: &str = "/v1/tickets";
/// `GET` with [`ExportQuery`](crate::ExportQuery); a transfer stream.
pub const EXPORT: &str = "/v1/export";
/// `POST` blocks of files; their hashes.
pub const BLOCKS: &str = "/v1/blocks";
/// `GET` hashes of the blocks of the newest version; `POST`
/// [`HashGrains`](crate::HashGrains), hashes of grains of a version.
pub const FILE_BLOCKS: &str = "/v1/blocks/{container}/{*object}";
/// `POST` hashes of blocks with [`ComposeQuery`](crate::ComposeQuery).
pub const COMPOSE: &str = "/v1/compose/{container}/{*object}";
/// `GET` with [`DiskQuery`](crate::DiskQuery); a disk as a file.
pub const DISK: &str = "/v1/disk";
/// `GET` with [`FileQuery`](crate::FileQuery).
pub const FILES: &str = "/v1/files";
/// `GET` (description; the content is at [`EXPORT`]), `DELETE`, `PUT` a
/// transfer stream with [`PutQuery`](crate::PutQuery), `PATCH` plain bytes with
/// [`UpdateQuery`](crate::UpdateQuery). The object's slashes are part of the path.
pub const FILE: &str = "/v1/files/{container}/{*object}";
/// `GET` list, `POST` [`CreateLink`](crate::CreateLink), `DELETE` all.
pub const LINKS: &str = "/v1/links/{container}/{*object}";
/// `GET` with [`ShareQuery`](crate::ShareQuery), `POST` [`CreateShare`](crate::CreateShare),
/// `DELETE` with [`EndShareQuery`](crate::EndShareQuery).
pub const SHARES: &str = "/v1/shares";
/// `GET` with [`AuditQuery`](crate::AuditQuery).
pub const AUDIT: &str = "/v1/audit";
/// `GET` list, `POST` [`CreateUser`](crate::CreateUser).
pub const USERS: &str = "/v1/users";
/// `GET`, `DELETE`.
pub const USER: &str = "/v1/users/{name}";
/// `POST` [`SetPassword`](crate::SetPassword).
pub const USER_PASSWORD: &str = "/v1/users/{name}/password";
/// `POST` [`SetEnabled`](crate::SetEnabled).
pub const USER_ENABLED: &str = "/v1/users/{name}/enabled";
/// `GET` list, `POST` [`CreateKey`](crate::CreateKey).
pub const USER_KEYS: &str = "/v1/users/{name}/keys";
/// `DELETE`.
pub const KEY: &str = "/v1/keys/{id}";
/// `GET` list, `POST` [`CreateAccount`](crate::CreateAccount).
pub const ACCOUNTS: &str = "/v1/accounts";
/// `GET`, `DELETE`.
pub const ACCOUNT: &str = "/v1/accounts/{name}";
/// `POST` [`SetQuota`](crate::SetQuota).
pub const ACCOUNT_QUOTA: &str = "/v1/accounts/{name}/quota";
/// `GET` with [`ContainerQuery`](crate::ContainerQuery).
pub const CONTAINERS: &str = "/v1/accounts/{name}/containers";
/// `GET`.
pub const CONTAINER: &str = "/v1/accounts/{name}/containers/{container}";
/// `POST` [`SetContainerQuota`](crate::SetContainerQuota).
pub const CONTAINER_QUOTA: &str = "/v1/accounts/{name}/containers/{container}/quota";
/// `POST` [`ForkContainer`](crate::ForkContainer).
pub const CONTAINER_FORK: &str = "/v1/accounts/{name}/containers/{container}/fork";
/// `POST` [`Join`](crate::Join).
pub const MEMBERS: &str = "/v1/accounts/{name}/members";
/// `DELETE`.
pub const MEMBER: &str = "/v1/accounts/{name}/members/{user}";
/// `GET` list, `POST` [`AddPool`](crate::AddPool).
pub const POOLS: &str = "/v1/pools";
/// `GET`, `DELETE`.
pub const POOL: &str = "/v1/pools/{name}";
/// `POST` [`DrainPool`](crate::DrainPool), `DELETE` to take it into use again.
pub const POOL_DRAIN: &str = "/v1/pools/{name}/drain";
/// `POST` [`MirrorPool`](crate::MirrorPool), `DELETE` to have it be nowhere else any more.
pub const POOL_MIRROR: &str = "/v1/pools/{name}/mirror";
/// `POST` [`LosePool`](crate::LosePool).
pub const POOL_LOST: &str = "/v1/pools/{name}/lost";
/// `GET`, `POST` [`SetPlacement`](crate::SetPlacement).
pub const VOLUME_PLACEMENT: &str = "/v1/volumes/{name}/placement";
/// `GET`, `POST` [`SetPlacement`](crate::SetPlacement).
pub const ACCOUNT_PLACEMENT: &str = "/v1/accounts/{name}/placement";
/// `GET`, `POST` [`SetPlacement`](crate::SetPlacement).
pub const CONTAINER_PLACEMENT: &str = "/v1/accounts/{name}/containers/{container}/placement";
/// `GET` [`Usage`](crate::Usage).
pub const USAGE: &str = "/v1/df";
/// `POST` [`Collect`](crate::Collect).
pub const GC: &str = "/v1/gc";
/// `POST` [`StartScrub`](crate::StartScrub), `GET` and `DELETE` [`Scrub`](crate::Scrub).
pub const SCRUB: &str = "/v1/scrub";
/// `POST`, no body: [`Check`](crate::Check).
pub const CHECK: &str = "/v1/check";
/// `GET` [`Status`](crate::Status).
pub const STATUS: &str = "/v1/status";
/// `GET` [`Health`](crate::Health).
pub const HEALTH: &str = "/healthz";
/// `GET`, Prometheus text.
pub const METRICS: &str = "/metrics";
/// `GET`, the OpenAPI document of everything here.
pub const OPENAPI: &str = "/openapi.json";

/// [`VOLUME`] of one volume.
pub fn volume(name: &str) -> String {
    format!("{VOLUMES}/{}", encode(name))
}

/// [`VOLUME`] of one volume, to `DELETE` it.
pub fn volume_remove(name: &str, force: bool) -> String {
    format!("{}?force={force}", volume(name))
}

/// [`VOLUME_RENAME`] of one volume.
pub fn volume_rename(name: &str) -> String {
    format!("{}/rename", volume(name))
}

/// [`VOLUME_RESIZE`] of one volume.
pub fn volume_resize(name: &str) -> String {
    format!("{}/resize", volume(name))
}

/// [`POOL_MIRROR`] of one pool.
pub fn pool_mirror(name: &str) -> String {
    format!("{}/mirror", pool(name))
}

/// [`POOL_LOST`] of one pool.
pub fn pool_lost(name: &str) -> String {
    format!("{}/lost", pool(name))
}

/// [`VOLUME_PLACEMENT`] of one volume.
pub fn volume_placement(name: &str) -> String {
    format!("{}/placement", volume(name))
}

/// [`ACCOUNT_PLACEMENT`] of one account.
pub fn account_placement(name: &str) -> String {
    format!("{}/placement", account(name))
}

/// [`CONTAINER_PLACEMENT`] of one container.
pub fn container_placement(account_name: &str, name: &str) -> String {
    format!("{}/placement", container(account_name, name))
}

/// [`POOL`] of one pool.
pub fn pool(name: &str) -> String {
    format!("{POOLS}/{}", encode(name))
}

/// [`POOL_DRAIN`] of one pool.
pub fn pool_drain(name: &str) -> String {
    format!("{}/drain", pool(name))
}

/// [`SNAPSHOTS`], of one volume or of all.
pub fn snapshots(volume: Option<&str>) -> String {
    with_query(SNAPSHOTS.to_owned(), &[("volume", volume)])
}

/// [`SNAPSHOT`] of one snapshot.
pub fn snapshot(volume: &str, snapshot: &str) -> String {
    format!("{SNAPSHOTS}/{}/{}", encode(volume), encode(snapshot))
}

/// [`SNAPSHOT_ROLLBACK`] of one snapshot.
pub fn snapshot_rollback(volume: &str, name: &str) -> String {
    format!("{}/rollback", snapshot(volume, name))
}

/// [`SNAPSHOT_SEND`] of one snapshot, in full or since an older one.
pub fn snapshot_send(volume: &str, name: &str, since: Option<&str>) -> String {
    with_query(format!("{}/send", snapshot(volume, name)), &[("since", since)])
}

/// [`RECEIVE`] into `VOL@SNAP`.
pub fn receive(target: &str) -> String {
    with_query(RECEIVE.to_owned(), &[("target", Some(target))])
}

/// [`DIFF`] of two SOURCEs.
pub fn diff(from: &str, to: &str) -> String {
    with_query(DIFF.to_owned(), &[("from", Some(from)), ("to", Some(to))])
}

/// [`IMAGE`] of one image.
pub fn image(name: &str) -> String {
    format!("{IMAGES}/{}", encode(name))
}

/// [`IMAGE`] to import to.
pub fn image_import(name: &str, query: &crate::ImportQuery) -> String {
    let source_bytes = query.source_bytes.map(|bytes| bytes.to_string());
    with_query(
        image(name),
        &[
            ("format", Some(&query.format)),
            ("os", query.os.as_deref()),
            ("source_bytes", source_bytes.as_deref()),
            ("sha256", query.sha256.as_deref()),
        ],
    )
}

/// [`EXPORT`] of a SOURCE.
pub fn export(source: &str) -> String {
    with_query(EXPORT.to_owned(), &[("source", Some(source))])
}

/// [`EXPORT`] of the disk that a SOURCE is or, as an image file, holds.
pub fn export_disk(source: &str) -> String {
    with_query(EXPORT.to_owned(), &[("source", Some(source)), ("disk", Some("true"))])
}

/// [`LINKS`] of one file.
pub fn links(container: &str, object: &str) -> String {
    format!("/v1/links/{}/{}", encode(container), encode_object(object))
}

/// [`SHARES`] of one resource or of all.
pub fn shares(query: &crate::ShareQuery) -> String {
    let pairs = [("resource", query.resource.as_deref()), ("account", query.account.as_deref())];
    with_query(SHARES.to_owned(), &pairs)
}

/// [`SHARES`] that end.
pub fn shares_end(query: &crate::EndShareQuery) -> String {
    let pairs = [
        ("resource", Some(query.resource.as_str())),
        ("account", query.account.as_deref()),
        ("with", query.with.as_deref()),
        ("right", query.right.as_deref()),
    ];
    with_query(SHARES.to_owned(), &pairs)
}

/// [`AUDIT`], older than a line, so many lines.
pub fn audit(query: &crate::AuditQuery) -> String {
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    let (before, limit) = (text(query.before), text(query.limit));
    with_query(AUDIT.to_owned(), &[("before", before.as_deref()), ("limit", limit.as_deref())])
}

/// [`FILES`], of one container or of all, with a prefix or without.
pub fn files(container: Option<&str>, prefix: Option<&str>) -> String {
    with_query(FILES.to_owned(), &[("container", container), ("prefix", prefix)])
}

/// A page of [`files`], behind the `next` of the one before.
pub fn files_page(
    container: Option<&str>,
    prefix: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> String {
    let limit = limit.to_string();
    let query = [
        ("container", container),
        ("prefix", prefix),
        ("after", after),
        ("limit", Some(limit.as_str())),
    ];
    with_query(FILES.to_owned(), &query)
}

/// [`FILE`] of one file.
pub fn file(container: &str, object: &str) -> String {
    format!("{FILES}/{}/{}", encode(container), encode_object(object))
}

/// [`FILE`] to remove, if its newest version is still this one.
pub fn file_version(container: &str, object: &str, version: u64) -> String {
    with_query(file(container, object), &[("version", Some(&version.to_string()))])
}

/// [`FILE`] to put to.
pub fn file_put(container: &str, object: &str, sha256: Option<&str>) -> String {
    with_query(file(container, object), &[("sha256", sha256)])
}

/// [`FILE`] to put a difference to.
pub fn file_put_delta(container: &str, object: &str, query: &crate::PutQuery) -> String {
    let base = query.base.map(|base| base.to_string());
    let pairs = [
        ("sha256", query.sha256.as_deref()),
        ("base", base.as_deref()),
        ("hash", query.hash.as_deref()),
    ];
    with_query(file(container, object), &pairs)
}

/// [`FILE_BLOCKS`] of one file.
pub fn file_blocks(container: &str, object: &str) -> String {
    format!("{BLOCKS}/{}/{}", encode(container), encode_object(object))
}

/// [`COMPOSE`] of one file.
pub fn compose(container: &str, object: &str, query: &crate::ComposeQuery) -> String {
    let path = format!("/v1/compose/{}/{}", encode(container), encode_object(object));
    let pairs = [("size", Some(query.size.to_string())), ("sha256", query.sha256.clone())];
    with_query(path, &pairs.each_ref().map(|(key, value)| (*key, value.as_deref())))
}

/// [`EXPORT`] of ranges of a version of a file.
pub fn export_ranges(source: &str, version: u64, ranges: &[std::ops::Range<u64>]) -> String {
    let version = version.to_string();
    let ranges: Vec<String> =
        ranges.iter().map(|range| format!("{}-{}", range.start, range.end)).collect();
    let ranges = ranges.join(",");
    let pairs = [
        ("source", Some(source)),
        ("version", Some(version.as_str())),
        ("ranges", Some(ranges.as_str()).filter(|text| !text.is_empty())),
    ];
    with_query(EXPORT.to_owned(), &pairs)
}

/// [`FILE`] to update.
pub fn file_update(container: &str, object: &str, query: &crate::UpdateQuery) -> String {
    let text = |number: Option<u64>| number.map(|number| number.to_string());
    let (offset, size) = (text(query.offset), text(query.size));
    let pairs = [("offset", offset.as_deref()), ("size", size.as_deref())];
    with_query(file(container, object), &pairs)
}

/// [`USER`] of one user.
pub fn user(name: &str) -> String {
    format!("{USERS}/{}", encode(name))
}

/// [`USER_PASSWORD`] of one user.
pub fn user_password(name: &str) -> String {
    format!("{}/password", user(name))
}

/// [`USER_ENABLED`] of one user.
pub fn user_enabled(name: &str) -> String {
    format!("{}/enabled", user(name))
}

/// [`USER_KEYS`] of one user.
pub fn user_keys(name: &str) -> String {
    format!("{}/keys", user(name))
}

/// [`KEY`] of one key.
pub fn key(id: &str) -> String {
    format!("/v1/keys/{}", encode(id))
}

/// [`ACCOUNT`] of one account.
pub fn account(name: &str) -> String {
    format!("{ACCOUNTS}/{}", encode(name))
}

/// [`ACCOUNT_QUOTA`] of one account.
pub fn account_quota(name: &str) -> String {
    format!("{}/quota", account(name))
}

/// [`CONTAINERS`] of one account, behind a name.
pub fn containers(account_name: &str, after: Option<&str>) -> String {
    let query = after.map(|after| format!("?after={}", encode(after))).unwrap_or_default();
    format!("{}/containers{query}", account(account_name))
}

/// [`CONTAINER`] of one container.
pub fn container(account_name: &str, name: &str) -> String {
    format!("{}/containers/{}", account(account_name), encode(name))
}

/// [`CONTAINER_QUOTA`] of one container.
pub fn container_quota(account_name: &str, name: &str) -> String {
    format!("{}/quota", container(account_name, name))
}

/// [`CONTAINER_FORK`] of one container.
pub fn container_fork(account_name: &str, name: &str) -> String {
    format!("{}/fork", container(account_name, name))
}

/// [`MEMBERS`] of one account.
pub fn members(account_name: &str) -> String {
    format!("{}/members", account(account_name))
}

/// [`MEMBER`] of one account.
pub fn member(account_name: &str, user_name: &str) -> String {
    format!("{}/{}", members(account_name), encode(user_name))
}

/// Percent-encodes all but the unreserved characters of RFC 3986, so that the
/// result is safe as one path segment and as a query value.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        encode_byte(&mut out, byte);
    }
    out
}

fn encode_byte(out: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
        out.push(char::from(byte));
    } else {
        write!(out, "%{byte:02X}").expect("writing to a String never fails");
    }
}

/// Like [`encode`], but keeps the slashes that no proxy would merge.
fn encode_object(object: &str) -> String {
    let mut out = String::with_capacity(object.len());
    let mut before = b'/';
    for byte in object.bytes() {
        if byte == b'/' && before != b'/' {
            out.push('/');
        } else {
            encode_byte(&mut out, byte);
        }
        before = byte;
    }
    out
}

fn with_query(mut path: String, pairs: &[(&str, Option<&str>)]) -> String {
    let mut separator = '?';
    for (key, value) in pairs {
        if let Some(value) = value {
            path.push(separator);
            path.push_str(key);
            path.push('=');
            path.push_str(&encode(value));
            separator = '&';
        }
    }
    path
}
