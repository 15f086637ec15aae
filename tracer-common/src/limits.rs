//! Sizes and caps that both sides know.

/// Payload of the small record: most events of a stream fit.
pub const SMALL: usize = 1 << 10;
/// Payload of the medium record.
pub const MEDIUM: usize = 4 << 10;
/// Payload of the large record: one TLS record (RFC 8446 §5.1), which is the most that one read gives.
pub const LARGE: usize = 16 << 10;

/// Large records spent on one call. The chunk loop has this bound, so that the verifier of Linux 5.15 can follow it
/// (`bpf_loop` came with 5.17).
pub const CALL_CHUNKS: u64 = 1024;
/// Most bytes of one call that are handed over.
pub const CALL_CAP: u64 = CALL_CHUNKS * LARGE as u64;
/// A call beyond the cap is handed over up to here, and from as much before its end: Bedrock tells usage last.
pub const CALL_HEAD: u64 = CALL_CAP / 2;

/// Bytes handed over in each direction while nobody has said yet whether a connection is wanted.
pub const UNKNOWN_PREFIX: u64 = 1 << 20;

/// Pieces of one TLS record that a program follows before it starts again; it may thirty times.
pub const SLICES: u64 = 8;

/// Longest server name taken, RFC 1035 §3.1 with room to spare; a power of two.
pub const SERVER_NAME: usize = 256;

/// Calls under way at the same time, on the whole host.
pub const CALLS: u32 = 32 << 10;
/// Connections remembered; the one used least recently makes room.
pub const CONNECTIONS: u32 = 64 << 10;
/// Processes, and control groups, whose share of the ring buffer is known; the one used least recently makes room, and may
/// begin anew.
pub const TENANTS: u32 = 16 << 10;
/// Processes for which it is counted what they lost by it.
pub const REFUSED: u32 = 1 << 10;
/// Processes followed at the same time.
pub const PROCESSES: u32 = 64 << 10;
