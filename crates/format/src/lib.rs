//! Every persisted byte: segments, log batches, footers, map nodes, the transfer stream. Pure.
