//! `zstd` (RFC 8878).

use std::fmt;

use ruzstd::decoding::FrameDecoder;

use super::{BLOCK, Output, Stop};

/// Largest window: what RFC 9659 allows as an HTTP content coding.
const WINDOW_MAX: u64 = 8 << 20;

/// Most coded bytes kept until a header or block is whole: a block is at most 128 KiB, its header 3 bytes, and the checksum
/// after the last one 4.
const PENDING_MAX: usize = 128 * 1024 + 3 + CHECKSUM;

/// A series of zstd frames.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    part: Part,
    /// Coded bytes that do not make a whole header or block yet.
    pending: Vec<u8>,
}

/// Parts of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    FrameHeader,
    Blocks {
        checksum: bool,
    },
    /// So many bytes of a skippable frame are left.
    Skippable(usize),
}

impl Zstd {
    pub(super) fn new() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        Self {
            decoder,
            part: Part::FrameHeader,
            pending: Vec::new(),
        }
    }

    pub(super) fn decode(&mut self, mut input: &[u8], output: Output<'_>) -> Result<(), Stop> {
        while !input.is_empty() {
            match &mut self.part {
                Part::Skippable(left) => {
                    let passed = (*left).min(input.len());
                    *left -= passed;
                    input = input.get(passed..).unwrap_or_default();
                    if *left == 0 {
                        self.part = Part::FrameHeader;
                    }
                }
                Part::FrameHeader | Part::Blocks { .. } => {
                    let Some(unit) = self.unit(&mut input)? else {
                        return Ok(());
                    };
                    self.take(&unit, output)?;
                    self.pending = unit;
                    self.pending.clear();
                }
            }
        }
        Ok(())
    }

    /// Whether bytes wait for the end of their block or frame.
    pub(super) fn keeps_back(&self) -> bool {
        matches!(self.part, Part::Blocks { .. })
            && (self.decoder.blocks_decoded() > 0 || !self.pending.is_empty())
    }

    /// Memory held beyond this value: the window, as far as it is filled, and the tables.
    pub(super) fn held(&self) -> usize {
        TABLES + self.pending.capacity() + usize::try_from(WINDOW_MAX).unwrap_or(0)
    }

    /// Gathers one whole header or block; none while bytes of it are missing.
    fn unit(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, Stop> {
        loop {
            let needed = match self.part {
                Part::Blocks { checksum } => block_length(&self.pending, checksum),
                _ => header_length(&self.pending),
            };
            if needed > PENDING_MAX {
                return Err(Stop::Broken);
            }
            let missing = needed.saturating_sub(self.pending.len());
            if missing == 0 {
                return Ok(Some(std::mem::take(&mut self.pending)));
            }
            if input.is_empty() {
                return Ok(None);
            }
            let (taken, rest) = input.split_at(missing.min(input.len()));
            self.pending.extend_from_slice(taken);
            *input = rest;
        }
    }

    fn take(&mut self, unit: &[u8], output: Output<'_>) -> Result<(), Stop> {
        if self.part == Part::FrameHeader {
            self.part = match unit {
                [first, 0x2a, 0x4d, 0x18, length @ ..] if first >> 4 == 5 => {
                    let length = length.try_into().map_err(|_| Stop::Broken)?;
                    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| Stop::Broken)?;
                    if length == 0 {
                        Part::FrameHeader
                    } else {
                        Part::Skippable(length)
                    }
                }
                _ => {
                    self.decoder.reset(unit).map_err(|_| Stop::Broken)?;
                    Part::Blocks {
                        checksum: unit.get(4).is_some_and(|descriptor| descriptor & 0b100 != 0),
                    }
                }
            };
            return Ok(());
        }
        let mut block = [0; BLOCK];
        let mut source = unit;
        loop {
            let (taken, given) = self
                .decoder
                .decode_from_to(source, &mut block)
                .map_err(|_| Stop::Broken)?;
            source = source.get(taken..).unwrap_or_default();
            if given == 0 {
                break;
            }
            output(block.get(..given).unwrap_or_default())?;
        }
        if is_last(unit) {
            self.part = Part::FrameHeader;
        }
        Ok(())
    }
}

impl fmt::Debug for Zstd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Zstd")
            .field("part", &self.part)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

/// Length of the frame header that begins like this (RFC 8878 §3.1.1.1, and §3.1.2 for skippable frames), or of as much of it
/// as must be there to tell.
fn header_length(bytes: &[u8]) -> usize {
    match bytes {
        [first, 0x2a, 0x4d, 0x18, ..] if first >> 4 == 5 => 8,
        [_, _, _, _, descriptor, ..] => {
            let single_segment = descriptor & 0b10_0000 != 0;
            let dictionary = match descriptor & 0b11 {
                3 => 4,
                size => usize::from(size),
            };
            let content_size = match descriptor >> 6 {
                0 => usize::from(single_segment),
                shift => 1 << shift,
            };
            5 + usize::from(!single_segment) + dictionary + content_size
        }
        _ => 5,
    }
}

/// Length of the block that begins like this, header included (RFC 8878 §3.1.1.2), or of as much of it as must be there
/// to tell. The checksum belongs to the last one: the decoder gives what it holds only with it.
fn block_length(bytes: &[u8], checksum: bool) -> usize {
    let [a, b, c, ..] = bytes else {
        return 3;
    };
    let header = u32::from_le_bytes([*a, *b, *c, 0]);
    let size = usize::try_from(header >> 3).unwrap_or(usize::MAX);
    let is_repeated_byte = header >> 1 & 0b11 == 1;
    let content = if is_repeated_byte { 1 } else { size };
    let checksum = if checksum && is_last(bytes) { CHECKSUM } else { 0 };
    3 + content + checksum
}

/// Whether this is the last block of its frame.
fn is_last(block: &[u8]) -> bool {
    block.first().is_some_and(|header| header & 1 != 0)
}

/// Length of a frame's checksum.
const CHECKSUM: usize = 4;

/// About what the entropy tables take.
const TABLES: usize = 64 * 1024;
