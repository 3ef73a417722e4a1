//! What there is: segments and their rows, names, and what each host has in memory.

/// A set of segment ids, one bit each.
pub type Ids = u16;

/// Ids are small, so that a set of them is a word.
pub const IDS_MAX: usize = Ids::BITS as usize - 1;

/// A place in a segment. `life` tells two segments apart that were given one id,
/// which only a planted bug does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Location {
    /// The segment's id, from 1.
    pub segment: u8,
    /// Which item of it.
    pub item: u8,
    /// Which segment of this id.
    pub life: u8,
}

/// What a place holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Item {
    /// A chunk.
    Data,
    /// A map node, or a whole map: what it names.
    Node(Vec<Location>),
}

/// What the catalog says of a segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RowState {
    /// It may be named.
    Sealed,
    /// Nobody names it.
    Condemned,
    /// Its file goes, or is gone; nothing brings it back.
    Removing,
    /// What was live is elsewhere; the table is in the footer of this segment.
    Forwarded(u8),
}

/// A row of the catalog's table of segments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Row {
    /// Its state.
    pub state: RowState,
    /// The mark during which a bind last named it.
    pub named_mark: u8,
}

/// A segment: its file in the pool and its row in the catalog.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Segment {
    /// Whether the file is there.
    pub file: bool,
    /// Whether ingest or compaction wrote it; else it is of a log.
    pub cold: bool,
    /// What it holds; empty once the file is gone.
    pub items: Vec<Item>,
    /// Of a carrier: old place, new place.
    pub table: Vec<(Location, Location)>,
    /// What the catalog has of it.
    pub row: Option<Row>,
    /// How often its id was given before.
    pub life: u8,
}

impl Segment {
    /// Removes the file, and with it all that it said.
    pub fn unlink(&mut self) {
        self.file = false;
        self.items.clear();
        self.table.clear();
    }

    /// Whether a bind may name it.
    pub fn sealed(&self) -> bool {
        self.row.is_some_and(|row| row.state == RowState::Sealed)
    }

    /// Whether the collector decided against it.
    pub fn condemned(&self) -> bool {
        self.row.is_some_and(|row| row.state == RowState::Condemned)
    }

    /// Whether its removal is certain.
    pub fn removing(&self) -> bool {
        self.row.is_some_and(|row| row.state == RowState::Removing)
    }

    /// Where its table of forwarding is.
    pub fn forwarded_to(&self) -> Option<u8> {
        match self.row?.state {
            RowState::Forwarded(to) => Some(to),
            _ => None,
        }
    }
}

/// An ingest that has written its own segment and has not bound it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Binder {
    /// The segment that has its root.
    pub own: u8,
    /// All that it wrote.
    pub wrote: Ids,
    /// What it found stored and names.
    pub hit: Option<Location>,
    /// Whether the host knows the segment as one under way.
    pub registered: bool,
    /// Whether a bind was refused, and the data written again.
    pub refused: bool,
}

/// Somebody who reads a map for a long time.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reader {
    /// Nobody.
    #[default]
    Idle,
    /// The catalog was asked; the host does not know the root yet.
    LookedUp {
        /// What the catalog said.
        root: Location,
        /// Whether a mark read its roots since.
        old: bool,
    },
    /// The host knows the root as held.
    Pinned(Location),
}

/// A checkpoint, from its cut to its commit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Checkpoint {
    /// The log's segment when it began.
    pub began: u8,
    /// The overlay that was set aside.
    pub frozen: Vec<Location>,
    /// The new root, once written.
    pub node: Option<Location>,
}

/// How far a collection is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stage {
    /// It has a horizon.
    Began,
    /// The catalog counts its mark: binds are stamped with it.
    Raised,
    /// It has the catalog's roots.
    Rooted,
    /// It knows what is live.
    Marked,
    /// It has condemned what is not.
    Condemned,
}

/// A compaction that has written its segment and has not committed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Copied {
    /// What is to be forwarded.
    pub victim: u8,
    /// The new segment, with the table.
    pub carrier: u8,
    /// A stored chunk that stands for a copy.
    pub shared: Option<Location>,
}

/// A collection under way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Collector {
    /// How far it is.
    pub stage: Stage,
    /// Its mark; 0 before it has one.
    pub mark: u8,
    /// Which reading of the roots its own was; 0 before.
    pub read: u8,
    /// Segments from here on are safe.
    pub horizon: u8,
    /// Segments that are safe although they are older.
    pub spared: Ids,
    /// Roots of the catalog and roots held in memory.
    pub roots: Vec<Location>,
    /// Every place that is reached.
    pub live: Vec<Location>,
    /// Segments with a place that is reached, and carriers on the way.
    pub named: Ids,
    /// A compaction of this collection.
    pub copied: Option<Copied>,
}

