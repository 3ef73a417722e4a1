//! The one binary: words in, words out.

fn main() {}
