//! Dedup hit, condemn, bind, compaction and crash, in every order.
//!
//! Several hosts share a catalog, whose transactions are atomic, and a pool. Each
//! host may ingest, read, write its log and make checkpoints; some host collects.
//! A step of the model is a transaction, a change of one host's memory, or one
//! operation on a file: what no step divides must be atomic in the product too.
//!
//! Time is not modelled. The grace time is zero: whatever is safe here is safe
//! without it, and it is left for what the model does not have: reads that hold no
//! root, and clocks.

mod collector;
mod property;
mod scenario;
mod state;
mod writers;

use stateright::{Model, Property};

use state::{Checkpoint, Collector, IDS_MAX, Ids, Reader, Stage, bit, has};
pub use state::{Host, Item, Location, Row, RowState, Segment, State};

/// A rule left out, on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bug {
    /// A bind does not look whether what it shares is sealed.
    BindUnchecked,
    /// A bind takes a segment without a row for a sealed one.
    AbsentRowAccepted,
    /// A bind does not stamp what it shares.
    NoStamp,
    /// Condemning passes over `named_mark < mark`.
    NoNamedMarkCheck,
    /// The horizon passes over checkpoints under way.
    HorizonIgnoresCheckpoints,
    /// The horizon is the log's position, whatever is in no map yet.
    HorizonIgnoresFloor,
    /// The horizon and the ingests under way are asked for after the roots.
    HorizonAfterRoots,
    /// Ingests and compactions under way are not spared.
    UnderWayIgnored,
    /// A segment is known as under way only some time after it has its id.
    RegisteredLate,
    /// Roots in memory are read while a look-up is under way.
    NoBarrier,
    /// Roots in memory are not read.
    PinsIgnored,
    /// A bind derives from a root in memory, and nobody looks whether it still has a name.
    DerivedUnchecked,
    /// A compaction commits without `named_mark < mark`.
    ForwardWithoutRecheck,
    /// A compaction does not check or stamp what it shares.
    CompactionSharesUnchecked,
    /// A table is not followed to the segment that has it: only places count as named.
    CarrierNotMarked,
    /// The compaction of a carrier leaves the old table behind.
    TableLeftBehind,
    /// A file is removed while its row says condemned, which a rescue takes back.
    UnlinkWhileCondemned,
    /// A row is removed before its file: the file is taken for what an ingest left.
    RowBeforeFile,
    /// Of two backups that with the greater mark is taken for the younger.
    BackupByMark,
    /// The backup is durable only at the end of the collection.
    BackupAfterRemoval,
    /// An id without file and row is given again.
    IdsReused,
    /// A merge names the new places of what was moved, and collections go on beside it.
    MergeResolves,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::BindUnchecked,
        Self::AbsentRowAccepted,
        Self::NoStamp,
        Self::NoNamedMarkCheck,
        Self::HorizonIgnoresCheckpoints,
        Self::HorizonIgnoresFloor,
        Self::HorizonAfterRoots,
        Self::UnderWayIgnored,
        Self::RegisteredLate,
        Self::NoBarrier,
        Self::PinsIgnored,
        Self::DerivedUnchecked,
        Self::ForwardWithoutRecheck,
        Self::CompactionSharesUnchecked,
        Self::CarrierNotMarked,
        Self::TableLeftBehind,
        Self::UnlinkWhileCondemned,
        Self::RowBeforeFile,
        Self::BackupByMark,
        Self::BackupByMark,
        Self::BackupAfterRemoval,
        Self::IdsReused,
        Self::MergeResolves,
    ];
}

/// How a mark learns what hosts have in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Round {
    /// From the collecting host alone: right when there is no other.
    Memory,
    /// Each host answers the mark with its horizon, ingests and held roots, in a
    /// transaction after the mark was raised.
    Answers,
}

/// Which rows a commit stamps with the present mark, besides those of segments shared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stamp {
    /// None.
    Shared,
    /// Those that it inserts.
    Recorded,
    /// All that the new root newly names: also a checkpoint's segments of the log.
    Named,
}

/// A scenario: who acts, and how often.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// Hosts.
    pub hosts: usize,
    /// Segments in all.
    pub ids: usize,
    /// Marks in all.
    pub marks: u8,
    /// Collections at a time.
    pub collectors: usize,
    /// Names at a time, heads not counted.
    pub names: usize,
    /// Crashes of hosts.
    pub crashes: u8,
    /// Condemned segments that are sealed again.
    pub rescues: u8,
    /// Whether hosts ingest, and how many of them.
    pub binders: usize,
    /// Whether names are copied.
    pub clones: bool,
    /// Whether hosts read.
    pub readers: bool,
    /// Whether hosts have a log, a volume and checkpoints.
    pub logs: bool,
    /// Whether collections compact.
    pub compaction: bool,
    /// Whether compaction shares stored chunks.
    pub shares: bool,
    /// How a mark learns what is in memory.
    pub round: Round,
    /// What commits stamp.
    pub stamp: Stamp,
    /// The rule that is left out.
    pub bug: Option<Bug>,
}

