//! Blocks that say who wrote them, and what a block may hold after a crash.

/// Bytes of a block, the guest's unit.
pub const BLOCK_BYTES: usize = 4096;

/// What a whole block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Zeros: never written, or trimmed, or written as zeros.
    Zeros,
    /// The stamp of a version.
    Version(u64),
}

/// Where chance comes from in these tests: small, and the same for a seed for ever.
pub struct Chance(u64);

impl Chance {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits (splitmix64).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A moment in the record of what reached the disk: the bytes of the record up to then. Where
/// nothing is recorded, because a kill leaves the disk as it is, every moment is 0.
pub type Moment = u64;

/// After every moment.
pub const NEVER: Moment = Moment::MAX;

/// The bytes of a version of a block: no two are alike in any sector. Versions are unique in a
/// store; the volume is in the bytes for those who have to find out what went wrong.
pub fn stamp(volume: u64, block: u64, version: u64) -> [u8; BLOCK_BYTES] {
    let mut bytes = [0; BLOCK_BYTES];
    let mut chance = Chance::new(volume ^ block.rotate_left(20) ^ version.rotate_left(40));
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        // Each sector of 512 bytes begins with the three numbers.
        let value = match at % 64 {
            0 => volume,
            1 => block,
            2 => version,
            _ => chance.number(),
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// Which version a block holds; an error tells how it is torn or of which place it is.
pub fn read(block: u64, bytes: &[u8]) -> Result<Content, String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Content::Zeros);
    }
    let number = |at: usize| {
        let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    };
    let (volume, its_block, version) = (number(0), number(8), number(16));
    if bytes == stamp(volume, block, version) {
        return Ok(Content::Version(version));
    }
    let sectors: Vec<_> = (0..BLOCK_BYTES / 512)
        .map(|sector| (number(sector * 512), number(sector * 512 + 8), number(sector * 512 + 16)))
        .collect();
    Err(format!(
        "block {block} holds volume {volume} block {its_block} version {version}, or parts of \
         several: {sectors:?}"
    ))
}

/// Which versions the blocks of a whole volume hold.
pub fn read_all(data: &[u8]) -> Result<Vec<Content>, String> {
    let blocks = data.chunks_exact(BLOCK_BYTES).enumerate();
    blocks.map(|(at, bytes)| read(at as u64, bytes)).collect()
}

/// What was written once, and when it was sent.
#[derive(Clone, Copy, Debug)]
struct Written {
    content: Content,
    sent: Moment,
}

/// One block as its writer knows it.
#[derive(Clone, Debug)]
struct Block {
    /// All that was written, oldest first.
    history: Vec<Written>,
    /// The last entry that was acknowledged.
    acknowledged: usize,
    /// From which entry on a crash may bring back, for crashes at or after a moment; ascending
    /// entries.
    durable: Vec<(usize, Moment)>,
}

impl Block {
    fn holding(content: Content) -> Self {
        let history = vec![Written { content, sent: 0 }];
        Self { history, acknowledged: 0, durable: vec![(0, 0)] }
    }

    fn durable(&mut self, entry: usize, from: Moment) {
        if self.durable.last().is_none_or(|(last, _)| *last < entry) {
            self.durable.push((entry, from));
        }
    }

    /// What a crash at a moment may bring back.
    fn allowed(&self, at: Moment) -> impl Iterator<Item = Content> {
        let reached = self.durable.iter().rev().find(|(_, from)| *from <= at);
        let first = reached.map_or(0, |(entry, _)| *entry);
        let possible = self.history[first..].iter().filter(move |written| written.sent <= at);
        possible.map(|written| written.content)
    }
}

/// What every block of a volume may hold. Each block has one writer at a time, which waits for an
/// acknowledgement before it writes the block again.
pub struct Blocks {
    blocks: Vec<Block>,
}

/// How far each block was at some moment.
#[derive(Clone)]
pub struct Mark(Vec<usize>);

impl Blocks {
    /// A volume of zeros.
    pub fn new(blocks: usize) -> Self {
        Self::holding(&vec![Content::Zeros; blocks])
    }

