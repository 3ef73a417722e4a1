//! Those who name things: ingests, clones, readers, checkpoints.

use super::state::Binder;
use super::{
    Action, Bug, Checkpoint, Config, Host, Ids, Item, Location, Reader, Row, RowState, Segment,
    Stamp, State, bit, has,
};

/// Items of one segment of the log.
const LOG_ITEMS: usize = 2;

impl Config {
    pub(super) fn writer_actions(
        &self,
        state: &State,
        host: usize,
        at: &Host,
        actions: &mut Vec<Action>,
    ) {
        if host < self.binders && at.binder.is_none() && state.names.len() < self.names {
            actions.push(Action::Ingest { host, hit: None });
            for hit in stored_chunks(state) {
                actions.push(Action::Ingest { host, hit: Some(hit) });
            }
        }
        match &at.binder {
            Some(binder) if binder.registered => actions.push(Action::Bind { host }),
            Some(_) => actions.push(Action::Register { host }),
            None => {}
        }
        match at.reader {
            Reader::Idle => {}
            Reader::LookedUp { .. } => actions.push(Action::Pin { host }),
            Reader::Pinned(_) => {
                actions.push(Action::Unpin { host });
                actions.push(Action::BindPinned { host });
            }
        }
        if self.logs {
            actions.extend([Action::Write { host }, Action::Roll { host }]);
            actions.extend([Action::MoveFloor { host }]);
            match &at.checkpoint {
                None => actions.push(Action::Freeze { host }),
                Some(Checkpoint { node: None, .. }) => actions.push(Action::WriteNode { host }),
                Some(_) => actions.push(Action::CommitCheckpoint { host }),
            }
        }
    }

    /// Makes a step of theirs; `None`: it is none, `Some(false)`: it cannot be made now.
    pub(super) fn write(&self, state: &mut State, action: Action) -> Option<bool> {
        let done = match action {
            Action::Ingest { host, hit } => self.ingest(state, host, hit, 0),
            Action::Register { host } => register(state, host),
            Action::Bind { host } => self.bind(state, host),
            Action::Remove { root } => remove(state, root),
            Action::Clone { root } => self.name(state, root),
            Action::LookUp { host, root } => {
                state.hosts[host].reader = Reader::LookedUp { root, old: false };
                Some(())
            }
            Action::Pin { host } => pin(&mut state.hosts[host]),
            Action::Unpin { host } => {
                state.hosts[host].reader = Reader::Idle;
                Some(())
            }
            Action::BindPinned { host } => self.bind_pinned(state, host),
            Action::Write { host } => write(state, host),
            Action::Roll { host } => self.roll(state, host),
            Action::Freeze { host } => freeze(&mut state.hosts[host]),
            Action::WriteNode { host } => self.write_node(state, host),
            Action::CommitCheckpoint { host } => self.commit_checkpoint(state, host),
            Action::MoveFloor { host } => {
                self.record_log(state, host);
                Some(())
            }
            Action::Crash { host } => {
                crash(state, host);
                Some(())
            }
            _ => return None,
        };
        Some(done.is_some())
    }

    /// Writes and seals a cold segment: a chunk, and a map of it and of what was found stored.
    fn ingest(
        &self,
        state: &mut State,
        host: usize,
        hit: Option<Location>,
        before: Ids,
    ) -> Option<()> {
        let own = self.allocate(state, Segment::default())?;
        let chunk = state.place(own, 0);
        let map = Item::Node(hit.into_iter().chain([chunk]).collect());
        let life = chunk.life;
        let items = vec![Item::Data, map];
        *state.segment_mut(own) =
            Segment { file: true, cold: true, items, life, ..Segment::default() };
        let registered = !self.has(Bug::RegisteredLate);
        let host = &mut state.hosts[host];
        if registered {
            host.under_way |= bit(own);
        }
        host.binder =
            Some(Binder { own, wrote: before | bit(own), hit, registered, refused: before != 0 });
        Some(())
    }

    /// The transaction of an ingest. A hit that is not sealed any more is written again,
    /// and then is no hit.
    fn bind(&self, state: &mut State, host: usize) -> Option<()> {
        let binder = state.hosts[host].binder.take()?;
        if let Some(hit) = binder.hit
            && !self.may_share(state, hit)
        {
            return self.ingest(state, host, None, binder.wrote);
        }
        if let Some(hit) = binder.hit {
            self.share(state, hit);
        }
        self.record(state, binder.own);
        state.hosts[host].under_way &= !binder.wrote;
        let root = state.place(binder.own, 1);
        self.name(state, root)
    }

    /// Whether the catalog lets a bind name what is stored already.
    pub(super) fn may_share(&self, state: &State, hit: Location) -> bool {
        match state.segment(hit.segment).row {
            Some(row) => row.state == RowState::Sealed || self.has(Bug::BindUnchecked),
            None => self.has(Bug::AbsentRowAccepted),
        }
    }

    /// Notes that a bind names what is stored already.
    pub(super) fn share(&self, state: &mut State, hit: Location) {
        let mark = state.mark;
        let row = &mut state.segment_mut(hit.segment).row;
        let row = row.get_or_insert(Row { state: RowState::Sealed, named_mark: 0 });
        if !self.has(Bug::NoStamp) {
            row.named_mark = mark;
        }
    }

    /// Notes a segment that was written and sealed.
    pub(super) fn record(&self, state: &mut State, id: u8) {
        let named_mark = if self.stamp == Stamp::Shared { 0 } else { state.mark };
        let row = &mut state.segment_mut(id).row;
        row.get_or_insert(Row { state: RowState::Sealed, named_mark });
    }

    fn name(&self, state: &mut State, root: Location) -> Option<()> {
        if state.names.len() >= self.names {
            return None;
        }
        state.names.push(root);
        state.names.sort_unstable();
        Some(())
    }

