//! Capture files: pcapng that Wireshark opens and that replays to the same spans.
//!
//! A file holds every [`ProbeEvent`](crate::event::ProbeEvent) of a run. Plaintext becomes TCP segments of made-up
//! IPv4 packets, so that Wireshark reassembles and dissects the HTTP inside and shows holes as missing segments; the
//! facts that a packet cannot carry stand in a comment beside it. Events without plaintext are JSON objects on a second
//! interface. `docs/capture-format.md` is the format and the promise of which versions read which files.
//!
//! - `comment` and `json` turn events to text and back; `packet` makes the IP and TCP headers
//! - [`Writer`] and [`Recording`] write; [`Reader`] reads, and names what a damaged file lost as [`Damage`]

mod block;
mod comment;
mod damage;
mod json;
mod packet;
mod reader;
mod recording;
mod writer;

#[cfg(test)]
mod tests;

pub use damage::{Damage, DamageReason, DamageReport};
pub use reader::{Item, OpenError, Reader, fuzz};
pub use recording::{Recording, RecordingError};
pub use writer::Writer;

/// Version of the format that this build writes; it reads this one and all before it.
pub const FORMAT_VERSION: u32 = 2;

/// Begins every comment that geophone writes into a file.
const MARK: &str = "geophone ";

/// Begins the comment of the section header; the version follows.
const FORMAT_MARK: &str = "geophone capture format ";

/// `LINKTYPE_RAW`: packets begin with an IP header. <https://www.tcpdump.org/linktypes.html>
const LINKTYPE_RAW: u16 = 101;

/// `LINKTYPE_USER0`: reserved for private use; here JSON.
const LINKTYPE_USER0: u16 = 147;
