//! Names to durable maps: catalog, leases, and the use cases as verbs.
