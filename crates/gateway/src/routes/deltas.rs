//! Files of which the other side has most: hashes to compare, and what comes by them.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use archipelago_api::{
    BLOCK_HASH_BYTES, ComposeQuery, ComposedFile, FILE_HASH_HEADER, FILE_SIZE_HEADER,
    FILE_VERSION_HEADER, HashGrains, SHORT_HASH_BYTES, StoredBlocks,
};
use archipelago_model::{ContainerName, FileId, ObjectName};
use archipelago_pool::{
    BlockHash, Content, Error, ErrorKind, FileCompose, FileComposed, FileVersion,
    HASHED_BLOCKS_MAX, Service,
};
use axum::Json as JsonBody;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Failures, check_sha256};
use crate::extract::{Json, Path, Query, parse};
use crate::failure::Failure;
use crate::upload::{Upload, upload};
use crate::{App, convert};

const BINARY: [(axum::http::HeaderName, &str); 2] =
    [(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, "no-store")];

/// Files above this wait for each other to be hashed, as those of Pithos do.
const LONG_BYTES: u64 = 64 << 30;

/// Files of lists that are no longer do not wait for each other to be made.
const SHORT_HASHES: usize = 16_384;

fn names_of((container, object): (String, String)) -> Result<(ContainerName, ObjectName), Failure> {
    Ok((parse(&container)?, parse(&object)?))
}

/// Tells the first 16 bytes of the hash of each block of 4 MiB of the newest version, one behind
/// the other; headers tell which version that is. What nobody has hashed yet is read for it.
#[utoipa::path(get, path = "/v1/blocks/{container}/{object}", tag = "transfer",
    params(("container" = String, Path, description = "The container"),
        ("object" = String, Path, description = "The object; its slashes stand as they are")),
    responses((status = 200, description = "Hashes", content_type = "application/octet-stream",
        body = Vec<u8>,
        headers(("x-archipelago-file-version" = u64, description = "The version"),
            ("x-archipelago-file-size" = u64, description = "Its size"),
            ("x-archipelago-file-hash" = String, description = "The hash of all of it"))), Failures))]
pub(crate) async fn blocks(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (container, object) = names_of(path)?;
    let open = move |service: &Service| {
        service.file_open(FileVersion { container: &container, object: &object, id: None })
    };
    let content = app.calls.call(&app.service, open).await?;
    let (id, size) = (content.object().id, content.object().size);
    let permit = match size > LONG_BYTES {
        true => app.calls.hashing().await?,
        false => app.calls.transfer().await?,
    };
    let (service, left) = (Arc::clone(&app.service), CancellationToken::new());
    // When the client goes away, the server drops this.
    let _waits = left.clone().drop_guard();
    let job = tokio::task::spawn_blocking(move || {
        let told = shorts_of(&service, &content, &|| !left.is_cancelled());
        drop(permit);
        told
    });
    let (hash, shorts) = job.await.map_err(Failure::panicked)??;
    let headers = [
        (FILE_VERSION_HEADER, id.get().to_string()),
        (FILE_SIZE_HEADER, size.to_string()),
        (FILE_HASH_HEADER, hash.to_string()),
    ];
    Ok((headers, BINARY, shorts).into_response())
}

fn shorts_of(
    service: &Service,
    content: &Content,
    go_on: &dyn Fn() -> bool,
) -> Result<(BlockHash, Vec<u8>), Error> {
    let list = service.hash_list(content, go_on)?;
    let (hash, mut shorts) = (list.hash(), Vec::new());
    for hash in list {
        shorts.extend_from_slice(&hash?.bytes()[..SHORT_HASH_BYTES]);
    }
    Ok((hash, shorts))
}

/// Tells the first 8 bytes of the SHA-256 of grains of a version, one behind the other.
#[utoipa::path(post, path = "/v1/blocks/{container}/{object}", tag = "transfer",
    params(("container" = String, Path, description = "The container"),
        ("object" = String, Path, description = "The object; its slashes stand as they are")),
    request_body = HashGrains,
    responses((status = 200, description = "Hashes", content_type = "application/octet-stream",
        body = Vec<u8>), Failures))]
