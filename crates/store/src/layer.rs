//! What goes round a store: each layer is a [`Store`](crate::Store) over a store.

mod faulty;
mod metered;

pub use faulty::{Effect, Failure, Fault, Faulty, Op};
pub use metered::{Metered, OpCounts};
