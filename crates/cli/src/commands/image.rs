//! `archipelago image`.

use std::path::Path;

use archipelago_api::{self as api, ErrorKind, path};
use archipelago_image::{self as image, Format};
use archipelago_model::{ImageName, Source};
use serde::Serialize;

use super::{Context, remove_each, transfer};
use crate::args::image::Image as Verb;
use crate::client::Method;
use crate::failure::{Failure, Kind, Result};
use crate::output::table::{Column, facts, render};
use crate::output::text::{exact_size, optional, plain, size, time};
use crate::progress::Progress;

pub fn run(context: &Context, verb: Verb) -> Result {
    match verb {
        Verb::Import { file, name, format, os } => import(context, &file, name, format, os),
        Verb::Ls => {
            let images: api::Images = context.client.get(path::IMAGES)?;
            context.output.show(&images, table)
        }
        Verb::Show { name } => {
            let image: api::Image = context.client.get(&path::image(name.as_str()))?;
            context.output.show(&image, view)
        }
        Verb::Export { source, file, format, force } => {
            export(context, &source.0, &file, format, force)
        }
        Verb::Rm { names } => {
            let names: Vec<String> = names.iter().map(ImageName::to_string).collect();
            remove_each(context, "image", &names, |index| {
                context.client.delete(&path::image(&names[index]))
            })
        }
    }
}

fn import(
    context: &Context,
    file: &Path,
    name: Option<ImageName>,
    format: Option<Format>,
    os: Option<String>,
) -> Result {
    let name = name.map_or_else(|| name_of(file), Ok)?;
    // Reading a large file only to hear this would be a pity.
    if context.client.find::<api::Image>(&path::image(name.as_str()))?.is_some() {
        let message = format!("image '{name}' exists already, and nothing was imported");
        return Err(Failure::new(Kind::Server(ErrorKind::AlreadyExists), message).remedy(format!(
            "give another NAME, or remove it first: archipelago image rm {name}"
        )));
    }
    let mut source = transfer::open(context, file, |input, scratch, progress| {
        image::open(input, format, scratch, progress)
    })?;
    let query = api::ImportQuery {
        format: source.format().to_string(),
        os: os.or_else(|| source.os_guess()),
        source_bytes: Some(source.file_bytes()),
        sha256: transfer::sha256(context, file, &mut source)?,
    };
    let route = path::image_import(name.as_str(), &query);
    let image: api::Image = transfer::upload(context, source, "importing", |body| {
        context.client.upload(Method::Post, &route, body)
    })?;
    context.output.confirm(&image, |image| {
        let os = image.os.as_deref().map_or_else(String::new, |os| format!(", {}", plain(os)));
        format!("imported image {}: {}, {}{os}", image.name, plain(&image.format), size(image.size))
    })
}

/// The name of an image that was given none: that of its file.
fn name_of(file: &Path) -> Result<ImageName> {
    let give = "give NAME: archipelago image import FILE NAME";
    if file == Path::new("-") {
        return Err(Failure::usage("an image from standard input needs a name").remedy(give));
    }
    let stem = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    stem.parse().map_err(|error| {
        Failure::usage(format!("the file's name gives no image name: {error}")).remedy(give)
    })
}

/// The JSON of `export`.
#[derive(Serialize)]
struct Written {
    source: String,
    file: String,
    format: String,
    size: u64,
    data_bytes: u64,
}

fn export(
    context: &Context,
    source: &Source,
    file: &Path,
    format: Option<Format>,
    force: bool,
) -> Result {
    let format = format.unwrap_or_else(|| format_of(file));
    transfer::refuse_existing(file, force)?;
    let mut stream = context.client.download(&path::export_disk(&source.to_string()))?;
    let progress = Progress::new(context.output, "exporting");
    let exported =
        image::export(&mut stream, file, format, force, &|done, total| progress.set(done, total))
            .map_err(transfer::cut_off)?;
    drop(progress);
    let written = Written {
        source: source.to_string(),
        file: file.display().to_string(),
        format: format.to_string(),
        size: exported.size,
        data_bytes: exported.data_bytes,
    };
    context.output.confirm(&written, |w| {
        format!(
            "exported {} to {}: {}, {}, of which {} are data",
            plain(&w.source),
            plain(&w.file),
            w.format,
            size(w.size),
            size(w.data_bytes)
        )
    })
}

/// The format that a file's extension promises.
fn format_of(file: &Path) -> Format {
    match file.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("qcow2") => Format::Qcow2,
        _ => Format::Raw,
    }
}

fn table(list: &api::Images) -> String {
    use Column::{Left, Right};
    let mut columns =
        vec![Left("NAME"), Right("SIZE"), Left("FORMAT"), Left("OS"), Left("CREATED")];
    let mut rows: Vec<Vec<String>> = list.images.iter().map(row).collect();
    if !list.recognised.is_empty() {
        columns.push(Left("DISK"));
        rows.iter_mut().for_each(|row| row.push("ready".to_owned()));
        rows.extend(list.recognised.iter().map(file_row));
    }
    render(&columns, rows)
}

fn row(image: &api::Image) -> Vec<String> {
    vec![
        image.name.clone(),
        size(image.size),
        plain(&image.format),
        optional(image.os.as_deref()),
        time(image.created_ms),
    ]
}

fn file_row(file: &api::ImageFile) -> Vec<String> {
    let object = file.source.rsplit('/').next().unwrap_or_default();
    vec![
        plain(&file.source),
        file.disk.size.map_or_else(|| "-".to_owned(), size),
        plain(&file.disk.format),
        optional(image::guess_os(object).as_deref()),
        time(file.created_ms),
        disk(&file.disk),
    ]
}

/// How far a disk is, and why it is no further.
pub(super) fn disk(disk: &api::Disk) -> String {
    match &disk.reason {
        None => plain(&disk.state),
        Some(reason) => format!("refused: it {}", plain(reason)),
    }
}

fn view(image: &api::Image) -> String {
    facts([
        ("name", image.name.clone()),
        ("id", image.id.to_string()),
        ("size", exact_size(image.size)),
        ("format", plain(&image.format)),
        ("os", optional(image.os.as_deref())),
        ("file size", image.source_bytes.map_or_else(|| "-".to_owned(), exact_size)),
        ("sha256", optional(image.sha256.as_deref())),
        ("created", time(image.created_ms)),
    ])
}

#[cfg(test)]
mod tests;
