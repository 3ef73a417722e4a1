//! Models of two protocols in which thinking is not enough: [`collection`] (who may
//! remove what, while others name it) and [`lease`] (who may write a volume, while
//! others take it over). A checker visits every state within the bounds of a scenario.
//!
//! Nothing here runs code of the product. A model says what the steps are and which of
//! them are atomic; the product has to make them so. Each rule has a [`collection::Bug`]
//! or [`lease::Bug`] that leaves it out, and a test that shows what happens then.
//! Stated in words, with what the models leave out: `docs/adr/0006-collection-protocol.md`.

pub mod collection;
pub mod lease;
pub mod search;
