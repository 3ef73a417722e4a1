//! The rule, as it is asked of those who have something open by a ticket.

use archipelago_model::SnapshotId;

use super::owned::{Sight, rules};
use crate::catalog::identity::{account, credential, group, user};
use crate::catalog::snapshot::SnapshotRow;
use crate::catalog::{Tx, grant};
use crate::error::Error;
use crate::grant::{Action, Layer, Shared, Subject, decide};
use crate::hold::Holder;
use crate::identity::Named;
use crate::service::identity::admitted;

/// Somebody who acts for an account, by an application credential perhaps, if all that is there
/// still and may come in.
pub(super) fn subject_of(
    tx: &Tx<'_>,
    user: [u8; 16],
    account: [u8; 16],
    credential: Option<[u8; 16]>,
    now_ms: u64,
) -> Result<Option<Subject>, Error> {
    let (user, account) = (Named::uuid(user), Named::uuid(account));
    let Some((user, account)) = user::find(tx, &user)?.zip(account::find(tx, &account)?) else {
        return Ok(None);
    };
    if let Some(uuid) = credential {
        let row = credential::find(tx, &hex::encode(uuid))?;
        let counts = row.map(|row| row.credential).is_some_and(|one| {
            (one.user.id, one.account.id) == (user.id, account.id)
                && one.expires_ms.is_none_or(|ends| ends > now_ms)
        });
        if !counts {
            return Ok(None);
        }
    }
    let groups = group::of_user(tx, user.id)?;
    let identity = admitted(tx, user, account)?;
    Ok(identity.map(|identity| Subject { identity: Some(identity), groups }))
}

fn subject(tx: &Tx<'_>, holder: &Holder, now_ms: u64) -> Result<Option<Subject>, Error> {
    subject_of(tx, holder.user, holder.account, holder.credential, now_ms)
}

/// Whether somebody may still have what it has open. By identity: another name changes nothing.
pub(crate) fn admits(tx: &Tx<'_>, holder: &Holder, now_ms: u64) -> Result<bool, Error> {
    may(tx, holder, holder.action, &holder.shared, now_ms)
}

/// Whether somebody may read a snapshot of the volume that it has open something of.
pub(crate) fn reads_snapshot(
    tx: &Tx<'_>,
    holder: &Holder,
    snapshot: SnapshotId,
    now_ms: u64,
) -> Result<bool, Error> {
    may(tx, holder, Action::Read, &Shared::Snapshot(snapshot), now_ms)
}

fn may(
    tx: &Tx<'_>,
    holder: &Holder,
    action: Action,
    shared: &Shared,
    now_ms: u64,
) -> Result<bool, Error> {
    let Some(subject) = subject(tx, holder, now_ms)? else { return Ok(false) };
    let layers = vec![(Layer::Resource, grant::of(tx, shared)?)];
    Ok(decide(&subject, action, &rules(Some(holder.owner), layers, now_ms)).allowed)
}

/// Those snapshots that somebody may read.
pub(crate) fn snapshots_read(
    tx: &Tx<'_>,
    holder: &Holder,
    mut rows: Vec<SnapshotRow>,
    now_ms: u64,
) -> Result<Vec<SnapshotRow>, Error> {
    let Some(subject) = subject(tx, holder, now_ms)? else { return Ok(Vec::new()) };
    let sight = Sight::new(tx, &subject, now_ms)?;
    rows.retain(|row| sight.has(row.path.volume.owner(), &Shared::Snapshot(row.id)));
    Ok(rows)
}
