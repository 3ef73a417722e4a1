//! Clock, randomness, threads and disk behind traits, so that the simulator can own them.
