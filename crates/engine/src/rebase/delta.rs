//! Extents of which the last that was put somewhere wins.

use std::collections::BTreeMap;

use archipelago_model::Extent;

/// By first sector; they do not overlap.
#[derive(Default)]
pub(super) struct Delta {
    extents: BTreeMap<u64, Extent>,
}

impl Delta {
    pub(super) fn len(&self) -> usize {
        self.extents.len()
    }

    /// All, ascending.
    pub(super) fn extents(&self) -> impl Iterator<Item = Extent> {
        self.extents.values().copied()
    }

    /// Puts an extent over what is there.
    pub(super) fn insert(&mut self, extent: Extent) {
        let (start, end) = (extent.start(), extent.end());
        let before = self.extents.range(..start).next_back().map(|(_, before)| *before);
        if let Some(before) = before.filter(|before| before.end() > start) {
            self.extents.remove(&before.start());
            self.keep(before.clip(&(before.start()..start)));
            self.keep(before.clip(&(end..before.end())));
        }
        let hidden: Vec<Extent> = self.extents.range(start..end).map(|(_, over)| *over).collect();
        for over in hidden {
            self.extents.remove(&over.start());
            self.keep(over.clip(&(end..over.end())));
        }
        self.extents.insert(start, extent);
    }

    fn keep(&mut self, part: Option<Extent>) {
        if let Some(part) = part {
            self.extents.insert(part.start(), part);
        }
    }
}
