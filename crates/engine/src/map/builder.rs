//! Writing a run: leaves as they fill, index nodes above them, nothing twice.

use archipelago_format::node::{Child, ENTRIES_MAX, Node, Run};
use archipelago_model::{Extent, Location};

use crate::error::Error;

/// Where nodes are appended.
pub(crate) trait NodeSink {
    /// Appends an encoded node and tells where it is. It need not be durable yet.
    fn append_node(&mut self, node: &[u8]) -> Result<Location, Error>;
}

/// Builds a run from ascending extents. Holds one node a level in memory.
pub(crate) struct RunBuilder<'a, S: NodeSink> {
    sink: &'a mut S,
    leaf: Vec<Extent>,
    /// Index nodes being filled, the lowest first.
    levels: Vec<Vec<Child>>,
    extents: u64,
    first: Option<u64>,
    end: u64,
}

impl<'a, S: NodeSink> RunBuilder<'a, S> {
    pub(crate) const fn new(sink: &'a mut S) -> Self {
        Self { sink, leaf: Vec::new(), levels: Vec::new(), extents: 0, first: None, end: 0 }
    }

    /// The sink, for what else goes there meanwhile.
    pub(crate) const fn sink(&mut self) -> &mut S {
        self.sink
    }

    /// Adds an extent that begins at or behind the end of the last one.
    pub(crate) fn push(&mut self, extent: Extent) -> Result<(), Error> {
        debug_assert!(extent.start() >= self.end, "extents must ascend");
        self.first.get_or_insert(extent.start());
        self.end = extent.end();
        if let Some(last) = self.leaf.last_mut()
            && last.joins(extent)
        {
            *last = last.join(extent);
            return Ok(());
        }
        if self.leaf.len() == ENTRIES_MAX {
            self.flush_leaf()?;
        }
        self.extents += 1;
        self.leaf.push(extent);
        Ok(())
    }

    fn flush_leaf(&mut self) -> Result<(), Error> {
        let Some(first) = self.leaf.first().map(|e| e.start()) else {
            return Ok(());
        };
        let leaf = Node::Leaf(std::mem::take(&mut self.leaf));
        let node = self.sink.append_node(&leaf.encode())?;
        self.add_child(0, Child { first, node })
    }

    fn add_child(&mut self, level: usize, child: Child) -> Result<(), Error> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        if self.levels[level].len() == ENTRIES_MAX {
            self.flush_index(level)?;
        }
        self.levels[level].push(child);
        Ok(())
    }

    fn flush_index(&mut self, level: usize) -> Result<(), Error> {
        let children = std::mem::take(&mut self.levels[level]);
        let Some(first) = children.first().map(|c| c.first) else {
            return Ok(());
        };
        let node = self.sink.append_node(&Node::Index(children).encode())?;
        self.add_child(level + 1, Child { first, node })
    }

    /// Writes what is left. `None` when there was no extent.
    pub(crate) fn finish(mut self) -> Result<Option<Run>, Error> {
        self.flush_leaf()?;
        let Some(first) = self.first else {
            return Ok(None);
        };
        let mut level = 0;
        loop {
            let top = level + 1 == self.levels.len();
            if top && self.levels[level].len() == 1 {
                let height = level as u32;
                let top = self.levels[level][0].node;
                return Ok(Some(Run { top, height, extents: self.extents, first, end: self.end }));
            }
            self.flush_index(level)?;
            level += 1;
        }
    }
}
