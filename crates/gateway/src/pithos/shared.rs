//! Which names of a container are shared: a walk of them alone, however many others there are.
//!
//! A name is shared by itself or by a folder above it. So the walk goes from one name that has
//! grants to the next, and through what is below those that are folders; names come in their
//! order all the same.

use std::collections::VecDeque;

use archipelago_model::ObjectName;
use archipelago_pool::{
    Action, Container, Error, Grant, Object, Roots, Service, Shared, Step, Walk, Walked, Which,
};

use super::caller::Caller;
use super::listing::Fold;
use super::past::Seen;
use crate::access;
use crate::swift::answer::Refusal;

/// Names that are read together.
const ROWS: usize = 1000;

/// What is to be seen of a container.
pub(super) struct Sight<'a> {
    pub service: &'a Service,
    pub caller: &'a Caller,
    pub home: &'a Container,
    /// The owner wants what is shared, and what has public links. Others see what they may read.
    pub shared: bool,
    pub public: bool,
    /// What else is asked of an object.
    pub fits: &'a dyn Fn(&Object) -> bool,
}

impl Sight<'_> {
    /// A page of the names that are to be seen.
    pub(super) fn walk(&self, walk: &Walk, seen: &mut Seen) -> Result<Vec<Step<Object>>, Refusal> {
        let mut fold = Fold::new(walk);
        if walk.limit == 0 {
            return Ok(fold.out);
        }
        let start = walk.marker.clone().unwrap_or_default().max(walk.prefix.clone());
        let mut roots = self.roots(start.clone());
        let mut below = self.above(&start)?;
        let mut first = self.first(walk, &start)?;
        loop {
            let root = match first.take() {
                Some(root) => Some(root),
                None => roots.peek(self)?,
            };
            let root = root.filter(|root| root.starts_with(&walk.prefix) || *root < walk.prefix);
            let folder = below.iter().min().cloned();
            let objects = match (folder, root) {
                (None, None) => return Ok(fold.out),
                (Some(folder), root) if root.as_ref().is_none_or(|root| folder <= *root) => {
                    below.retain(|other| !other.starts_with(&folder));
                    if !self.folder(walk, &folder, seen, &mut fold)? {
                        return Ok(fold.out);
                    }
                    roots.skip(self, &folder)?;
                    continue;
                }
                (_, Some(root)) => {
                    roots.pass(&root);
                    if root.ends_with('/') {
                        below.push(root);
                        continue;
                    }
                    let found = self.object(&root)?;
                    if found.is_some() && !self.is_public_only() {
                        below.push(format!("{root}/"));
                    }
                    let is_new = walk.marker.as_ref().is_none_or(|marker| root > *marker);
                    found.filter(|_| is_new && root.starts_with(&walk.prefix))
                }
                (Some(_), None) => None,
            };
            seen.add(1)?;
            for object in self.visible(objects.into_iter().collect())? {
                if !fold.see(object) {
                    return Ok(fold.out);
                }
            }
        }
    }

    fn is_public_only(&self) -> bool {
        self.caller.owns() && !self.shared
    }

    /// Whether a name is one of those that are looked for, by itself.
    fn is_root(&self, path: &str) -> Result<bool, Error> {
        let Ok(name) = path.parse::<ObjectName>() else { return Ok(false) };
        let now = self.service.now_ms();
        let stands = |grant: &Grant| grant.expires_ms.is_none_or(|end| end > now);
        let is_meant = |grant: &Grant| match self.caller.owns() {
            true => self.shared,
            false => self.caller.subject.is(grant.grantee),
        };
        let grants = self.service.grants(&Shared::Path(self.home.id, path.to_owned()))?;
        if grants.iter().any(|grant| stands(grant) && is_meant(grant)) {
            return Ok(true);
        }
        Ok(self.public && !self.service.links(self.home.id, &name)?.is_empty())
    }

    /// Folders of which something is behind a name though they themselves are not: those whose
    /// names it begins with.
    fn above(&self, name: &str) -> Result<Vec<String>, Error> {
        let mut out = Vec::new();
        if self.is_public_only() {
            return Ok(out);
        }
        // A name has 1024 bytes at most.
        for end in (1..=name.len()).filter(|end| name.is_char_boundary(*end)) {
            let begin = &name[..end];
            if self.is_root(begin)? {
                let slash = if begin.ends_with('/') { "" } else { "/" };
                out.push(format!("{begin}{slash}"));
            }
        }
        Ok(out)
    }

    /// The very name that is asked for, which no name is behind.
    fn first(&self, walk: &Walk, start: &str) -> Result<Option<String>, Error> {
        let is_new = walk.marker.as_deref().is_none_or(|marker| start > marker);
        let wanted = is_new && !start.is_empty() && self.is_root(start)?;
        Ok(wanted.then(|| start.to_owned()))
    }

    fn object(&self, name: &str) -> Result<Option<Object>, Error> {
        let Ok(name) = name.parse() else { return Ok(None) };
        let found = self.service.object_or_marker(self.home.id, &name, Which::Latest)?;
        Ok(found.filter(|object| !object.marker))
    }

    /// Everything below a folder; whether there is room for more.
    fn folder(
        &self,
        walk: &Walk,
        folder: &str,
        seen: &mut Seen,
        fold: &mut Fold<'_>,
    ) -> Result<bool, Refusal> {
        let prefix = match (folder.starts_with(&walk.prefix), walk.prefix.starts_with(folder)) {
            (true, _) => folder,
            (_, true) => &walk.prefix,
            _ => return Ok(true),
        };
        let (prefix, marker) = (prefix.to_owned(), walk.marker.clone());
        let mut pages = Walk { prefix, marker, limit: ROWS, ..Walk::default() };
        loop {
            let Walked { steps, more } = self.service.object_walk_whole(self.home.id, &pages)?;
            seen.add(steps.len())?;
            let objects = steps.into_iter().filter_map(|step| match step {
                Step::Item(object) => Some(object),
                Step::Prefix(_) => None,
            });
            let objects: Vec<Object> = objects.collect();
            pages.marker = objects.last().map(|last| last.name.to_string());
            for object in self.visible(objects)? {
                if !fold.see(object) {
                    return Ok(false);
                }
            }
            if !more {
                return Ok(true);
            }
        }
    }

    /// Those that are to be seen.
    fn visible(&self, objects: Vec<Object>) -> Result<Vec<Object>, Error> {
        let (service, home) = (self.service, self.home);
        let names: Vec<&ObjectName> = objects.iter().map(|object| &object.name).collect();
        let mut shown = vec![false; objects.len()];
        if self.caller.owns() {
            if self.shared {
                let found = service.grants_of_names(home.id, &names)?;
                found.iter().zip(&mut shown).for_each(|(found, shown)| *shown |= found.is_some());
            }
            if self.public {
                let found = service.links_of_names(home.id, &names)?;
                found.iter().zip(&mut shown).for_each(|(found, shown)| *shown |= found.is_some());
            }
        } else {
            let all: Vec<&Object> = objects.iter().collect();
            shown = access::of_page(service, &self.caller.subject, Action::Read, home, &all)?;
        }
        let all = objects.into_iter().zip(shown);
        let seen = all.filter(|(object, shown)| *shown && (self.fits)(object));
        Ok(seen.map(|(object, _)| object).collect())
    }

    fn roots(&self, after: String) -> Names {
        Names { after, page: VecDeque::new(), ended: false }
    }
}