/// What one host has: its log, its volume, and what is in its memory.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Host {
    /// The open segment of the log; 0 where the scenario has no log.
    pub log: u8,
    /// All segments of the log.
    pub logs: Ids,
    /// The catalog's floor of this log.
    pub floor: u8,
    /// The head of the host's volume, in the catalog.
    pub head: Option<Location>,
    /// What is in no map yet.
    pub overlay: Vec<Location>,
    /// The checkpoint under way.
    pub checkpoint: Option<Checkpoint>,
    /// Cold segments that are written and not bound.
    pub under_way: Ids,
    /// The ingest under way.
    pub binder: Option<Binder>,
    /// The reader.
    pub reader: Reader,
    /// The collection that this host makes.
    pub collector: Option<Collector>,
    /// The marks that this host has answered, one bit each.
    pub answered: u8,
    /// Files that this host is about to remove although they have no row; a bug.
    pub unlinking: Ids,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct State {
    /// Segment `id` is at `id - 1`.
    pub segments: Vec<Segment>,
    /// The catalog's mark.
    pub mark: u8,
    /// What names point at, sorted: their spelling does not matter.
    pub names: Vec<Location>,
    /// How often a collection has read the roots.
    pub reads: u8,
    /// The newest backup that is durable: which reading of the roots it is of, its roots.
    pub backup: (u8, Vec<Location>),
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Crashes so far.
    pub crashes: u8,
    /// Rescues so far.
    pub rescues: u8,
}

/// A set of one.
pub const fn bit(id: u8) -> Ids {
    1 << id
}

/// Whether a set has `id`.
pub const fn has(ids: Ids, id: u8) -> bool {
    ids & bit(id) != 0
}

/// What can be reached from some roots.
#[derive(Clone, Default, Debug)]
pub struct Reached {
    /// Every place, old and forwarded ones both; sorted.
    pub places: Vec<Location>,
    /// Their segments.
    pub segments: Ids,
    /// Segments whose table was needed.
    pub carriers: Ids,
    /// Whether something on the way is gone.
    pub broken: bool,
}

impl State {
    /// A segment.
    pub fn segment(&self, id: u8) -> &Segment {
        &self.segments[usize::from(id) - 1]
    }

    /// A segment, to change.
    pub fn segment_mut(&mut self, id: u8) -> &mut Segment {
        &mut self.segments[usize::from(id) - 1]
    }

    /// All ids that were given.
    pub fn ids(&self) -> std::ops::RangeInclusive<u8> {
        1..=self.segments.len() as u8
    }

    /// The id that will be given next.
    pub fn next_id(&self) -> u8 {
        self.segments.len() as u8 + 1
    }

    /// The place of an item.
    pub fn place(&self, segment: u8, item: usize) -> Location {
        Location { segment, item: item as u8, life: self.segment(segment).life }
    }

    /// What a place holds, if it is there.
    pub fn item(&self, at: Location) -> Option<&Item> {
        let segment = self.segment(at.segment);
        if !segment.file || segment.life != at.life {
            return None;
        }
        segment.items.get(usize::from(at.item))
    }

    /// Follows the forwarding that the catalog tells of. Notes the way in `reached`.
    pub fn resolve(&self, mut at: Location, reached: &mut Reached) -> Option<Location> {
        // Each table leads to a younger segment, or shares an older one that was sealed
        // at that moment: a way never comes back to where it was.
        for _ in 0..=self.segments.len() {
            reached.note(at);
            let segment = self.segment(at.segment);
            let Some(carrier) = segment.forwarded_to() else {
                return self.item(at).map(|_| at);
            };
            reached.carriers |= bit(carrier);
            at = self.table(carrier, at)?;
        }
        None
    }

    fn table(&self, carrier: u8, old: Location) -> Option<Location> {
        let table = &self.segment(carrier).table;
        table.iter().find(|(from, _)| *from == old).map(|(_, to)| *to)
    }

    /// Everything below `roots`, by the catalog's rows.
    pub fn reach(&self, roots: &[Location]) -> Reached {
        self.walk(roots, |state, at, reached| state.resolve(at, reached))
    }

    /// Everything below `roots`, by what the files say, as a rebuild has to find it.
    pub fn reach_by_files(&self, roots: &[Location]) -> Reached {
        self.walk(roots, |state, at, reached| state.resolve_by_files(at, reached))
    }

    /// Tables of compactions that were not committed are among the files too. What they
    /// say is true all the same, as copies and ids never change; but a place that one of
    /// them names may be gone, and then another one counts.
    fn resolve_by_files(&self, at: Location, reached: &mut Reached) -> Option<Location> {
        reached.note(at);
        if self.item(at).is_some() {
            return Some(at);
        }
        let tables = self.ids().filter_map(|carrier| self.table(carrier, at));
        tables.into_iter().find_map(|to| self.resolve_by_files(to, reached))
    }

    fn walk(
        &self,
        roots: &[Location],
        resolve: impl Fn(&Self, Location, &mut Reached) -> Option<Location>,
    ) -> Reached {
        let mut reached = Reached::default();
        let mut open = roots.to_vec();
        while let Some(at) = open.pop() {
            if reached.places.contains(&at) {
                continue;
            }
            match resolve(self, at, &mut reached).and_then(|at| self.item(at)) {
                Some(Item::Data) => {}
                Some(Item::Node(below)) => open.extend(below),
                None => reached.broken = true,
            }
        }
        reached.places.sort_unstable();
        reached
    }

    /// The catalog's roots: names and heads.
    pub fn roots(&self) -> Vec<Location> {
        let heads = self.hosts.iter().filter_map(|host| host.head);
        let mut roots: Vec<Location> = self.names.iter().copied().chain(heads).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

impl Reached {
    fn note(&mut self, at: Location) {
        if !self.places.contains(&at) {
            self.places.push(at);
            self.segments |= bit(at.segment);
        }
    }
}
