//! A container as it was at a time, as far as its versions tell.

use archipelago_pool::{Object, PAGE_BYTES_MAX, Service, Step, Walk, Walked, Which};

use super::listing::Fold;
use crate::swift::answer::Refusal;

/// Versions that are looked at together.
const ROWS: usize = 1000;
/// Objects and versions that one request looks at for its listing, at most: some seconds.
const SEEN_MAX: usize = 1_000_000;

/// How many a request has looked at.
#[derive(Default)]
pub(super) struct Seen(usize);

impl Seen {
    pub(super) fn add(&mut self, count: usize) -> Result<(), Refusal> {
        self.0 += count;
        match self.0 > SEEN_MAX {
            true => Err(Refusal::too_large(format_args!(
                "more than {SEEN_MAX} objects and versions would have to be looked at; name a \
                 prefix, or list them in pages at the doors of S3 and Swift"
            ))),
            false => Ok(()),
        }
    }
}

/// Gives each object that was there at that time to `see`, by name, until that says stop.
fn each(
    service: &Service,
    container: u64,
    walk: &Walk,
    until: u64,
    seen: &mut Seen,
    see: &mut dyn FnMut(Object) -> bool,
) -> Result<(), Refusal> {
    let mut pages = Walk {
        prefix: walk.prefix.clone(),
        marker: walk.marker.clone(),
        limit: ROWS,
        ..Walk::default()
    };
    let (mut after, mut settled) = (None, None);
    loop {
        let Walked { steps, more } = service.version_walk(container, &pages, after)?;
        seen.add(steps.len())?;
        for step in steps {
            let Step::Item(object) = step else { continue };
            let name = object.name.to_string();
            after = Some(match object.versioned {
                true => Which::Version(object.id),
                false => Which::Unversioned,
            });
            pages.marker = Some(name.clone());
            if object.created_ms > until || settled.as_ref() == Some(&name) {
                continue;
            }
            settled = Some(name);
            if !object.marker && !see(object) {
                return Ok(());
            }
        }
        if !more {
            return Ok(());
        }
    }
}

/// How many objects there were, and their bytes.
pub(super) fn totals(
    service: &Service,
    container: u64,
    until: u64,
    seen: &mut Seen,
) -> Result<(u64, u64), Refusal> {
    let (mut objects, mut bytes) = (0, 0_u64);
    each(service, container, &Walk::default(), until, seen, &mut |object| {
        objects += 1;
        bytes = bytes.saturating_add(object.size);
        true
    })?;
    Ok((objects, bytes))
}

/// A page of a listing, as it was.
pub(super) fn walk(
    service: &Service,
    container: u64,
    walk: &Walk,
    until: u64,
    seen: &mut Seen,
) -> Result<Walked<Object>, Refusal> {
    let mut fold = Fold::new(walk);
    if walk.limit == 0 {
        return Ok(Walked { steps: fold.out, more: false });
    }
    let mut more = false;
    each(service, container, walk, until, seen, &mut |object| {
        let goes_on = fold.see(object);
        more = !goes_on;
        goes_on
    })?;
    let (mut steps, mut bytes) = (fold.out, 0);
    // Versions come without what users keep with them.
    for at in 0..steps.len() {
        let Some(Step::Item(object)) = steps.get_mut(at) else { continue };
        if let Some(whole) = whole(service, container, object)? {
            *object = whole;
        }
        bytes += object.held_bytes();
        if bytes >= PAGE_BYTES_MAX {
            more |= at + 1 < steps.len();
            steps.truncate(at + 1);
            break;
        }
    }
    Ok(Walked { steps, more })
}

fn whole(service: &Service, container: u64, object: &Object) -> Result<Option<Object>, Refusal> {
    let which = match object.versioned {
        true => Which::Version(object.id),
        false => Which::Unversioned,
    };
    let found = service.object_or_marker(container, &object.name, which)?;
    Ok(found.filter(|found| found.id == object.id))
}
