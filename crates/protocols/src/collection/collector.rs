//! Mark, condemn, compact, remove.

use super::state::Copied;
use super::writers::stored_chunks;
use super::{
    Action, Bug, Collector, Config, Host, Ids, Item, Location, Reader, Round, Row, RowState,
    Segment, Stage, State, bit, has,
};

impl Config {
    pub(super) fn collector_actions(
        &self,
        state: &State,
        host: usize,
        at: &Host,
        actions: &mut Vec<Action>,
    ) {
        for segment in state.ids().filter(|id| has(at.unlinking, *id)) {
            actions.push(Action::Unlink { host, segment });
        }
        let Some(collector) = &at.collector else {
            let busy = state.hosts.iter().filter(|host| host.collector.is_some()).count();
            if state.mark < self.marks && busy < self.collectors {
                actions.push(match self.round {
                    Round::Memory => Action::TakeHorizon { host },
                    Round::Answers => Action::Raise { host },
                });
            }
            return;
        };
        match collector.stage {
            Stage::Began => actions.push(Action::Raise { host }),
            Stage::Raised => actions.push(Action::ReadRoots { host }),
            Stage::Rooted => {
                if self.round == Round::Answers {
                    let answers =
                        (0..self.hosts).map(|other| Action::Answer { host: other, to: host });
                    actions.extend(answers);
                }
                actions.push(Action::Mark { host });
            }
            Stage::Marked | Stage::Condemned => {
                if collector.stage == Stage::Marked {
                    actions.push(Action::Condemn { host });
                }
                actions.push(Action::End { host });
                self.compaction_actions(state, host, collector, actions);
            }
        }
    }

    fn compaction_actions(
        &self,
        state: &State,
        host: usize,
        collector: &Collector,
        actions: &mut Vec<Action>,
    ) {
        if collector.copied.is_some() {
            actions.push(Action::CommitCompaction { host });
        } else if self.compaction {
            for victim in state.ids().filter(|id| collector.may_leave(*id)) {
                actions.push(Action::Compact { host, victim, shared: None });
                for shared in stored_chunks(state) {
                    if self.shares && shared.segment != victim {
                        actions.push(Action::Compact { host, victim, shared: Some(shared) });
                    }
                }
            }
        }
    }

