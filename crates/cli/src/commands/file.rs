//! `archipelago file`.

use std::path::Path;

use archipelago_api::{self as api, path};
use archipelago_image::{self as image, Format};
use archipelago_model::Source;
use serde::Serialize;

use super::{Context, remove_each, transfer};
use crate::args::file::{File as Verb, FilePath};
use crate::bulk::{down, up};
use crate::client::Method;
use crate::failure::{Failure, Result};
use crate::output::table::{Column, facts, render};
use crate::output::text::{exact_size, optional, plain, size, time};
use crate::progress::Progress;

/// Files that are asked for at once.
const PAGE: usize = 10_000;

pub fn run(context: &Context, verb: Verb) -> Result {
    match verb {
        Verb::Put { local, file } => put(context, &local, &file),
        Verb::Append { local, file } => {
            let (done, sent) = update(context, &local, &file, &api::UpdateQuery::default())?;
            context.output.confirm(&done, |done| format!("appended {}", updated(done, sent)))
        }
        Verb::Write { local, file, at } => {
            let query = api::UpdateQuery { offset: Some(at), size: None };
            let (done, sent) = update(context, &local, &file, &query)?;
            context.output.confirm(&done, |done| format!("wrote {}", updated(done, sent)))
        }
        Verb::Truncate { file, size } => truncate(context, &file, size),
        Verb::Get { file, local, force } => get(context, &file, &local, force),
        Verb::Ls { container, prefix } => {
            let container = container.as_ref().map(|name| name.as_str());
            let files = list(context, container, prefix.as_deref())?;
            context.output.show(&files, |list| table(&list.files))
        }
        Verb::Stat { file } => {
            let file: api::File = context.client.get(&route(&file))?;
            context.output.show(&file, view)
        }
        Verb::Publish { file, expires } => {
            let body = api::CreateLink { lifetime_ms: expires.map(|time| time.ms) };
            let link: api::Link = context.client.post(&links(&file), &body)?;
            let link = shown(context, &link);
            context.output.confirm(&link, |link| link.url.clone())
        }
        Verb::Unpublish { file } => {
            context.client.delete(&links(&file))?;
            let done = serde_json::json!({ "file": file.to_string() });
            context
                .output
                .confirm(&done, |_| format!("{} has no links now", plain(&file.to_string())))
        }
        Verb::Links { file } => {
            let found: api::Links = context.client.get(&links(&file))?;
            let links = found.links.iter().map(|link| shown(context, link)).collect();
            context.output.show(&Links { links }, |found| link_table(&found.links))
        }
        Verb::Rm { files } => {
            let names: Vec<String> = files.iter().map(|file| plain(&file.to_string())).collect();
            remove_each(context, "file", &names, |index| {
                context.client.delete(&route(&files[index]))
            })
        }
    }
}

fn links(file: &FilePath) -> String {
    path::links(file.container.as_str(), file.object.as_str())
}

/// A link with its whole URL, by the address that this command used.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    link: api::Link,
    url: String,
}

#[derive(Serialize)]
struct Links {
    links: Vec<Shown>,
}

fn shown(context: &Context, link: &api::Link) -> Shown {
    let url = format!("{}{}", context.client.endpoint(), plain(&link.path));
    Shown { link: link.clone(), url }
}

fn link_table(links: &[Shown]) -> String {
    use Column::Left;
    let columns = [Left("CREATED"), Left("EXPIRES"), Left("BY"), Left("LINK")];
    let rows = links.iter().map(|Shown { link, url }| {
        let end = link.expires_ms.map_or_else(|| "-".to_owned(), time);
        vec![time(link.created_ms), end, plain(&link.by), url.clone()]
    });
    render(&columns, rows)
}

fn route(file: &FilePath) -> String {
    path::file(file.container.as_str(), file.object.as_str())
}

/// All files there are, fetched in pages.
pub(super) fn list(
    context: &Context,
    container: Option<&str>,
    prefix: Option<&str>,
) -> Result<api::Files> {
    let mut all = api::Files { files: Vec::new(), next: None };
    loop {
        let route = path::files_page(container, prefix, all.next.as_deref(), PAGE);
        let page: api::Files = context.client.get(&route)?;
        all.files.extend(page.files);
        all.next = page.next;
        if all.next.is_none() {
            return Ok(all);
        }
    }
}

fn put(context: &Context, local: &Path, file: &FilePath) -> Result {
    let (file, sent) = store(context, local, file)?;
    confirm_put(context, file, sent)
}

/// Puts a local file; gives what became of it, and how many bytes travelled.
pub fn store(context: &Context, local: &Path, file: &FilePath) -> Result<(api::File, u64)> {
    // Before a large file is read for a server that is not there.
    context.client.ping()?;
    if !transfer::is_standard(local)
        && let Some(stored) = up::put(&context.env, &context.client, context.output, local, file)?
    {
        return Ok((stored.file, stored.sent));
    }
    let mut source = transfer::open(context, local, image::open_bytes)?;
    let sha256 = transfer::sha256(context, local, &mut source)?;
    let route = path::file_put(file.container.as_str(), file.object.as_str(), sha256.as_deref());
    let made: api::File = transfer::upload(context, source, "storing", |body| {
        context.client.upload(Method::Put, &route, body)
    })?;
    let sent = made.size;
    Ok((made, sent))
}

