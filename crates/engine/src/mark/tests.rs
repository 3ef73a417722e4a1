//! Facts about marks.