/// Names that are looked for, in their order, a page at a time.
struct Names {
    after: String,
    page: VecDeque<String>,
    ended: bool,
}

impl Names {
    fn peek(&mut self, sight: &Sight<'_>) -> Result<Option<String>, Error> {
        if self.page.is_empty() && !self.ended {
            let (service, home) = (sight.service, sight.home.id);
            let mut of = Vec::new();
            match sight.caller.owns() {
                true => {
                    of.extend(sight.shared.then_some(Roots::Shared));
                    of.extend(sight.public.then_some(Roots::Public));
                }
                false => of.push(Roots::With(&sight.caller.subject)),
            }
            let mut all = Vec::new();
            for of in of {
                all.extend(service.paths_shared(of, home, &self.after, ROWS)?);
            }
            all.sort_unstable();
            all.dedup();
            all.truncate(ROWS);
            self.ended = all.is_empty();
            self.page = all.into();
        }
        Ok(self.page.front().cloned())
    }

    /// Goes on behind a name.
    fn pass(&mut self, name: &str) {
        if self.page.front().is_some_and(|front| front == name) {
            self.page.pop_front();
        }
        if *name > *self.after {
            self.after = name.to_owned();
        }
    }

    /// Goes on behind everything below a folder.
    fn skip(&mut self, sight: &Sight<'_>, folder: &str) -> Result<(), Error> {
        while let Some(name) = self.peek(sight)?
            && name.starts_with(folder)
        {
            self.pass(&name);
        }
        Ok(())
    }
}
