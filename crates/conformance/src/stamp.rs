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

/// The bytes of a version of a block of a volume: no two are alike in any sector.
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

/// Which version a block holds; an error tells how it is torn or whose it is.
pub fn read(volume: u64, block: u64, bytes: &[u8]) -> Result<Content, String> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Content::Zeros);
    }
    let number = |at: usize| {
        let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
        word.map_or(0, u64::from_le_bytes)
    };
    let (its_volume, its_block, version) = (number(0), number(8), number(16));
    if bytes == stamp(volume, block, version) {
        return Ok(Content::Version(version));
    }
    let sectors: Vec<_> = (0..BLOCK_BYTES / 512)
        .map(|sector| (number(sector * 512), number(sector * 512 + 8), number(sector * 512 + 16)))
        .collect();
    Err(format!(
        "volume {volume} block {block} holds volume {its_volume} block {its_block} version \
         {version}, or parts of several: {sectors:?}"
    ))
}

/// One block as its writer knows it.
#[derive(Clone, Debug)]
struct Block {
    /// All it may hold, oldest first, since it was last read as a whole.
    history: Vec<Content>,
    /// The first entry of the history that a crash may bring back.
    durable: usize,
    /// The last entry that was acknowledged.
    acknowledged: usize,
}

/// What every block of a volume may hold. Each block has one writer at a time, which waits for an
/// acknowledgement before it writes the block again.
pub struct Blocks {
    volume: u64,
    blocks: Vec<Block>,
}

/// How far each block was at some moment.
#[derive(Clone)]
pub struct Mark(Vec<usize>);

impl Blocks {
    /// A volume of zeros.
    pub fn new(volume: u64, blocks: usize) -> Self {
        let block = Block { history: vec![Content::Zeros], durable: 0, acknowledged: 0 };
        Self { volume, blocks: vec![block; blocks] }
    }

    /// A write was sent.
    pub fn sent(&mut self, block: usize, content: Content) {
        self.blocks[block].history.push(content);
    }

    /// The last write to a block was acknowledged; `durable` when that promises durability.
    pub fn acknowledged(&mut self, block: usize, durable: bool) {
        let block = &mut self.blocks[block];
        block.acknowledged = block.history.len() - 1;
        if durable {
            block.durable = block.acknowledged;
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

    /// A flush was acknowledged that was asked for at `mark`.
    pub fn flushed(&mut self, mark: &Mark) {
        for (block, at) in self.blocks.iter_mut().zip(&mark.0) {
            block.durable = block.durable.max(*at);
        }
    }

    /// Checks what a volume holds after a crash; from then on it holds exactly this.
    pub fn recovered(&mut self, data: &[u8]) -> Result<(), String> {
        for (at, (block, bytes)) in
            self.blocks.iter_mut().zip(data.chunks_exact(BLOCK_BYTES)).enumerate()
        {
            let content = read(self.volume, at as u64, bytes)?;
            let allowed = &block.history[block.durable..];
            if !allowed.contains(&content) {
                let volume = self.volume;
                return Err(format!(
                    "volume {volume} block {at} holds {content:?}; may hold {allowed:?}; all ever \
                     written since it was last checked: {:?}",
                    block.history
                ));
            }
            *block = Block { history: vec![content], durable: 0, acknowledged: 0 };
        }
        Ok(())
    }

    /// Checks a snapshot that was asked for at `from` and acknowledged at `to`.
    pub fn snapshot(&self, data: &[u8], from: &Mark, to: &Mark) -> Result<(), String> {
        let marks = from.0.iter().zip(&to.0);
        let rows = self.blocks.iter().zip(data.chunks_exact(BLOCK_BYTES)).zip(marks);
        for (at, ((block, bytes), (from, to))) in rows.enumerate() {
            let content = read(self.volume, at as u64, bytes)?;
            let allowed = &block.history[*from..=*to];
            if !allowed.contains(&content) {
                let volume = self.volume;
                return Err(format!(
                    "the snapshot of volume {volume} holds {content:?} in block {at}; may hold {allowed:?}"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