    /// A bind of what a reader holds, as an incremental receive or a clone of a view is.
    fn bind_pinned(&self, state: &mut State, host: usize) -> Option<()> {
        let Reader::Pinned(root) = state.hosts[host].reader else { return None };
        if !self.clones || !(state.names.contains(&root) || self.has(Bug::DerivedUnchecked)) {
            return None;
        }
        state.hosts[host].reader = Reader::Idle;
        self.name(state, root)
    }

    /// The open segment of the log is sealed and another one opened.
    fn roll(&self, state: &mut State, host: usize) -> Option<()> {
        if state.segment(state.hosts[host].log).items.is_empty() {
            return None;
        }
        let new = self.allocate(state, Segment { file: true, ..Segment::default() })?;
        let host = &mut state.hosts[host];
        host.log = new;
        host.logs |= bit(new);
        Some(())
    }

    /// The transaction of a checkpoint, and its installation.
    fn commit_checkpoint(&self, state: &mut State, host: usize) -> Option<()> {
        let checkpoint = state.hosts[host].checkpoint.take()?;
        state.hosts[host].head = checkpoint.node;
        self.record_log(state, host);
        if self.stamp == Stamp::Named {
            let reached = state.reach(checkpoint.node.as_slice());
            let (logs, mark) = (state.hosts[host].logs, state.mark);
            for id in state.ids().filter(|id| has(reached.segments & logs, *id)) {
                if let Some(row) = &mut state.segment_mut(id).row {
                    row.named_mark = mark;
                }
            }
        }
        Some(())
    }

    /// What the commit of any checkpoint of this host does: it moves the floor and notes
    /// what is sealed.
    fn record_log(&self, state: &mut State, host: usize) {
        let at = &state.hosts[host];
        let (logs, log) = (at.logs, at.log);
        let frozen = at.checkpoint.iter().flat_map(|checkpoint| &checkpoint.frozen);
        let oldest = at.overlay.iter().chain(frozen).map(|at| at.segment).min();
        let floor = oldest.map_or(log, |oldest| oldest.min(log));
        state.hosts[host].floor = floor.max(state.hosts[host].floor);
        for id in state.ids().filter(|id| has(logs, *id) && *id != log) {
            if state.segment(id).file {
                self.record(state, id);
            }
        }
    }

    /// The new map: the newest block, or without one what the head names, as it names it.
    fn write_node(&self, state: &mut State, host: usize) -> Option<()> {
        let at = &state.hosts[host];
        let frozen = at.checkpoint.as_ref()?.frozen.clone();
        let mut reached = super::state::Reached::default();
        let below = if frozen.is_empty() {
            let head = state.resolve(at.head?, &mut reached)?;
            let Item::Node(below) = state.item(head)?.clone() else { return None };
            if self.has(Bug::MergeResolves) {
                let resolve = |at: &Location| state.resolve(*at, &mut reached);
                below.iter().map(resolve).collect::<Option<Vec<_>>>()?
            } else {
                below
            }
        } else {
            frozen
        };
        let node = append(state, host, Item::Node(below))?;
        state.hosts[host].checkpoint.as_mut()?.node = Some(node);
        Some(())
    }
}

/// Chunks that an index may know: it learns of footers and of nothing else.
pub(super) fn stored_chunks(state: &State) -> Vec<Location> {
    let mut found = Vec::new();
    for id in state.ids().filter(|id| state.segment(*id).cold) {
        for (item, what) in state.segment(id).items.iter().enumerate() {
            if *what == Item::Data {
                found.push(state.place(id, item));
            }
        }
    }
    found
}

fn register(state: &mut State, host: usize) -> Option<()> {
    let host = &mut state.hosts[host];
    let binder = host.binder.as_mut()?;
    binder.registered = true;
    host.under_way |= bit(binder.own);
    Some(())
}

fn remove(state: &mut State, root: Location) -> Option<()> {
    let at = state.names.iter().position(|name| *name == root)?;
    state.names.remove(at);
    Some(())
}

fn pin(host: &mut Host) -> Option<()> {
    let Reader::LookedUp { root, .. } = host.reader else { return None };
    host.reader = Reader::Pinned(root);
    Some(())
}

/// A guest overwrites the volume's one block.
fn write(state: &mut State, host: usize) -> Option<()> {
    if !state.hosts[host].overlay.is_empty() {
        return None;
    }
    let at = append(state, host, Item::Data)?;
    state.hosts[host].overlay.push(at);
    Some(())
}

fn append(state: &mut State, host: usize, item: Item) -> Option<Location> {
    let log = state.hosts[host].log;
    let items = &mut state.segment_mut(log).items;
    if items.len() >= LOG_ITEMS {
        return None;
    }
    items.push(item);
    let last = items.len() - 1;
    Some(state.place(log, last))
}

/// The cut. A merge of runs begins before it, so this is the beginning of both.
fn freeze(host: &mut Host) -> Option<()> {
    let frozen = std::mem::take(&mut host.overlay);
    host.checkpoint = Some(Checkpoint { began: host.log, frozen, node: None });
    Some(())
}

/// Memory is lost; what was written to the log is read back.
fn crash(state: &mut State, host: usize) {
    state.crashes += 1;
    let host = &mut state.hosts[host];
    if let Some(checkpoint) = host.checkpoint.take() {
        host.overlay.extend(checkpoint.frozen);
        host.overlay.sort_unstable();
        // A later write of the block hides the earlier one.
        let hidden = host.overlay.len().saturating_sub(1);
        host.overlay.drain(..hidden);
    }
    host.under_way = 0;
    host.unlinking = 0;
    host.binder = None;
    host.reader = Reader::Idle;
    host.collector = None;
}
