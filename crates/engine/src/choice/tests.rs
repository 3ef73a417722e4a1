//! Facts about the choice.
