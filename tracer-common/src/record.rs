//! What goes through the ring buffer: one header, then as many bytes as it says.
//!
//! A record takes a slot of a fixed size class. What lies in the slot beyond [`Header::length`] was never written by
//! the program that submitted it: it is whatever the ring held before, and must not be looked at.

/// First part of every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
#[repr(C)]
pub struct Header {
    /// What happened: one of the constants of [`kind`].
    pub kind: u32,
    /// Bytes of payload that follow.
    pub length: u32,
    /// `bpf_ktime_get_ns`: `CLOCK_MONOTONIC`.
    pub time: u64,
    /// `start_boottime` of the thread-group leader, in ns.
    pub process_start: u64,
    /// Thread-group id in the first pid namespace.
    pub process: u32,
    /// Thread id in the first pid namespace.
    pub thread: u32,
    /// Address of the connection object (`SSL *`).
    pub address: u64,
    /// Tells apart objects that live at one address one after another.
    pub generation: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Place of the first byte in the stream, counted from the first call seen on this connection and direction.
    pub stream_offset: u64,
    /// Bytes of the whole call.
    pub call_length: u64,
    /// Place of the first byte within the call.
    pub call_offset: u64,
}

/// Values of [`Header::kind`].
pub mod kind {
    /// Plaintext.
    pub const DATA: u32 = 1;
    /// A connection object was made; no payload.
    pub const OPEN: u32 = 2;
    /// The payload is the server name, without its terminating zero.
    pub const SERVER_NAME: u32 = 3;
    /// A connection object was freed; no payload.
    pub const CLOSE: u32 = 4;
    /// `execve` replaced the program of a followed process; no payload, no connection.
    pub const EXEC: u32 = 5;
    /// The last thread of a followed process is gone; no payload, no connection.
    pub const EXIT: u32 = 6;
    /// Who a process is, told before the first record of a connection of it; the payload is an
    /// [`Identity`](super::Identity) with as much of its text as [`Header::length`](super::Header::length) says.
    pub const IDENTITY: u32 = 7;
}

/// Bits of [`Header::flags`].
pub mod flag {
    /// The bytes were sent, not received.
    pub const WRITE: u32 = 1 << 0;
    /// The connection was in use before its first call was seen.
    pub const JOINED_LATE: u32 = 1 << 1;
    /// The other direction of the connection could not be found.
    pub const UNPAIRED: u32 = 1 << 2;
}

/// Who a process is, read in the process itself: `/proc` may not know it any more when somebody asks.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    feature = "user",
    derive(
        zerocopy::FromBytes,
        zerocopy::IntoBytes,
        zerocopy::KnownLayout,
        zerocopy::Immutable
    )
)]
#[repr(C)]
pub struct Identity {
    /// Thread-group id of the process that made it, or that took it over.
    pub parent: u32,
    /// How many of the bytes of text are arguments. The environment follows them.
    pub arguments: u32,
    /// Names of the control group of version 2 and of those around it, from the inside out; each ends with a zero.
    pub groups: [[u8; GROUP_NAME]; GROUPS],
}

/// Control groups that are named.
pub const GROUPS: usize = 8;
/// Longest name of a control group, with its terminating zero.
pub const GROUP_NAME: usize = 128;
/// Longest text of arguments and environment that is taken; a power of two.
pub const IDENTITY_TEXT: usize = 16 << 10;

/// A header with room for `N` bytes.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Slot<const N: usize> {
    /// What it is.
    pub header: Header,
    /// The bytes; only the first [`Header::length`] mean something.
    pub payload: [u8; N],
}

const _: () = assert!(
    size_of::<Header>() == 72,
    "no padding, and the same on both sides"
);
const _: () = assert!(size_of::<Identity>() == 8 + GROUPS * GROUP_NAME);
const _: () = assert!(size_of::<Slot<1024>>() == size_of::<Header>() + 1024);
const _: () = assert!(align_of::<Slot<1024>>() == 8, "what the ring buffer gives");