    /// A volume whose content is known, such as a clone of something fixed.
    pub fn holding(contents: &[Content]) -> Self {
        Self { blocks: contents.iter().map(|content| Block::holding(*content)).collect() }
    }

    /// A write is sent at `now` or later.
    pub fn sent(&mut self, block: usize, content: Content, now: Moment) {
        self.blocks[block].history.push(Written { content, sent: now });
    }

    /// The last write to a block was acknowledged at `now` or before; `durable` when that promises
    /// durability.
    pub fn acknowledged(&mut self, block: usize, durable: bool, now: Moment) {
        let block = &mut self.blocks[block];
        block.acknowledged = block.history.len() - 1;
        if durable {
            block.durable(block.acknowledged, now);
        }
    }

    /// What is acknowledged now: taken when a flush or a snapshot is asked for.
    pub fn mark(&self) -> Mark {
        Mark(self.blocks.iter().map(|block| block.acknowledged).collect())
    }

    /// What has been sent up to now.
    pub fn sent_mark(&self) -> Mark {
        Mark(self.blocks.iter().map(|block| block.history.len() - 1).collect())
    }

    /// A flush was acknowledged at `now` or before that was asked for at `mark`.
    pub fn flushed(&mut self, mark: &Mark, now: Moment) {
        for (block, entry) in self.blocks.iter_mut().zip(&mark.0) {
            block.durable(*entry, now);
        }
    }

    /// The moments from which on something is durable.
    pub fn durable_moments(&self) -> impl Iterator<Item = Moment> {
        self.blocks.iter().flat_map(|block| block.durable.iter().map(|(_, from)| *from))
    }

    /// Checks what a volume holds after a crash at a moment.
    pub fn crashed(&self, contents: &[Content], at: Moment) -> Result<(), String> {
        self.same_size(contents)?;
        for (number, (block, content)) in self.blocks.iter().zip(contents).enumerate() {
            if !block.allowed(at).any(|allowed| allowed == *content) {
                return Err(format!(
                    "block {number} holds {content:?}; may hold {:?}; all ever written: {block:?}",
                    block.allowed(at).collect::<Vec<_>>()
                ));
            }
        }
        Ok(())
    }

    /// Recovery is over and the volume holds this at `now`; from now on it stays.
    pub fn settled(&mut self, contents: &[Content], now: Moment) {
        for (block, content) in self.blocks.iter_mut().zip(contents) {
            if block.history.last().is_none_or(|last| last.content != *content) {
                block.history.push(Written { content: *content, sent: now });
            }
            block.acknowledged = block.history.len() - 1;
            block.durable(block.acknowledged, now);
        }
    }

    /// The record begins again with what a crash at a moment left, whatever that is. Marks taken
    /// before do not count any more.
    pub fn begin_again(&mut self, at: Moment) {
        for block in &mut self.blocks {
            let history: Vec<_> =
                block.allowed(at).map(|content| Written { content, sent: 0 }).collect();
            let acknowledged = history.len() - 1;
            *block = Block { history, acknowledged, durable: vec![(0, 0)] };
        }
    }

    /// Checks a snapshot that was asked for at `from` and acknowledged at `to`.
    pub fn snapshot(&self, contents: &[Content], from: &Mark, to: &Mark) -> Result<(), String> {
        self.same_size(contents)?;
        let marks = from.0.iter().zip(&to.0);
        let rows = self.blocks.iter().zip(contents).zip(marks);
        for (at, ((block, content), (from, to))) in rows.enumerate() {
            let allowed = &block.history[*from..=*to];
            if !allowed.iter().any(|written| written.content == *content) {
                return Err(format!("block {at} holds {content:?}; may hold {allowed:?}"));
            }
        }
        Ok(())
    }

    fn same_size(&self, contents: &[Content]) -> Result<(), String> {
        let (is, should) = (contents.len(), self.blocks.len());
        if is == should { Ok(()) } else { Err(format!("{is} blocks instead of {should}")) }
    }
}

#[cfg(test)]
mod tests;