pub(crate) async fn grains(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Json(request): Json<HashGrains>,
) -> Result<Response, Failure> {
    let (container, object) = names_of(path)?;
    let told = app.calls.long(&app.service, move |service| {
        let id = Some(FileId::new(request.version));
        let which = FileVersion { container: &container, object: &object, id };
        let content = service.file_open(which)?;
        let ranges: Vec<Range<u64>> =
            request.ranges.iter().map(|(start, end)| *start..*end).collect();
        service.grain_hashes(&content, request.grain, &ranges)
    });
    Ok((BINARY, told.await?).into_response())
}

/// Makes a file, or replaces it at once, of blocks that the account has: what it uploaded, and
/// what is in its files. The body has their hashes, 32 bytes each. Where some are missing, nothing
/// is made; upload them and ask again.
#[utoipa::path(post, path = "/v1/compose/{container}/{object}", tag = "transfer",
    params(("container" = String, Path, description = "The container; made when missing"),
        ("object" = String, Path, description = "The object; its slashes stand as they are"), ComposeQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "Hashes of blocks of 4 MiB, 32 bytes each"),
    responses((status = 200, description = "The file, or what is missing", body = ComposedFile), Failures))]
pub(crate) async fn compose(
    State(app): State<App>,
    Path(path): Path<(String, String)>,
    Query(query): Query<ComposeQuery>,
    body: Upload,
) -> Result<JsonBody<ComposedFile>, Failure> {
    check_sha256(query.sha256.as_deref())?;
    let (container, object) = names_of(path)?;
    let (calls, handle) = (Arc::clone(&app.calls), Handle::current());
    let done = upload(&app, body, move |service, input| {
        let hashes = read_hashes(input)?;
        // Once all of it came: no slow client keeps others from their turn.
        let _turn = match hashes.len() > SHORT_HASHES {
            true => Some(handle.block_on(calls.list()).map_err(|_| stopping())?),
            false => None,
        };
        let made = service.file_compose(&FileCompose {
            container: &container,
            object: &object,
            size: query.size,
            hashes: &hashes,
            sha256: query.sha256,
        })?;
        Ok(match made {
            FileComposed::Made(file) => {
                ComposedFile { file: Some(convert::file(*file)), missing: Vec::new() }
            }
            FileComposed::Missing(places) => ComposedFile { file: None, missing: places },
        })
    });
    done.await.map(JsonBody)
}

/// Stores blocks of 4 MiB, one behind the other, to make files of within a day; the last may be
/// shorter.
#[utoipa::path(post, path = "/v1/blocks", tag = "transfer",
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "The blocks"),
    responses((status = 200, description = "They are durable", body = StoredBlocks), Failures))]
pub(crate) async fn store(
    State(app): State<App>,
    body: Upload,
) -> Result<JsonBody<StoredBlocks>, Failure> {
    let length = body.length();
    let stored =
        upload(&app, body, move |service, input| service.file_blocks_put(length, input)).await?;
    Ok(JsonBody(StoredBlocks { hashes: stored.iter().map(BlockHash::to_string).collect() }))
}

fn stopping() -> Error {
    Error::new(ErrorKind::Unavailable, "the service is stopping; try again later")
}

fn read_hashes(input: &mut dyn Read) -> Result<Vec<BlockHash>, Error> {
    let refused = |message: String| Error::new(ErrorKind::Invalid, message);
    let most = (HASHED_BLOCKS_MAX * BLOCK_HASH_BYTES) as u64;
    let mut bytes = Vec::new();
    Read::take(input, most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refused(format!("the hashes did not arrive: {error}")))?;
    let (hashes, rest) = bytes.as_chunks::<BLOCK_HASH_BYTES>();
    if !rest.is_empty() || bytes.len() as u64 > most {
        return Err(refused(format!(
            "a hash of a block has {BLOCK_HASH_BYTES} bytes, and a file {HASHED_BLOCKS_MAX} blocks \
             at most; {} bytes came",
            bytes.len()
        )));
    }
    Ok(hashes.iter().copied().map(BlockHash::from_bytes).collect())
}
