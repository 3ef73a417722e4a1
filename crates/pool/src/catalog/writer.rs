//! The connection that writes, and group commit: whoever waited for it goes on in the
//! transaction of the one before, and one commit, with its sync, is for all of them.
//!
//! Each does its changes in a savepoint, so that one who fails takes back nothing of the
//! others, and sees what those before it did. Nobody returns before the commit: what a caller
//! is told is durable, and when the commit fails, nothing of any of them has happened.
//!
//! # Architecture invariant
//! What runs in a transaction takes no lock that anybody holds while they change the catalog:
//! those before it in the group wait until it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::connection::Pen;
use super::{CatalogError, Tx};

/// So many share a commit at most: each waits for all that come behind it.
const MEMBERS_MAX: usize = 64;

/// The connection that writes.
pub(super) struct Writer {
    turn: Mutex<Turn>,
    /// Who waits for the turn, or is about to. Each will have it.
    queued: AtomicUsize,
    /// Transactions that changed something, or might have.
    changes: AtomicU64,
}

/// What whoever has the turn works with.
struct Turn {
    /// `None` once it was closed.
    pen: Option<Pen>,
    group: Option<Group>,
}

/// Those who share the transaction under way.
struct Group {
    end: Arc<End>,
    members: usize,
    /// How many of them count as changes.
    counted: u64,
}

/// The end of a group, which its members wait for.
#[derive(Default)]
struct End {
    outcome: Mutex<Option<Outcome>>,
    came: Condvar,
}

/// What became of a group.
#[derive(Clone)]
pub(super) enum Outcome {
    Committed,
    Failed(Arc<CatalogError>),
    /// The database took all of it back, since something of it failed.
    TakenBack,
}

impl Writer {
    pub fn new(pen: Pen) -> Self {
        Self {
            turn: Mutex::new(Turn { pen: Some(pen), group: None }),
            queued: AtomicUsize::new(0),
            changes: AtomicU64::new(0),
        }
    }

    /// How many transactions have changed the catalog since it was opened.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// How many wait for their turn.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// Ends the use of the connection; what was done with it is committed.
    pub fn close(&self) {
        let mut turn = self.turn.lock();
        self.commit(&mut turn);
        turn.pen = None;
    }

    /// Runs `body` alone. What it changed is durable on return, or nothing is, when it or the
    /// commit fails. `counts`: whether that is a change that [`Self::changes`] counts.
    pub fn transact<T, E: From<CatalogError>>(
        &self,
        body: impl FnOnce(&Tx<'_>) -> Result<T, E>,
        counts: bool,
    ) -> Result<T, E> {
        self.queued.fetch_add(1, Ordering::AcqRel);
        let turn = self.turn.lock();
        self.queued.fetch_sub(1, Ordering::AcqRel);
        let member = Member::begin(self, turn)?;
        let result = body(&member.tx()?);
        let end = member.end(result.is_ok(), counts)?;
        let outcome = end.map_or(Outcome::Committed, |end| end.wait());
        let value = result?;
        match outcome {
            Outcome::Committed => Ok(value),
            Outcome::Failed(error) => Err(CatalogError::Commit(error).into()),
            Outcome::TakenBack => Err(CatalogError::TakenBack.into()),
        }
    }

    /// Ends the transaction under way, if there is one.
    fn commit(&self, turn: &mut Turn) {
        let Some(group) = turn.group.take() else { return };
        let committed = turn.pen.as_mut().map_or(Outcome::TakenBack, Pen::commit);
        match committed {
            // Before another transaction begins: who sees this change must find it counted.
            Outcome::Committed => drop(self.changes.fetch_add(group.counted, Ordering::AcqRel)),
            Outcome::Failed(_) => turn.take_back(),
            Outcome::TakenBack => {}
        }
        group.end.come(committed);
    }
}

impl End {
    fn come(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.came.notify_all();
    }

    fn wait(&self) -> Outcome {
        let mut outcome = self.outcome.lock();
        loop {
            match &*outcome {
                Some(outcome) => return outcome.clone(),
                None => self.came.wait(&mut outcome),
            }
        }
    }
}

impl Turn {
    /// Takes back all that was not committed. Where that fails, nobody writes any more: what is
    /// half done must not be committed with what comes.
    fn take_back(&mut self) {
        let Some(pen) = &self.pen else { return };
        if let Err(error) = pen.rollback() {
            tracing::error!(%error, "a transaction of the catalog cannot be taken back");
            self.pen = None;
        }
    }
}

/// Whoever has the turn. However it is left, nobody waits for ever.
struct Member<'a> {
    writer: &'a Writer,
    turn: MutexGuard<'a, Turn>,
    /// Others of the group were there before.
    nested: bool,
    ended: bool,
}

impl<'a> Member<'a> {
    fn begin(writer: &'a Writer, mut turn: MutexGuard<'a, Turn>) -> Result<Self, CatalogError> {
        let nested = turn.group.is_some();
        let pen = turn.pen.as_mut().ok_or(CatalogError::Closed)?;
        let begun = match nested {
            true => pen.session().batch("SAVEPOINT member"),
            false => pen.begin(),
        };
        if let Err(error) = begun {
            // Those before have nobody else who ends it.
            writer.commit(&mut turn);
            return Err(error);
        }
        if !nested {
            turn.group = Some(Group { end: Arc::default(), members: 0, counted: 0 });
        }
        Ok(Self { writer, turn, nested, ended: false })
    }

    fn pen(&self) -> Result<&Pen, CatalogError> {
        self.turn.pen.as_ref().ok_or(CatalogError::Closed)
    }

    fn tx(&self) -> Result<Tx<'_>, CatalogError> {
        let not_committed = self.turn.group.as_ref().map_or(0, |group| group.counted);
        let changes = self.writer.changes() + not_committed;
        Ok(Tx { session: self.pen()?.session(), changes })
    }

    /// Keeps or takes back what was done, and ends the transaction unless others go on with
    /// it. Gives what is to be waited for.
    fn end(mut self, keep: bool, counts: bool) -> Result<Option<Arc<End>>, CatalogError> {
        let pen = self.pen()?;
        let over = pen.is_over();
        let left = match (self.nested, keep) {
            _ if over => Ok(()),
            (true, true) => pen.session().batch("RELEASE member"),
            (true, false) => pen.session().batch("ROLLBACK TO member; RELEASE member"),
            (false, _) => Ok(()),
        };
        if left.is_err() || !self.nested && !keep {
            self.turn.take_back();
        }
        self.ended = true;
        let Some(group) = &mut self.turn.group else { return Ok(None) };
        let end = Arc::clone(&group.end);
        group.members += 1;
        group.counted += u64::from(keep && counts);
        let lost = over || left.is_err() || !self.nested && !keep;
        let more = self.writer.queued.load(Ordering::Acquire) > 0 && group.members < MEMBERS_MAX;
        if lost || !more {
            let writer = self.writer;
            writer.commit(&mut self.turn);
        }
        left?;
        Ok(Some(end))
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // The body panicked: what it did is not known to be whole.
        if !self.ended {
            self.turn.take_back();
            let writer = self.writer;
            writer.commit(&mut self.turn);
        }
    }
}

#[cfg(test)]
mod tests;
