//! `archipelago image`.

use std::path::PathBuf;
use std::str::FromStr;

use archipelago_image::Format;
use archipelago_model::{ImageName, Source, SourceError};
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::snapshot::Reference;

#[derive(Subcommand, Debug)]
pub enum Image {
    /// Import a disk image file
    ///
    /// Reads raw, qcow2, vmdk, vdi and vhdx. Holes stay holes, and blocks that
    /// the store has already are not stored again.
    #[command(after_help = "\
Examples:
  archipelago image import debian.qcow2 debian-12
  curl -sL https://example.org/debian.raw | archipelago image import - debian-12 --format raw")]
    Import {
        /// The image file; - is stdin, which is first spooled to a temporary file
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// The name it gets [default: the file's name without extension]
        name: Option<ImageName>,
        /// The format of the file [default: recognised by its content]
        #[arg(long, value_parser = one_of(&Format::ALL))]
        format: Option<Format>,
        /// The operating system in it, kept as a label [default: a guess]
        #[arg(long)]
        os: Option<String>,
    },
    /// List the images, and the files that are disk images
    ///
    /// Files in qcow2, vmdk, vhdx and vdi are recognised when they have come, by whatever door.
    /// What says 'ready' can be cloned at once: volume create NAME --from file:CONTAINER/OBJECT.
    #[command(after_help = "Example:\n  archipelago image ls")]
    Ls,
    /// Show one image
    #[command(after_help = "Example:\n  archipelago image show debian-12")]
    Show {
        /// The image
        name: ImageName,
    },
    /// Write an image, or any SOURCE, to a disk image file
    ///
    /// The file appears under its name when it is complete, and not before. Of a file:
    /// SOURCE that is a disk image, what its guest sees is written.
    #[command(after_help = "\
Examples:
  archipelago image export debian-12 debian.qcow2
  archipelago image export snapshot:web@before web.img --format raw")]
    Export {
        /// An image's name, or a SOURCE, or VOL@SNAP
        #[arg(value_name = "NAME|SOURCE")]
        source: Exported,
        /// The file to write
        file: PathBuf,
        /// The format of the file [default: by its extension, else raw]
        #[arg(long, value_parser = one_of(&[Format::Raw, Format::Qcow2]))]
        format: Option<Format>,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
    /// Remove images; volumes cloned from them stay as they are
    #[command(after_help = "Example:\n  archipelago image rm debian-12")]
    Rm {
        /// The images
        #[arg(required = true, value_name = "NAME")]
        names: Vec<ImageName>,
    },
}

/// A SOURCE in which a bare name is an image's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported(pub Source);

impl FromStr for Exported {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.contains([':', '@']) {
            return Ok(Self(text.parse::<Reference>()?.0));
        }
        Ok(Self(Source::Image(text.parse()?)))
    }
}

fn one_of(formats: &[Format]) -> impl TypedValueParser<Value = Format> + use<> {
    let names: Vec<&'static str> = formats.iter().map(|format| format.as_str()).collect();
    PossibleValuesParser::new(names).try_map(|text| text.parse::<Format>())
}