    pub(super) fn removal_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for segment in state.ids() {
            let at = state.segment(segment);
            if at.removing() {
                actions.push(Action::FinishRemoval { segment });
            }
            if at.condemned() {
                actions.push(Action::StartRemoval { host: 0, segment });
                if state.rescues < self.rescues {
                    actions.push(Action::Rescue { segment });
                }
            }
            if at.forwarded_to().is_some() && at.file {
                actions.push(Action::UnlinkForwarded { segment });
            }
        }
    }

    /// Makes a step of the collector's; `None`: it is none, `Some(false)`: it cannot be
    /// made now.
    pub(super) fn collect(&self, state: &mut State, action: Action) -> Option<bool> {
        let done = match action {
            Action::TakeHorizon { host } => self.take_horizon(state, host),
            Action::Raise { host } => self.raise(state, host),
            Action::ReadRoots { host } => read_roots(state, host),
            Action::Answer { host, to } => self.answer(state, host, to),
            Action::Mark { host } => self.mark(state, host),
            Action::Condemn { host } => self.condemn(state, host),
            Action::Compact { host, victim, shared } => self.compact(state, host, victim, shared),
            Action::CommitCompaction { host } => self.commit_compaction(state, host),
            Action::End { host } => self.end(state, host),
            Action::StartRemoval { host, segment } => {
                self.start_removal(state, host, segment);
                Some(())
            }
            Action::FinishRemoval { segment } => {
                finish_removal(state, segment);
                Some(())
            }
            Action::Unlink { host, segment } => {
                unlink(state, host, segment);
                Some(())
            }
            Action::UnlinkForwarded { segment } => {
                state.segment_mut(segment).unlink();
                Some(())
            }
            Action::Rescue { segment } => rescue(state, segment),
            _ => return None,
        };
        Some(done.is_some())
    }

    /// t_a: what this host's memory keeps safe.
    fn take_horizon(&self, state: &mut State, host: usize) -> Option<()> {
        let (horizon, spared) = self.memory(state, host);
        state.hosts[host].collector = Some(Collector {
            stage: Stage::Began,
            mark: 0,
            read: 0,
            horizon,
            spared,
            roots: Vec::new(),
            live: Vec::new(),
            named: 0,
            copied: None,
        });
        Some(())
    }

    /// The horizon of a host and what it has under way.
    fn memory(&self, state: &State, host: usize) -> (u8, Ids) {
        let at = &state.hosts[host];
        let mut horizon = state.next_id();
        if self.logs {
            horizon = at.log;
            if !self.has(Bug::HorizonIgnoresFloor) {
                horizon = horizon.min(at.floor);
            }
        }
        if let Some(checkpoint) = &at.checkpoint
            && !self.has(Bug::HorizonIgnoresCheckpoints)
        {
            horizon = horizon.min(checkpoint.began);
        }
        (horizon, if self.has(Bug::UnderWayIgnored) { 0 } else { at.under_way })
    }

    /// One transaction raises the mark; another reads the roots afterwards, since that takes
    /// long where there are millions of names.
    fn raise(&self, state: &mut State, host: usize) -> Option<()> {
        if state.mark >= self.marks {
            return None;
        }
        if self.round == Round::Answers {
            self.take_horizon(state, host)?;
            // What others have is not known yet: their answers lower this.
            let collector = state.hosts[host].collector.as_mut()?;
            collector.horizon = state.segments.len() as u8 + 1;
            collector.spared = 0;
        }
        state.mark += 1;
        let mark = state.mark;
        let collector = state.hosts[host].collector.as_mut()?;
        collector.stage = Stage::Raised;
        collector.mark = mark;
        Some(())
    }

    /// The roots that a host holds, once no look-up that is older than T0 is under way.
    fn held(&self, host: &Host) -> Option<Option<Location>> {
        match host.reader {
            Reader::LookedUp { old: true, .. } if !self.has(Bug::NoBarrier) => None,
            Reader::Pinned(root) if !self.has(Bug::PinsIgnored) => Some(Some(root)),
            _ => Some(None),
        }
    }

    /// A host answers a mark, in a transaction: what it holds, its horizon, what it has
    /// under way.
    fn answer(&self, state: &mut State, host: usize, to: usize) -> Option<()> {
        let (horizon, spared) = self.memory(state, host);
        let held = self.held(&state.hosts[host])?;
        let collector = state.hosts[to].collector.as_mut()?;
        let mark = 1 << collector.mark;
        collector.horizon = collector.horizon.min(horizon);
        collector.spared |= spared;
        collector.roots.extend(held);
        collector.roots.sort_unstable();
        collector.roots.dedup();
        let host = &mut state.hosts[host];
        if host.answered & mark != 0 {
            return None;
        }
        host.answered |= mark;
        Some(())
    }

    /// The mark itself. What it visits never changes, so that it may take as long as it likes.
    fn mark(&self, state: &mut State, host: usize) -> Option<()> {
        let at = &state.hosts[host];
        let mut collector = at.collector.clone()?;
        match self.round {
            Round::Memory => collector.roots.extend(self.held(at)?),
            Round::Answers => {
                let mark = 1 << collector.mark;
                if state.hosts.iter().any(|host| host.answered & mark == 0) {
                    return None;
                }
            }
        }
        if self.has(Bug::HorizonAfterRoots) {
            (collector.horizon, collector.spared) = self.memory(state, host);
        }
        let reached = state.reach(&collector.roots);
        if reached.broken {
            // Another collector was faster: names of these roots are gone since. Nothing
            // is decided from a mark that is not whole.
            state.hosts[host].collector = None;
            return Some(());
        }
        collector.live = reached.places;
        collector.named = reached.segments;
        if !self.has(Bug::CarrierNotMarked) {
            collector.named |= reached.carriers;
        }
        collector.stage = Stage::Marked;
        if !self.has(Bug::BackupAfterRemoval) {
            back_up(state, &collector, self.has(Bug::BackupByMark));
        }
        // Roots are not needed any more, except for a backup that is late.
        if !self.has(Bug::BackupAfterRemoval) {
            collector.roots.clear();
        }
        state.hosts[host].collector = Some(collector);
        Some(())
    }

    /// The transaction that condemns, and forgets what is forwarded and not named any more.
    fn condemn(&self, state: &mut State, host: usize) -> Option<()> {
        let collector = state.hosts[host].collector.clone()?;
        for id in state.ids().filter(|id| collector.may_leave(*id)) {
            if has(collector.named, id) {
                continue;
            }
            let segment = state.segment_mut(id);
            let old = |row: Row| row.named_mark < collector.mark || self.has(Bug::NoNamedMarkCheck);
            match segment.row {
                Some(row) if row.state == RowState::Sealed && old(row) => {
                    segment.row = Some(Row { state: RowState::Condemned, ..row });
                }
                Some(row)
                    if matches!(row.state, RowState::Forwarded(_)) && old(row) && !segment.file =>
                {
                    segment.row = None;
                }
                // Of an ingest that failed or crashed, or of a removal that did.
                None if segment.file && segment.cold => {
                    segment.row = Some(Row { state: RowState::Condemned, named_mark: 0 });
                }
                _ => {}
            }
        }
        let collector = state.hosts[host].collector.as_mut()?;
        collector.stage = Stage::Condemned;
        if !self.compaction && !self.has(Bug::BackupAfterRemoval) {
            state.hosts[host].collector = None;
        }
        Some(())
    }

    /// Copies the live part of a victim to a new segment, whose footer says what went
    /// where. One chunk may be found stored instead.
    fn compact(
        &self,
        state: &mut State,
        host: usize,
        victim: u8,
        shared: Option<Location>,
    ) -> Option<()> {
        let collector = state.hosts[host].collector.clone()?;
        let old = state.segment(victim).clone();
        if !old.sealed() || !old.file || !has(collector.named, victim) {
            return None;
        }
        let carrier = self.allocate(state, Segment::default())?;
        let life = state.segment(carrier).life;
        let mut new = Segment { file: true, cold: true, life, ..Segment::default() };
        let mut free = shared;
        for (item, what) in old.items.iter().enumerate() {
            let from = state.place(victim, item);
            if !collector.live.contains(&from) {
                continue;
            }
            let copy = Location { segment: carrier, item: new.items.len() as u8, life };
            let to = if *what == Item::Data { free.take().unwrap_or(copy) } else { copy };
            if to == copy {
                new.items.push(what.clone());
            }
            new.table.push((from, to));
        }
        if free.is_some() {
            return None;
        }
        if !self.has(Bug::TableLeftBehind) {
            // Who is forwarded to the victim is forwarded to its successor.
            let moved =
                |to: &Location| new.table.iter().find(|(from, _)| from == to).map(|(_, to)| *to);
            let inherited: Vec<_> = old
                .table
                .iter()
                .filter_map(|(from, to)| {
                    let to = if to.segment == victim { moved(to)? } else { *to };
                    Some((*from, to))
                })
                .collect();
            new.table.extend(inherited);
        }
        *state.segment_mut(carrier) = new;
        let host = &mut state.hosts[host];
        host.under_way |= bit(carrier);
        host.collector.as_mut()?.copied = Some(Copied { victim, carrier, shared });
        Some(())
    }

    /// The transaction of a compaction; one that is refused leaves a segment that nobody
    /// names.
    fn commit_compaction(&self, state: &mut State, host: usize) -> Option<()> {
        let collector = state.hosts[host].collector.as_mut()?;
        let mark = collector.mark;
        let Copied { victim, carrier, shared } = collector.copied.take()?;
        let unchecked = self.has(Bug::CompactionSharesUnchecked);
        let row = state.segment(victim).row?;
        let fresh = row.named_mark < mark || self.has(Bug::ForwardWithoutRecheck);
        let sealed = row.state == RowState::Sealed;
        let may_share = shared.is_none_or(|shared| unchecked || self.may_share(state, shared));
        state.hosts[host].under_way &= !bit(carrier);
        if !(fresh && sealed && may_share) {
            return Some(());
        }
        if let Some(shared) = shared.filter(|_| !unchecked) {
            self.share(state, shared);
        }
        self.record(state, carrier);
        for id in state.ids() {
            let segment = state.segment_mut(id);
            if (id == victim || segment.forwarded_to() == Some(victim))
                && let Some(row) = &mut segment.row
                && (id == victim || !self.has(Bug::TableLeftBehind))
            {
                row.state = RowState::Forwarded(carrier);
            }
        }
        Some(())
    }

    fn end(&self, state: &mut State, host: usize) -> Option<()> {
        let collector = state.hosts[host].collector.take()?;
        if let Some(copied) = &collector.copied {
            state.hosts[host].under_way &= !bit(copied.carrier);
        }
        if self.has(Bug::BackupAfterRemoval) {
            back_up(state, &collector, self.has(Bug::BackupByMark));
        }
        Some(())
    }

    /// A transaction makes a removal certain: from here on nobody can rescue the segment.
    fn start_removal(&self, state: &mut State, host: usize, segment: u8) {
        let at = state.segment_mut(segment);
        if self.has(Bug::UnlinkWhileCondemned) && at.file {
            at.unlink();
        } else if self.has(Bug::RowBeforeFile) {
            at.row = None;
            state.hosts[host].unlinking |= bit(segment);
        } else if let Some(row) = &mut at.row {
            row.state = RowState::Removing;
        }
    }
}

