//! DEFLATE (RFC 1951), and the zlib header and checksum around it (RFC 1950).
//!
//! Stands on the core of `miniz_oxide` rather than on a stream interface: where the data break, those drop what they decoded
//! since the last call, so that the pieces of the input would show in the outcome.

use std::fmt;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_PARSE_ZLIB_HEADER};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

use super::{Output, Stop};

/// Farthest that a match reaches back.
const WINDOW: usize = 32 * 1024;

/// Memory of one inflate state: its window and tables.
pub(super) const HELD: usize = WINDOW + size_of::<DecompressorOxide>();

/// One DEFLATE stream.
pub(super) struct Inflate {
    state: Box<DecompressorOxide>,
    /// The last bytes decoded; written round and round.
    window: Box<[u8]>,
    at: usize,
    flags: u32,
}

impl Inflate {
    pub(super) fn new(zlib: bool) -> Self {
        let header = if zlib { TINFL_FLAG_PARSE_ZLIB_HEADER } else { 0 };
        Self {
            state: Box::default(),
            window: vec![0; WINDOW].into_boxed_slice(),
            at: 0,
            flags: TINFL_FLAG_HAS_MORE_INPUT | header,
        }
    }

    /// Inflates what the input holds; true when the stream ended within it. What follows is left in `input`.
    pub(super) fn decode(&mut self, input: &mut &[u8], output: Output<'_>) -> Result<bool, Stop> {
        loop {
            let (status, taken, given) =
                decompress(&mut self.state, input, &mut self.window, self.at, self.flags);
            *input = input.get(taken..).unwrap_or_default();
            let end = self.at + given;
            let decoded = self.window.get(self.at..end).unwrap_or_default();
            if !decoded.is_empty() {
                output(decoded)?;
            }
            self.at = end % WINDOW;
            match status {
                TINFLStatus::Done => return Ok(true),
                TINFLStatus::NeedsMoreInput => return Ok(false),
                TINFLStatus::HasMoreOutput => {}
                _ => return Err(Stop::Broken),
            }
        }
    }
}

impl fmt::Debug for Inflate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inflate")
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}
