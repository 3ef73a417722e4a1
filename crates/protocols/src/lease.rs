//! Who may write a volume, while others take it over.
//!
//! Hosts take a lease in the catalog (each time a new epoch), write records to their
//! own logs in the shared pool, acknowledge them, make checkpoints, pause for as long as
//! they like, and go on as if nothing had happened. Others take over: after the lease
//! expired, after a release, or waiting for either in standby.
//!
//! A write is a record with an identity, and what a volume contains is the set of records
//! in it: epoch and position order them, so that a set says what the bytes are. A record
//! that was sent may arrive at the pool at any later time, also after its sender crashed
//! or was fenced: no pool is asked to refuse it.

mod property;

use stateright::{Model, Property};

/// Records, one bit each.
pub type Records = u8;

/// Ticks for which a lease is given.
const TERM: u8 = 3;
/// Ticks by which two clocks may differ.
const SKEW: u8 = 1;
/// Ticks before its end from which an owner does not count on a lease any more.
const MARGIN: u8 = 1;

const _: () = assert!(MARGIN >= SKEW && TERM > MARGIN);

/// A rule left out, on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bug {
    /// A write is acknowledged without a look at the clock after it is durable.
    AckAfterExpiry,
    /// The clock is looked at before the write is sent, not after it is durable.
    ClockReadBeforeWrite,
    /// An owner counts on its lease to the end.
    NoMargin,
    /// The term of a renewal is counted from the answer, not from the question.
    TermFromAnswer,
    /// A checkpoint moves the head without `epoch = mine`.
    HeadUnfenced,
    /// A new owner does not record what of the old logs counts.
    NoCut,
    /// A new owner records it without `epoch = mine`.
    CutUnfenced,
    /// A take-over keeps the epoch.
    EpochKept,
    /// A lease is released before its owner stops.
    ReleaseBeforeStop,
    /// What a standby read in advance is not read again after the take-over.
    StandbyNotReread,
    /// A take-over reads the head and no log.
    LogNotRead,
    /// A take-over does not wait for the end of the lease.
    TakenBeforeExpiry,
}

impl Bug {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AckAfterExpiry,
        Self::ClockReadBeforeWrite,
        Self::NoMargin,
        Self::TermFromAnswer,
        Self::HeadUnfenced,
        Self::NoCut,
        Self::CutUnfenced,
        Self::EpochKept,
        Self::ReleaseBeforeStop,
        Self::StandbyNotReread,
        Self::LogNotRead,
        Self::TakenBeforeExpiry,
    ];
}

/// The bounds of a search.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// Hosts.
    pub hosts: usize,
    /// Writes in all.
    pub writes: usize,
    /// Take-overs in all.
    pub epochs: u8,
    /// The last tick.
    pub ticks: u8,
    /// Crashes of hosts.
    pub crashes: u8,
    /// The rule that is left out.
    pub bug: Option<Bug>,
}

impl Config {
    /// What the tests search.
    pub const fn small(hosts: usize) -> Self {
        Self { hosts, writes: 2, epochs: 3, ticks: 5, crashes: 1, bug: None }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

/// What a host is to the volume, as it knows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Nothing.
    Idle,
    /// Waiting, with what it has read in advance.
    Standby(Records),
    /// It has the lease, and nothing of the volume.
    Taking(Records),
    /// It has read head and logs.
    Read(Records),
    /// It serves the volume.
    Owner {
        /// What the volume contains.
        has: Records,
        /// When it asked for more time.
        asked: Option<u8>,
        /// A checkpoint that is durable and not committed.
        checkpoint: Option<Records>,
    },
}

/// A host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Host {
    /// What it is.
    pub role: Role,
    /// Its epoch.
    pub epoch: u8,
    /// The end of its lease, as it knows.
    pub end: u8,
    /// Records sent with a lease that was good by the clock: only a bug looks here.
    pub good_when_sent: Records,
}

/// A record that was sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Under which epoch.
    pub epoch: u8,
    /// By whom.
    pub host: usize,
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    /// The time.
    pub now: u8,
    /// The catalog: the epoch of the volume.
    pub epoch: u8,
    /// The catalog: who has the lease, until when.
    pub lease: Option<(usize, u8)>,
    /// The catalog: the head's records.
    pub head: Records,
    /// The catalog: what counts of records older than an epoch.
    pub cut: (u8, Records),
    /// All records sent.
    pub sent: Vec<Record>,
    /// Those in the pool.
    pub arrived: Records,
    /// Those acknowledged.
    pub acknowledged: Records,
    /// Whether a head of an old epoch was ever published.
    pub stale_head: bool,
    /// The hosts.
    pub hosts: Vec<Host>,
    /// Crashes so far.
    pub crashes: u8,
}

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "each is told where it is applied")]
pub enum Action {
    Tick,
    WaitInStandby(usize),
    Take(usize),
    ReadLogs(usize),
    CommitCut(usize),
    Write(usize),
    Arrive(usize),
    Acknowledge(usize, usize),
    AskForTime(usize),
    Renew(usize),
    Persist(usize),
    CommitCheckpoint(usize),
    Release(usize),
    Crash(usize),
}

