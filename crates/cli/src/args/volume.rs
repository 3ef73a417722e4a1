//! `archipelago volume`.

use archipelago_model::{PoolName, Source, VolumeName, VolumeSize};
use clap::Subcommand;

use super::pool::Target;

#[derive(Subcommand, Debug)]
pub enum Volume {
    /// Make volumes, empty or as clones; several are made all or none
    ///
    /// A clone takes milliseconds and no space. It may be larger than its
    /// source, never smaller; the growth reads as zeros. A file that is a disk
    /// image (qcow2, vmdk, vhdx, vdi) is cloned as the disk that its guest sees.
    #[command(after_help = "\
Examples:
  archipelago volume create web --from image:debian-12 --size 40G
  archipelago volume create scratch-1 scratch-2 --size 100G
  archipelago volume create web2 --from snapshot:web@before
  archipelago volume create web3 --from file:images/debian.qcow2
  archipelago volume create db --size 200G --pool ceph2")]
    Create {
        /// The names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<VolumeName>,
        /// The size; with --from at least that of the source, which is the default
        #[arg(long, value_name = "SIZE", required_unless_present = "from")]
        size: Option<VolumeSize>,
        /// What to clone: image:NAME, volume:NAME, snapshot:VOL@SNAP or file:CONTAINER/OBJECT
        #[arg(long, value_name = "SOURCE")]
        from: Option<Source>,
        /// Clone the bytes of a file as they are, also where they are a disk image
        #[arg(long, requires = "from")]
        raw: bool,
        /// The pool in which they are to be; see `volume move`
        #[arg(long, value_name = "POOL")]
        pool: Option<PoolName>,
    },
    /// List the volumes
    #[command(after_help = "Example:\n  archipelago volume ls --json")]
    Ls,
    /// Show one volume
    #[command(after_help = "Example:\n  archipelago volume show web")]
    Show {
        /// The volume
        name: VolumeName,
    },
    /// Give a volume another name; its id, its content and its snapshots stay
    #[command(after_help = "Example:\n  archipelago volume rename web web-old")]
    Rename {
        /// The volume
        name: VolumeName,
        /// The new name
        to: VolumeName,
    },
    /// Change the size of a volume
    ///
    /// Growth reads as zeros. Shrinking cuts off what lies beyond the new size
    /// for good, and needs --shrink.
    #[command(after_help = "\
Examples:
  archipelago volume resize web 80G
  archipelago volume resize web 20G --shrink")]
    Resize {
        /// The volume
        name: VolumeName,
        /// The new size
        size: VolumeSize,
        /// Allow the new size to be smaller
        #[arg(long)]
        shrink: bool,
    },
    /// Move a volume and its snapshots to another pool; clients go on meanwhile
    ///
    /// It is done in the background, goes on after a restart, and can be reverted by moving it
    /// back. Data that others share moves with it, once. The newest writes follow from the log of
    /// the first pool as it goes on.
    #[command(after_help = "\
Examples:
  archipelago volume move web --to ceph2
  archipelago volume move web --to default --detach
  archipelago volume move web --to none")]
    Move {
        /// The volume
        name: VolumeName,
        #[command(flatten)]
        target: Target,
        /// Do not wait for the end
        #[arg(long)]
        detach: bool,
    },
    /// Remove volumes
    #[command(after_help = "\
Examples:
  archipelago volume rm web
  archipelago volume rm web --force")]
    Rm {
        /// The volumes
        #[arg(required = true, value_name = "NAME")]
        names: Vec<VolumeName>,
        /// Also when a volume has snapshots, which go with it, or others have it open by tickets
        #[arg(long)]
        force: bool,
    },
}
