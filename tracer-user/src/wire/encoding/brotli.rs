//! `br` (RFC 7932).
//!
//! Of a broken stream the decoder gives up what it decoded since it was last given input. So that the pieces of the input make
//! no difference it is given one byte at a time; AWS itself never sends `br`.

use std::fmt;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::{BLOCK, Output, Stop};

/// One brotli stream. Large windows (beyond RFC 7932's 16 MiB) are refused.
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    ended: bool,
}

impl Brotli {
    pub(super) fn new() -> Self {
        Self {
            state: BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ),
            ended: false,
        }
    }

    pub(super) fn decode(&mut self, input: &[u8], output: Output<'_>) -> Result<(), Stop> {
        let mut block = [0; BLOCK];
        for byte in input {
            self.byte(*byte, &mut block, output)?;
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8, block: &mut [u8; BLOCK], output: Output<'_>) -> Result<(), Stop> {
        let (mut at, mut left, mut total) = (0, 1, 0);
        while !self.ended {
            let (mut given, mut room) = (0, BLOCK);
            let result = BrotliDecompressStream(
                &mut left,
                &mut at,
                &[byte],
                &mut room,
                &mut given,
                block,
                &mut total,
                &mut self.state,
            );
            let decoded = block.get(..given).unwrap_or_default();
            if !decoded.is_empty() {
                output(decoded)?;
            }
            match result {
                BrotliResult::ResultSuccess => self.ended = true,
                BrotliResult::NeedsMoreInput => return Ok(()),
                BrotliResult::NeedsMoreOutput => {}
                BrotliResult::ResultFailure => return Err(Stop::Broken),
            }
        }
        Ok(())
    }

    /// Memory held beyond this value: the window and the tables.
    pub(super) fn held(&self) -> usize {
        TABLES + usize::try_from(self.state.ringbuffer_size).unwrap_or(0)
    }
}

impl fmt::Debug for Brotli {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Brotli")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// About what the prefix-code tables take.
const TABLES: usize = 64 * 1024;