impl State {
    /// What a take-over would find now, apart from records of `epoch` on.
    pub fn found(&self, epoch: u8) -> Records {
        let mut found = self.head;
        for (at, record) in self.sent.iter().enumerate() {
            let bit = 1 << at;
            let cut_off = record.epoch < self.cut.0 && self.cut.1 & bit == 0;
            if self.arrived & bit != 0 && record.epoch < epoch && !cut_off {
                found |= bit;
            }
        }
        found
    }
}

impl Model for Config {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let idle = Host { role: Role::Idle, epoch: 0, end: 0, good_when_sent: 0 };
        vec![State {
            now: 0,
            epoch: 0,
            lease: None,
            head: 0,
            cut: (0, 0),
            sent: Vec::new(),
            arrived: 0,
            acknowledged: 0,
            stale_head: false,
            hosts: vec![idle; self.hosts],
            crashes: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        actions.extend((0..state.sent.len()).map(Action::Arrive));
        for (host, at) in state.hosts.iter().enumerate() {
            match &at.role {
                Role::Idle => actions.extend([Action::WaitInStandby(host), Action::Take(host)]),
                Role::Standby(_) => actions.push(Action::Take(host)),
                Role::Taking(_) => actions.push(Action::ReadLogs(host)),
                Role::Read(_) => actions.push(Action::CommitCut(host)),
                Role::Owner { asked, checkpoint, .. } => {
                    actions.push(Action::Write(host));
                    actions.extend(
                        (0..state.sent.len()).map(|record| Action::Acknowledge(host, record)),
                    );
                    actions.push(if asked.is_some() {
                        Action::Renew(host)
                    } else {
                        Action::AskForTime(host)
                    });
                    actions.push(if checkpoint.is_some() {
                        Action::CommitCheckpoint(host)
                    } else {
                        Action::Persist(host)
                    });
                    actions.push(Action::Release(host));
                }
            }
            if state.crashes < self.crashes && at.role != Role::Idle {
                actions.push(Action::Crash(host));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Arrive(record) => state.arrived |= 1 << record,
            Action::WaitInStandby(host) => {
                state.hosts[host].role = Role::Standby(state.found(u8::MAX));
            }
            Action::Take(host) => self.take(&mut state, host)?,
            Action::ReadLogs(host) => self.read_logs(&mut state, host)?,
            Action::CommitCut(host) => self.commit_cut(&mut state, host)?,
            Action::Write(host) => self.write(&mut state, host)?,
            Action::Acknowledge(host, record) => self.acknowledge(&mut state, host, record)?,
            Action::AskForTime(host) => {
                let Role::Owner { asked, .. } = &mut state.hosts[host].role else { return None };
                *asked = Some(state.now);
            }
            Action::Renew(host) => self.renew(&mut state, host)?,
            Action::Persist(host) => persist(&mut state, host)?,
            Action::CommitCheckpoint(host) => self.commit_checkpoint(&mut state, host)?,
            Action::Release(host) => self.release(&mut state, host)?,
            Action::Crash(host) => {
                state.crashes += 1;
                reset(&mut state.hosts[host]);
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all()
    }
}

impl Config {
    /// Whether a host may count on its lease.
    fn good(&self, state: &State, host: usize) -> bool {
        let margin = if self.has(Bug::NoMargin) { 0 } else { MARGIN };
        state.now + margin < state.hosts[host].end
    }

    /// The transaction that takes a lease: it is free, or ended by a clock that may be
    /// early, or the host's own from before a crash.
    fn take(&self, state: &mut State, host: usize) -> Option<()> {
        let free = state.lease.is_none_or(|(owner, end)| {
            owner == host || state.now + SKEW >= end || self.has(Bug::TakenBeforeExpiry)
        });
        if !free || state.epoch >= self.epochs {
            return None;
        }
        if state.epoch == 0 || !self.has(Bug::EpochKept) {
            state.epoch += 1;
        }
        state.lease = Some((host, state.now + TERM));
        let at = &mut state.hosts[host];
        at.epoch = state.epoch;
        at.end = state.now + TERM;
        at.role = Role::Taking(if let Role::Standby(known) = at.role { known } else { 0 });
        Some(())
    }

    /// Reads the head and all logs. Others may still be writing to theirs.
    fn read_logs(&self, state: &mut State, host: usize) -> Option<()> {
        let Role::Taking(known) = state.hosts[host].role else { return None };
        let epoch = state.hosts[host].epoch;
        let found = if self.has(Bug::LogNotRead) {
            state.head
        } else if self.has(Bug::StandbyNotReread) && known != 0 {
            known
        } else {
            state.found(epoch)
        };
        state.hosts[host].role = Role::Read(found);
        Some(())
    }

    /// The transaction that says which records of older epochs count, for ever: what
    /// arrives later does not. The host serves the volume only after it.
    fn commit_cut(&self, state: &mut State, host: usize) -> Option<()> {
        let Role::Read(has) = state.hosts[host].role else { return None };
        let epoch = state.hosts[host].epoch;
        if epoch != state.epoch && !self.has(Bug::CutUnfenced) {
            reset(&mut state.hosts[host]);
            return Some(());
        }
        if !self.has(Bug::NoCut) {
            state.cut = (epoch, has);
        }
        state.hosts[host].role = Role::Owner { has, asked: None, checkpoint: None };
        Some(())
    }

    /// A guest writes. The host may have been fenced long ago.
    fn write(&self, state: &mut State, host: usize) -> Option<()> {
        if state.sent.len() >= self.writes {
            return None;
        }
        let good = self.has(Bug::ClockReadBeforeWrite) && self.good(state, host);
        let bit = 1 << state.sent.len();
        let at = &mut state.hosts[host];
        let Role::Owner { has, .. } = &mut at.role else { return None };
        *has |= bit;
        if good {
            at.good_when_sent |= bit;
        }
        state.sent.push(Record { epoch: at.epoch, host });
        Some(())
    }

    /// A flush returns to the guest: the record is in the pool, and after that was known
    /// the lease was still good.
    fn acknowledge(&self, state: &mut State, host: usize, record: usize) -> Option<()> {
        let bit = 1 << record;
        let at = &state.hosts[host];
        let sent = &state.sent[record];
        let good = match self.bug {
            Some(Bug::AckAfterExpiry) => true,
            Some(Bug::ClockReadBeforeWrite) => at.good_when_sent & bit != 0,
            _ => self.good(state, host),
        };
        if sent.host != host || sent.epoch != at.epoch || state.arrived & bit == 0 || !good {
            return None;
        }
        state.acknowledged |= bit;
        Some(())
    }

    /// The transaction that gives more time, and its answer.
    fn renew(&self, state: &mut State, host: usize) -> Option<()> {
        let now = state.now;
        let at = &mut state.hosts[host];
        let Role::Owner { asked, .. } = &mut at.role else { return None };
        let end = asked.take()? + TERM;
        if at.epoch != state.epoch || state.lease.is_none_or(|(owner, _)| owner != host) {
            reset(at);
            return Some(());
        }
        state.lease = state.lease.map(|(owner, before)| (owner, before.max(end)));
        at.end = at.end.max(if self.has(Bug::TermFromAnswer) { now + TERM } else { end });
        Some(())
    }

    /// The transaction that moves the head, `WHERE epoch = mine`.
    fn commit_checkpoint(&self, state: &mut State, host: usize) -> Option<()> {
        let at = &mut state.hosts[host];
        let Role::Owner { checkpoint, .. } = &mut at.role else { return None };
        let new = checkpoint.take()?;
        if at.epoch == state.epoch {
            state.head = new;
        } else if self.has(Bug::HeadUnfenced) {
            state.head = new;
            state.stale_head = true;
        } else {
            reset(at);
        }
        Some(())
    }

    /// Gives the lease back: no write is on its way, none comes, and then the transaction.
    fn release(&self, state: &mut State, host: usize) -> Option<()> {
        let (early, epoch) = (self.has(Bug::ReleaseBeforeStop), state.hosts[host].epoch);
        if !early && on_the_way(state, host) {
            return None;
        }
        if epoch == state.epoch {
            state.lease = None;
        }
        if !early {
            reset(&mut state.hosts[host]);
        }
        Some(())
    }
}

/// Everything so far becomes a map, once it is all in the pool.
fn persist(state: &mut State, host: usize) -> Option<()> {
    if on_the_way(state, host) {
        return None;
    }
    let head = state.head;
    let Role::Owner { has, checkpoint, .. } = &mut state.hosts[host].role else { return None };
    if *has == head {
        return None;
    }
    *checkpoint = Some(*has);
    Some(())
}

fn on_the_way(state: &State, host: usize) -> bool {
    let Role::Owner { has, .. } = state.hosts[host].role else { return false };
    has & !state.arrived != 0
}

fn reset(host: &mut Host) {
    *host = Host { role: Role::Idle, epoch: 0, end: 0, good_when_sent: 0 };
}

#[cfg(test)]
mod tests;
