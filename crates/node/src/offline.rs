//! What is done with a store that no daemon has open.

use std::path::Path;

use archipelago_api::{Check, Finding};
use archipelago_env::Env;
use archipelago_pool::Service;

/// Checks the store in `data`. It is opened for that, which reads back a log that was
/// interrupted.
///
/// # Errors
/// The sentence for people why it cannot be checked: it is open elsewhere, or no store.
pub fn check(data: &Path) -> Result<Check, String> {
    let findings = Service::check_offline(data, Env::real()).map_err(|error| error.to_string())?;
    let findings = findings.iter().map(|finding| Finding {
        kind: finding.kind.name().to_owned(),
        severity: finding.kind.severity().name().to_owned(),
        resource: finding.resource.clone(),
        what: finding.what.clone(),
        why: finding.kind.why().to_owned(),
        remedy: finding.kind.remedy().to_owned(),
    });
    Ok(Check { findings: findings.collect() })
}
