//! `bench objects`: S3 beside other servers of it, on the same disk in the same run.

mod client;
mod large;
mod parts;
mod servers;
mod small;

use serde_json::{Value, json};

pub use self::large::large;
pub use self::parts::{memory, parts};
pub use self::servers::{PEERS, Peer};
pub use self::small::{listing, small};
use super::Bench;
use super::report::{Table, Target};
use super::statistics::{median, ratio, short};

/// One figure of one peer in one round.
struct Sample {
    peer: Peer,
    what: String,
    value: f64,
}

/// The figures of a section.
#[derive(Default)]
struct Samples(Vec<Sample>);

impl Samples {
    fn add(&mut self, peer: Peer, what: impl Into<String>, value: f64) {
        self.0.push(Sample { peer, what: what.into(), value });
    }

    /// The median of the rounds.
    fn of(&self, peer: Peer, what: &str) -> Option<f64> {
        let found = self.0.iter().filter(|one| one.peer == peer && one.what == what);
        median(&found.map(|one| one.value).collect::<Vec<_>>())
    }

    /// How much more than a peer ours is, or how much less where less is better.
    fn against(&self, peer: Peer, what: &str) -> Option<f64> {
        Some(self.of(Peer::Archipelago, what)? / self.of(peer, what)?)
    }

    /// A row for each figure, a column for each peer.
    fn table(&self, caption: &str) -> Table {
        let names = PEERS.map(Peer::name);
        let header = [&["what"], &names[..], &["to s3s-fs", "to the gateway"]].concat();
        let mut table = Table::new(caption, &header);
        let mut seen: Vec<&str> = Vec::new();
        for what in self.0.iter().map(|one| one.what.as_str()) {
            if !seen.contains(&what) {
                seen.push(what);
            }
        }
        for what in seen {
            let all = PEERS.map(|peer| self.of(peer, what));
            let mut row = vec![what.to_owned()];
            row.extend(all.map(|value| value.map_or("-".to_owned(), short)));
            row.extend([ratio(all[0], all[1]), ratio(all[0], all[2])]);
            table.row(row);
        }
        table
    }

    /// At least as fast as the gateway, which keeps what it acknowledges as ours does.
    fn targets(&self, all: &[&str]) -> Vec<Target> {
        let target = |what: &&str| {
            let name = format!("{what}, to the RADOS gateway");
            Target::at_least(&name, 1.0, self.against(Peer::Gateway, what))
        };
        all.iter().map(target).collect()
    }

    fn raw(&self) -> Value {
        let one =
            |one: &Sample| json!({ "peer": one.peer.name(), "what": one.what, "value": one.value });
        self.0.iter().map(one).collect()
    }
}

/// The peers that are here; of the others it is said how to get them.
fn present(bench: &Bench) -> Vec<Peer> {
    let is_there = |peer: &Peer| match peer.missing() {
        None => true,
        Some(remedy) => {
            bench.say(&format!("without {}; for it: {remedy}", peer.name()));
            false
        }
    };
    PEERS.into_iter().filter(is_there).collect()
}
