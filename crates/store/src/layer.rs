//! What goes round a store: each layer is a [`Store`](crate::Store) over a store.

mod cached;
mod faulty;
mod metered;
mod retry;
mod throttled;

pub use cached::Cached;
pub use faulty::{Effect, Failure, Fault, Faulty, Op};
pub use metered::{Metered, OpCounts};
pub use retry::{Patience, Retrying};
pub(crate) use throttled::Limits;
pub use throttled::{BURST, Rates, Throttled};
