//! Backends for segments, and the layers around them.
