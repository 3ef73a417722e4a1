//! `archipelago attach`.

use archipelago_api::{self as api, path};

use super::Context;
use crate::args::attach::Attach;
use crate::failure::Result;

pub fn attach(context: &Context, options: &Attach) -> Result {
    let body = api::CreateTicket {
        source: options.source.to_string(),
        lifetime_ms: Some(options.lifetime.ms),
    };
    let ticket: api::Ticket = context.client.post(path::TICKETS, &body)?;
    // Also when quiet: it is what was asked for.
    context.output.show(&ticket, |ticket| ticket.export.0.clone())
}