/// T0: one transaction reads the catalog's roots. The backup is of this instant.
fn read_roots(state: &mut State, host: usize) -> Option<()> {
    state.reads += 1;
    let (read, roots) = (state.reads, state.roots());
    for reader in state.hosts.iter_mut().map(|host| &mut host.reader) {
        if let Reader::LookedUp { old, .. } = reader {
            *old = true;
        }
    }
    let collector = state.hosts[host].collector.as_mut()?;
    collector.stage = Stage::Rooted;
    collector.read = read;
    collector.roots = roots;
    Some(())
}

/// The file goes, then the row: a crash between finds the row, and whoever finds it
/// goes on.
fn finish_removal(state: &mut State, segment: u8) {
    let at = state.segment_mut(segment);
    if at.file {
        at.unlink();
    } else {
        at.row = None;
    }
}

/// A file goes without a row that says so.
fn unlink(state: &mut State, host: usize, segment: u8) {
    state.hosts[host].unlinking &= !bit(segment);
    state.segment_mut(segment).unlink();
}

impl Collector {
    /// Whether a segment is old enough to be decided about.
    fn may_leave(&self, id: u8) -> bool {
        id < self.horizon && !has(self.spared, id)
    }
}

/// Makes the backup of a mark durable. A younger one stays: younger is what was read later, and
/// of two marks the greater may be read first.
fn back_up(state: &mut State, collector: &Collector, by_mark: bool) {
    let age = if by_mark { collector.mark } else { collector.read };
    if age > state.backup.0 {
        state.backup = (age, collector.roots.clone());
    }
}

/// A read of a condemned segment is an alarm; the segment is kept.
fn rescue(state: &mut State, segment: u8) -> Option<()> {
    state.rescues += 1;
    let row = state.segment_mut(segment).row.as_mut()?;
    row.state = RowState::Sealed;
    Some(())
}
