//! HPACK (RFC 7541) and the header of HTTP/2 frames (RFC 9113 section 4.1), read from aside.
//!
//! A decoder that takes part in a connection may give up at the first index it does not know. One that listens may not: it
//! may have come late, a record may be lost, a value may have been blanked. So whatever is not known is told as unknown, and
//! decoding goes on. What is told as known is right, as long as the encoder is: an index counts insertions from the newest
//! one back, so that neither an unknown entry nor one of unknown size shifts another.
//!
//! - [`Decoder`]: one per direction of a connection, fed with whole header blocks;
//! - [`frame`]: lengths, kinds and flags of frames, and how to find a frame's beginning again;
//! - `huffman.rs`: the code of RFC 7541 appendix B.

mod decoder;
#[cfg(test)]
pub(crate) mod encoder;
pub mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
pub(crate) mod h2_tests;
pub(crate) mod huffman;
pub(crate) mod primitive;
#[cfg(test)]
mod property_tests;
pub(crate) mod statics;
mod table;
#[cfg(test)]
mod tests;

pub use decoder::{BLOCK_MAX, Decoder, Field, HELD_MAX, LIST_MAX};
pub use primitive::Malformed;
