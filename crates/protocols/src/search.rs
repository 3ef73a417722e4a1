//! Visits every state of a model.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroUsize;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Different states visited.
    pub states: usize,
    /// Steps made, those to known states too.
    pub steps: usize,
    /// The most steps from the beginning.
    pub depth: usize,
    /// Properties that must hold and do not, each with a shortest way there.
    pub broken: Vec<Broken>,
    /// Properties of the kind "this can happen" that nothing was found for.
    pub never: Vec<&'static str>,
}

/// A property that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Its name.
    pub property: &'static str,
    /// The steps to a state where it does not, and that state at the end.
    pub trace: Vec<String>,
}

impl Outcome {
    /// A way to a state in which `property` does not hold.
    pub fn trace(&self, property: &str) -> Option<&[String]> {
        let found = self.broken.iter().find(|broken| broken.property == property);
        found.map(|broken| broken.trace.as_slice())
    }

    /// Whether all that must hold holds and all that should happen can.
    pub fn good(&self) -> bool {
        self.broken.is_empty() && self.never.is_empty()
    }
}

/// Visits every state breadth first, or until something is broken, on `threads`.
///
/// Two states whose hashes of 64 bits agree count as one; with 10^8 states the odds of
/// that are below one in a thousand.
pub fn every_state<M>(model: M, threads: NonZeroUsize) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    search(model, threads, HasDiscoveries::AnyFailures)
}

/// Visits states breadth first until `property` is found to be broken, whatever else is.
pub fn until_broken<M>(model: M, property: &'static str) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    search(model, NonZeroUsize::MIN, HasDiscoveries::AnyOf(BTreeSet::from([property])))
}

fn search<M>(model: M, threads: NonZeroUsize, until: HasDiscoveries) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync,
{
    let properties = model.properties();
    let checker = model.checker().threads(threads.get()).finish_when(until).spawn_bfs().join();
    let found = checker.discoveries();
    let mut outcome = Outcome {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        broken: Vec::new(),
        never: Vec::new(),
    };
    for Property { expectation, name, .. } in properties {
        match (expectation, found.get(name)) {
            (Expectation::Sometimes, None) => outcome.never.push(name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => {
                let mut trace: Vec<String> = path
                    .clone()
                    .into_vec()
                    .into_iter()
                    .filter_map(|(_, action)| action.map(|action| format!("{action:?}")))
                    .collect();
                trace.push(format!("{:?}", path.last_state()));
                outcome.broken.push(Broken { property: name, trace });
            }
        }
    }
    outcome
}