impl Config {
    /// One host that does nothing but collect.
    pub const fn idle(hosts: usize) -> Self {
        Self {
            hosts,
            ids: 5,
            marks: 2,
            collectors: 1,
            names: 2,
            crashes: 0,
            rescues: 0,
            binders: 0,
            clones: false,
            readers: false,
            logs: false,
            compaction: false,
            shares: false,
            round: if hosts == 1 { Round::Memory } else { Round::Answers },
            stamp: if hosts == 1 { Stamp::Recorded } else { Stamp::Named },
            bug: None,
        }
    }

    /// The same with a rule left out.
    pub fn with(mut self, bug: Bug) -> Self {
        self.bug = Some(bug);
        self
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

/// A step. `host` is who makes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is told where it is applied")]
pub enum Action {
    Ingest { host: usize, hit: Option<Location> },
    Register { host: usize },
    Bind { host: usize },
    Remove { root: Location },
    Clone { root: Location },
    LookUp { host: usize, root: Location },
    Pin { host: usize },
    Unpin { host: usize },
    BindPinned { host: usize },
    Write { host: usize },
    Roll { host: usize },
    Freeze { host: usize },
    WriteNode { host: usize },
    CommitCheckpoint { host: usize },
    MoveFloor { host: usize },
    TakeHorizon { host: usize },
    Raise { host: usize },
    ReadRoots { host: usize },
    Answer { host: usize, to: usize },
    Mark { host: usize },
    Condemn { host: usize },
    Compact { host: usize, victim: u8, shared: Option<Location> },
    CommitCompaction { host: usize },
    End { host: usize },
    StartRemoval { host: usize, segment: u8 },
    FinishRemoval { segment: u8 },
    Unlink { host: usize, segment: u8 },
    UnlinkForwarded { segment: u8 },
    Rescue { segment: u8 },
    Crash { host: usize },
}

impl Model for Config {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        assert!(self.ids <= IDS_MAX, "ids are bits of a word");
        vec![self.first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.name_actions(state, actions);
        for (host, at) in state.hosts.iter().enumerate() {
            self.writer_actions(state, host, at, actions);
            self.collector_actions(state, host, at, actions);
            if state.crashes < self.crashes {
                actions.push(Action::Crash { host });
            }
        }
        self.removal_actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let done = self.write(&mut state, action).or_else(|| self.collect(&mut state, action));
        if done != Some(true) || state == *last {
            return None;
        }
        // Which host is which does not matter: states that differ in that alone are one.
        state.hosts.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all(self)
    }
}

impl Config {
    /// A pool with a name whose map has one chunk, and another chunk that nobody names;
    /// hosts with a volume each.
    fn first(&self) -> State {
        let mut state = State {
            segments: Vec::new(),
            mark: 0,
            reads: 0,
            names: Vec::new(),
            backup: (0, Vec::new()),
            hosts: vec![Host::default(); self.hosts],
            crashes: 0,
            rescues: 0,
        };
        if self.names > 0 {
            let row = Some(Row { state: RowState::Sealed, named_mark: 0 });
            let cold = |items| Segment { file: true, cold: true, items, row, ..Segment::default() };
            let at = |segment, item| Location { segment, item, life: 0 };
            // For compaction one chunk is dead and the other is in a segment of its own.
            let map = Item::Node(vec![if self.compaction { at(2, 0) } else { at(1, 0) }]);
            state.segments = vec![cold(vec![Item::Data, map]), cold(vec![Item::Data])];
            state.names = vec![at(1, 1)];
        }
        for host in (0..self.hosts).filter(|_| self.logs) {
            open_log(&mut state, host);
        }
        state.backup.1 = state.roots();
        state
    }

    /// Gives an id to a new segment; `None` when all are given.
    pub(crate) fn allocate(&self, state: &mut State, new: Segment) -> Option<u8> {
        if self.has(Bug::IdsReused) {
            let free = state.ids().find(|id| {
                let old = state.segment(*id);
                !old.file && old.row.is_none()
            });
            if let Some(id) = free {
                let life = state.segment(id).life + 1;
                *state.segment_mut(id) = Segment { life, ..new };
                return Some(id);
            }
        }
        if state.segments.len() >= self.ids {
            return None;
        }
        state.segments.push(new);
        Some(state.next_id() - 1)
    }

    fn name_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut roots = state.names.clone();
        roots.dedup();
        for root in roots {
            actions.push(Action::Remove { root });
            if self.clones && state.names.len() < self.names {
                actions.push(Action::Clone { root });
            }
            for (host, at) in state.hosts.iter().enumerate() {
                if self.readers && at.reader == Reader::Idle {
                    actions.push(Action::LookUp { host, root });
                }
            }
        }
    }
}

/// A volume with one block in the host's log, and an empty open segment.
fn open_log(state: &mut State, host: usize) {
    let hot = |items| Segment { file: true, items, ..Segment::default() };
    let old = state.next_id();
    let data = Location { segment: old, item: 0, life: 0 };
    state.segments.push(hot(vec![Item::Data, Item::Node(vec![data])]));
    state.segment_mut(old).row = Some(Row { state: RowState::Sealed, named_mark: 0 });
    state.segments.push(hot(Vec::new()));
    let host = &mut state.hosts[host];
    host.log = old + 1;
    host.floor = old + 1;
    host.logs = bit(old) | bit(old + 1);
    host.head = Some(Location { segment: old, item: 1, life: 0 });
}

#[cfg(test)]
mod tests;