/// The JSON of `put`.
#[derive(Serialize)]
struct Put {
    #[serde(flatten)]
    file: api::File,
    /// Bytes that travelled; holes count where the file went whole.
    sent: u64,
}

fn confirm_put(context: &Context, file: api::File, sent: u64) -> Result {
    context.output.confirm(&Put { file, sent }, |Put { file, sent }| {
        let all = format!("stored {}: {}", name(file), size(file.size));
        if *sent < file.size { format!("{all}, of which {} were sent", size(*sent)) } else { all }
    })
}

/// What an update of so many bytes did.
fn updated(done: &api::UpdatedFile, sent: u64) -> String {
    let (file, now) = (name(&done.file), size(done.file.size));
    format!("{} to {file} at byte {}; it has {now} now", size(sent), done.offset)
}

/// Sends a local file as an update of one in the store; gives how many bytes it has, too.
fn update(
    context: &Context,
    local: &Path,
    file: &FilePath,
    query: &api::UpdateQuery,
) -> Result<(api::UpdatedFile, u64)> {
    let (mut input, total) = transfer::plain_bytes(local)?;
    let progress = Progress::new(context.output, "sending");
    let mut body = transfer::Sending::new(&mut input, progress, total);
    let route = path::file_update(file.container.as_str(), file.object.as_str(), query);
    let answer = context.client.upload(Method::Patch, &route, &mut body);
    if let Some(error) = body.failure() {
        return Err(Failure::local(format!("read '{}'", local.display()))(error));
    }
    answer.map(|answer| (answer, body.done()))
}

fn truncate(context: &Context, file: &FilePath, bytes: u64) -> Result {
    let query = api::UpdateQuery { offset: None, size: Some(bytes) };
    let route = path::file_update(file.container.as_str(), file.object.as_str(), &query);
    let done: api::UpdatedFile =
        context.client.upload(Method::Patch, &route, &mut std::io::empty())?;
    context
        .output
        .confirm(&done, |done| format!("{} has {}", name(&done.file), exact_size(done.file.size)))
}

/// The JSON of `get`.
#[derive(Serialize)]
struct Fetched {
    file: String,
    local: String,
    size: u64,
    /// Bytes that travelled.
    fetched: u64,
}

fn get(context: &Context, file: &FilePath, local: &Path, force: bool) -> Result {
    transfer::refuse_existing(local, force)?;
    let known: api::File = context.client.get(&route(file))?;
    let done = fetch(context, file, &known, local, force)?;
    confirm_get(context, file, local, done)
}

/// Fetches a file, of which `known` was told, to a local one.
pub fn fetch(
    context: &Context,
    file: &FilePath,
    known: &api::File,
    local: &Path,
    force: bool,
) -> Result<down::Fetched> {
    let Context { client, output, env } = context;
    if let Some(done) = down::fetch(env, client, *output, known, file, local, force)? {
        return Ok(done);
    }
    let source = Source::File(file.container.clone(), file.object.clone());
    let mut stream = context.client.download(&path::export(&source.to_string()))?;
    let progress = Progress::new(context.output, "fetching");
    let tell = |done, total| progress.set(done, total);
    let exported =
        image::export(&mut stream, local, Format::Raw, force, &tell).map_err(transfer::cut_off)?;
    Ok(down::Fetched { size: exported.size, fetched: exported.data_bytes })
}

fn confirm_get(context: &Context, file: &FilePath, local: &Path, done: down::Fetched) -> Result {
    let fetched = Fetched {
        file: file.to_string(),
        local: local.display().to_string(),
        size: done.size,
        fetched: done.fetched,
    };
    context.output.confirm(&fetched, |done| {
        let all =
            format!("fetched {} to {}: {}", plain(&done.file), plain(&done.local), size(done.size));
        match done.fetched < done.size {
            true => format!("{all}, of which {} travelled", size(done.fetched)),
            false => all,
        }
    })
}

fn name(file: &api::File) -> String {
    plain(&format!("{}/{}", file.container, file.object))
}

fn table(files: &[api::File]) -> String {
    use Column::{Left, Right};
    let columns = [Right("SIZE"), Left("CREATED"), Left("FILE")];
    render(
        &columns,
        files.iter().map(|file| vec![size(file.size), time(file.created_ms), name(file)]),
    )
}

fn view(file: &api::File) -> String {
    let mut rows = vec![
        ("file", name(file)),
        ("id", file.id.to_string()),
        ("size", exact_size(file.size)),
        ("sha256", optional(file.sha256.as_deref())),
        ("created", time(file.created_ms)),
    ];
    if let Some(disk) = &file.disk {
        rows.push(("format", plain(&disk.format)));
        rows.push(("disk", super::image::disk(disk)));
        rows.extend(disk.size.map(|size| ("disk size", exact_size(size))));
    }
    facts(rows)
}

#[cfg(test)]
mod tests;
