//! Zstandard frames without compression, which every reader takes.

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// One segment, with its size in eight bytes.
const DESCRIPTOR: u8 = 0xe0;
const BLOCK_MAX: usize = 128 * 1024;

/// A frame that holds these bytes as they are.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = MAGIC.to_vec();
    frame.push(DESCRIPTOR);
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    frame.extend(size.to_le_bytes());
    let mut blocks = bytes.chunks(BLOCK_MAX).peekable();
    if blocks.peek().is_none() {
        frame.extend(header(0, true));
    }
    while let Some(block) = blocks.next() {
        frame.extend(header(block.len(), blocks.peek().is_none()));
        frame.extend(block);
    }
    frame
}

/// A raw block's three bytes: whether it is the last one, its kind (0), its size.
fn header(size: usize, last: bool) -> [u8; 3] {
    let size = u32::try_from(size).unwrap_or(0);
    let [low, middle, high, _] = (size << 3 | u32::from(last)).to_le_bytes();
    [low, middle, high]
}
