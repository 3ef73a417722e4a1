//! What is done with a store that no daemon has open.

use std::path::Path;

use archipelago_api::{Check, Finding, Rebuilt};
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

/// Makes the catalog of the store in `data` anew.
///
/// # Errors
/// The sentence for people why it cannot be done.
pub fn rebuild(data: &Path, force: bool) -> Result<Rebuilt, String> {
    let done = Service::rebuild(data, &Env::real(), force).map_err(|error| error.to_string())?;
    Ok(Rebuilt {
        made_ms: done.made_ms,
        passed_over: done
            .passed_over
            .into_iter()
            .map(|(id, why)| format!("segment {id}: {why}"))
            .collect(),
        volumes: done.volumes,
        snapshots: done.snapshots,
        images: done.images,
        files: done.files,
        segments: done.segments,
        unsealed: done.unsealed,
        unknown_volumes: done.unknown_volumes,
        set_aside: done.set_aside.map(|path| path.display().to_string()),
    })
}
