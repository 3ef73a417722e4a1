//! Names: which are there, which are durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use crate::Dice;

/// A file or a directory, for as long as the simulation lasts.
pub(super) type Ino = u64;

pub(super) type Names = BTreeMap<String, Ino>;

/// The directory that paths begin in, absolute or not.
const ROOT: Ino = 0;

#[derive(Default)]
struct Dir {
    cached: Names,
    durable: Names,
}

/// A place where a name is.
type Place = (Ino, String);

/// A change that is not durable yet.
struct Change {
    ino: Ino,
    /// The name it had, if it had one.
    from: Option<Place>,
    /// The name it has, if it has one.
    to: Option<Place>,
    /// What had the name before.
    replaced: Option<Ino>,
    /// Directories that must be synced before it is certain.
    unsynced: BTreeSet<Ino>,
}

pub(super) struct Tree {
    dirs: BTreeMap<Ino, Dir>,
    next: Ino,
    pending: Vec<Change>,
    /// Files without a name, which a crash may give one again.
    unlinked: BTreeSet<Ino>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            dirs: BTreeMap::from([(ROOT, Dir::default())]),
            next: ROOT + 1,
            pending: Vec::new(),
            unlinked: BTreeSet::new(),
        }
    }

    pub(super) fn is_dir(&self, ino: Ino) -> bool {
        self.dirs.contains_key(&ino)
    }

    pub(super) fn exists(&self, path: &Path) -> io::Result<()> {
        self.find(&parts(path)?).map(|_| ())
    }

    pub(super) fn file_at(&self, path: &Path) -> io::Result<Ino> {
        let ino = self.find(&parts(path)?)?;
        if self.is_dir(ino) { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(ino) }
    }

    pub(super) fn names(&self, dir: &Path) -> io::Result<&Names> {
        let ino = self.find(&parts(dir)?)?;
        Ok(&self.dir(ino)?.cached)
    }

    /// All files that have a name.
    pub(super) fn files(&self) -> BTreeSet<Ino> {
        let inos = self.dirs.values().flat_map(|dir| dir.cached.values());
        inos.copied().filter(|ino| !self.is_dir(*ino)).collect()
    }

    pub(super) fn link_new_file(&mut self, path: &Path) -> io::Result<Ino> {
        let place = self.place(path)?;
        if self.dir(place.0)?.cached.contains_key(&place.1) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.link_new(place)
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut at = ROOT;
        for name in parts(path)? {
            let below = match self.dir(at)?.cached.get(name) {
                Some(ino) => *ino,
                None => {
                    let ino = self.link_new((at, name.to_owned()))?;
                    self.dirs.insert(ino, Dir::default());
                    ino
                }
            };
            self.dir(below)?;
            self.sync(at);
            at = below;
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        let ino = self.file_at(path)?;
        let place = self.place(path)?;
        self.dir_mut(place.0)?.cached.remove(&place.1);
        self.unlinked.insert(ino);
        let unsynced = BTreeSet::from([place.0]);
        self.pending.push(Change { ino, from: Some(place), to: None, replaced: None, unsynced });
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let ino = self.file_at(from)?;
        let (from, to) = (self.place(from)?, self.place(to)?);
        if from == to {
            return Ok(());
        }
        let replaced = self.dir(to.0)?.cached.get(&to.1).copied();
        if replaced.is_some_and(|ino| self.is_dir(ino)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.dir_mut(from.0)?.cached.remove(&from.1);
        self.dir_mut(to.0)?.cached.insert(to.1.clone(), ino);
        self.unlinked.extend(replaced);
        let unsynced = BTreeSet::from([from.0, to.0]);
        self.pending.push(Change { ino, from: Some(from), to: Some(to), replaced, unsynced });
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let ino = self.find(&parts(path)?)?;
        self.dir(ino)?;
        self.sync(ino);
        Ok(())
    }

    /// Files without a name that no crash can give one again.
    pub(super) fn unlinked(&self) -> Vec<Ino> {
        let mut gone = self.unlinked.clone();
        if !gone.is_empty() {
            for change in &self.pending {
                gone.remove(&change.ino);
                if let Some(replaced) = change.replaced {
                    gone.remove(&replaced);
                }
            }
        }
        gone.into_iter().collect()
    }

    pub(super) fn forget(&mut self, ino: Ino) {
        self.unlinked.remove(&ino);
    }

    /// Decides which names were kept; those are the ones from now on.
    pub(super) fn crash(&mut self, dice: &mut Dice) {
        let pending = std::mem::take(&mut self.pending);
        let (certain, some) = match dice.below(4) {
            0 => (0, false),
            1 => (dice.below(pending.len() as u64 + 1) as usize, false),
            2 => (pending.len(), false),
            _ => (0, true),
        };
        for (index, change) in pending.iter().enumerate() {
            if index < certain || (some && dice.coin()) {
                self.apply(change);
            }
        }
        self.unlinked.clear();
        for dir in self.dirs.values_mut() {
            dir.cached = dir.durable.clone();
        }
        let mut reached = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(ino) = open.pop() {
            let below = self.dirs.get(&ino).into_iter().flat_map(|dir| dir.durable.values());
            open.extend(below.filter(|ino| reached.insert(**ino)));
        }
        self.dirs.retain(|ino, _| reached.contains(ino));
    }

    /// Makes a change durable, unless one that it stands on was lost.
    fn apply(&mut self, change: &Change) {
        let has = |dirs: &BTreeMap<Ino, Dir>, (dir, name): &Place| {
            dirs.get(dir).is_some_and(|dir| dir.durable.get(name) == Some(&change.ino))
        };
        if change.from.as_ref().is_some_and(|from| !has(&self.dirs, from)) {
            return;
        }
        // A name that another file still has: that its removal was lost while
        // this was kept would lose a file that nobody removed.
        if let Some((dir, name)) = &change.to
            && let Some(holder) = self.dirs.get(dir).and_then(|dir| dir.durable.get(name))
            && Some(*holder) != change.replaced
        {
            return;
        }
        if let Some((dir, name)) = &change.from
            && let Some(dir) = self.dirs.get_mut(dir)
        {
            dir.durable.remove(name);
        }
        if let Some((dir, name)) = &change.to
            && let Some(dir) = self.dirs.get_mut(dir)
        {
            dir.durable.insert(name.clone(), change.ino);
        }
    }

    fn sync(&mut self, dir: Ino) {
        for mut change in std::mem::take(&mut self.pending) {
            change.unsynced.remove(&dir);
            if change.unsynced.is_empty() {
                self.apply(&change);
            } else {
                self.pending.push(change);
            }
        }
    }

    fn link_new(&mut self, place: Place) -> io::Result<Ino> {
        let ino = self.next;
        self.dir_mut(place.0)?.cached.insert(place.1.clone(), ino);
        self.next += 1;
        let unsynced = BTreeSet::from([place.0]);
        self.pending.push(Change { ino, from: None, to: Some(place), replaced: None, unsynced });
        Ok(ino)
    }

    fn dir(&self, ino: Ino) -> io::Result<&Dir> {
        self.dirs.get(&ino).ok_or_else(|| io::ErrorKind::NotADirectory.into())
    }

    fn dir_mut(&mut self, ino: Ino) -> io::Result<&mut Dir> {
        self.dirs.get_mut(&ino).ok_or_else(|| io::ErrorKind::NotADirectory.into())
    }

    fn find(&self, parts: &[&str]) -> io::Result<Ino> {
        let mut at = ROOT;
        for name in parts {
            at = *self.dir(at)?.cached.get(*name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        let parts = parts(path)?;
        let (name, above) = parts.split_last().ok_or(io::ErrorKind::IsADirectory)?;
        let dir = self.find(above)?;
        self.dir(dir)?;
        Ok((dir, (*name).to_owned()))
    }
}

/// The names in a path; `..` and names that are not UTF-8 are refused, as nobody
/// here needs them.
fn parts(path: &Path) -> io::Result<Vec<&str>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                parts.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?);
            }
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        }
    }
    Ok(parts)
}
