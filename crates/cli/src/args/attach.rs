//! `archipelago attach`.

use archipelago_model::Source;
use clap::Args;

use super::file::Lifetime;

/// What to open, and for how long.
#[derive(Args, Debug)]
pub struct Attach {
    /// volume:NAME, snapshot:VOL@SNAP or image:NAME
    pub source: Source,
    /// How long the name holds: 30m, 12h or 7d from now, 30d at most
    #[arg(long = "for", value_name = "TIME", default_value = "12h")]
    pub lifetime: Lifetime,
}
