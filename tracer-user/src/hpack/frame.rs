//! The header of an HTTP/2 frame (RFC 9113 section 4.1), and how to find a frame's beginning again.

/// What a client sends before its first frame, RFC 9113 section 3.4.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Largest frame payload unless the receiver announces more (`SETTINGS_MAX_FRAME_SIZE`, RFC 9113 section 6.5.2).
pub const DEFAULT_MAX_FRAME_SIZE: u32 = 16_384;

/// Identifier of the setting that bounds the table of HPACK, RFC 9113 section 6.5.2.
pub const SETTINGS_HEADER_TABLE_SIZE: u16 = 0x01;

/// Identifier of the setting that bounds frame payloads, RFC 9113 section 6.5.2.
pub const SETTINGS_MAX_FRAME_SIZE: u16 = 0x05;

/// The nine octets before every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Octets of payload.
    pub length: u32,
    /// What the payload is.
    pub kind: Kind,
    /// Flags; what a bit means depends on the kind.
    pub flags: u8,
    /// The stream, 0 for the connection. The reserved bit is left out.
    pub stream: u32,
}

/// The kinds of frames, RFC 9113 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Body bytes.
    Data,
    /// A header block, or its beginning.
    Headers,
    /// A priority, which nobody heeds any more.
    Priority,
    /// The end of a stream by force.
    RstStream,
    /// What a side announces of itself.
    Settings,
    /// A response nobody asked for, with the header block of its request.
    PushPromise,
    /// Whether the other side lives.
    Ping,
    /// No new streams.
    GoAway,
    /// How much more may be sent.
    WindowUpdate,
    /// More of a header block.
    Continuation,
    /// An extension, RFC 9113 section 5.5.
    Other(u8),
}

impl Kind {
    /// Reads the octet.
    pub fn of(octet: u8) -> Self {
        match octet {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            other => Kind::Other(other),
        }
    }
}

impl FrameHeader {
    /// Octets of a frame header.
    pub const LENGTH: usize = 9;

    /// DATA, HEADERS: the sender's last frame of this stream.
    pub const END_STREAM: u8 = 0x01;
    /// SETTINGS, PING: an answer.
    pub const ACK: u8 = 0x01;
    /// HEADERS, `PUSH_PROMISE`, CONTINUATION: the header block is complete.
    pub const END_HEADERS: u8 = 0x04;
    /// DATA, HEADERS, `PUSH_PROMISE`: one octet with the length of the padding stands first, the padding last.
    pub const PADDED: u8 = 0x08;
    /// HEADERS: five octets of priority stand before the header block.
    pub const PRIORITY: u8 = 0x20;

    /// Reads nine octets. Any are a frame header, be it a strange one.
    pub fn parse(octets: &[u8; Self::LENGTH]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = *octets;
        Self {
            length: u32::from_be_bytes([0, high, middle, low]),
            kind: Kind::of(kind),
            flags,
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
        }
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether a sender that keeps to RFC 9113 may send this: the stream and the length fit the kind. `largest` is the
    /// largest payload that its receiver takes.
    pub fn is_legal(&self, largest: u32) -> bool {
        let Self {
            length,
            kind,
            flags,
            stream,
        } = *self;
        let padding = u32::from(flags & Self::PADDED != 0);
        let priority = if flags & Self::PRIORITY == 0 { 0 } else { 5 };
        length <= largest
            && match kind {
                Kind::Data => stream != 0 && length >= padding,
                Kind::Headers => stream != 0 && length >= padding + priority,
                Kind::Priority => stream != 0 && length == 5,
                Kind::RstStream => stream != 0 && length == 4,
                Kind::Settings => {
                    stream == 0 && length.is_multiple_of(6) && (flags & Self::ACK == 0 || length == 0)
                }
                Kind::PushPromise => stream != 0 && length >= 4 + padding,
                Kind::Ping => stream == 0 && length == 8,
                Kind::GoAway => stream == 0 && length >= 8,
                Kind::WindowUpdate => length == 4,
                Kind::Continuation => stream != 0,
                Kind::Other(_) => true,
            }
    }
}

/// Whether frames go on at the first byte of a call, after bytes were missed: what `call` begins with, be it less than a
/// frame header, may be one. This is the rule by which every stage finds back.
///
/// The reading program's records mostly begin with a frame, and what else they begin with hardly looks like one: the kind must
/// be a known one, no flag may be set that it does not have, the stream must be one that a client opens (nobody lets servers
/// push) and one of the first eight million, the length must fit, and a header block must be whole.
pub fn resumes(call: &[u8], largest: u32) -> bool {
    let octet = |at: usize| call.get(at).copied();
    let [a, b, c] = [0, 1, 2].map(octet);
    // What is not there yet may still become anything.
    let least = u32::from_be_bytes([0, a.unwrap_or(0), b.unwrap_or(0), c.unwrap_or(0)]);
    let Some(kind) = octet(3).map(Kind::of) else {
        return least <= largest;
    };
    let (flags_known, on_stream) = match kind {
        Kind::Data => (FrameHeader::END_STREAM | FrameHeader::PADDED, Some(true)),
        Kind::Headers => (
            FrameHeader::END_STREAM | FrameHeader::END_HEADERS | FrameHeader::PADDED | FrameHeader::PRIORITY,
            Some(true),
        ),
        Kind::Priority | Kind::RstStream => (0, Some(true)),
        Kind::Settings | Kind::Ping => (FrameHeader::ACK, Some(false)),
        Kind::PushPromise => (FrameHeader::END_HEADERS | FrameHeader::PADDED, Some(true)),
        Kind::GoAway => (0, Some(false)),
        Kind::WindowUpdate => (0, None),
        Kind::Continuation => (FrameHeader::END_HEADERS, Some(true)),
        Kind::Other(_) => return false,
    };
    let flags = octet(4).unwrap_or(0);
    let stream = [5, 6, 7, 8].map(octet);
    let zero_so_far = stream.iter().all(|octet| octet.unwrap_or(0) == 0);
    let [first, .., last] = stream;
    let stream_fits = match last {
        None => on_stream != Some(false) || zero_so_far,
        Some(last) => match on_stream {
            Some(true) => last % 2 == 1,
            Some(false) => zero_so_far,
            None => zero_so_far || last % 2 == 1,
        },
    };
    let any_stream = u32::from(on_stream != Some(false));
    let header = FrameHeader {
        length: least,
        kind,
        flags,
        stream: any_stream,
    };
    // Nobody's header block is so long; but a DATA frame of which one octet was missed looks like this.
    let cut_block = matches!(kind, Kind::Headers | Kind::PushPromise)
        && octet(4).is_some_and(|flags| flags & FrameHeader::END_HEADERS == 0);
    !cut_block
        && flags & !flags_known == 0
        && first.unwrap_or(0) == 0
        && stream_fits
        && header.is_legal(largest)
}

/// Identifiers and values in the payload of a SETTINGS frame, RFC 9113 section 6.5.1.
pub fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload
        .as_chunks()
        .0
        .iter()
        .map(|&[a, b, c, d, e, f]| (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])))
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT_MAX_FRAME_SIZE, FrameHeader, Kind, resumes, settings};

    const REAL: [[u8; 9]; 8] = [
        [0, 0, 18, 4, 0, 0, 0, 0, 0],
        [0, 0, 0, 4, 1, 0, 0, 0, 0],
        [0, 0, 4, 8, 0, 0, 0, 0, 0],
        [0, 1, 44, 1, 0x24, 0, 0, 0, 1],
        [0, 0x40, 0, 0, 0, 0, 0, 1, 3],
        [0, 0, 0, 0, 1, 0, 0, 0, 7],
        [0, 0, 8, 6, 1, 0, 0, 0, 0],
        [0, 0, 17, 7, 0, 0, 0, 0, 0],
    ];

    #[test]
    fn a_header_is_read_as_the_standard_draws_it() {
        let header = FrameHeader::parse(&[0x01, 0x02, 0x03, 1, 0x2d, 0x80, 0, 1, 2]);
        let expected = FrameHeader {
            length: 0x0001_0203,
            kind: Kind::Headers,
            flags: 0x2d,
            stream: 0x0102,
        };
        assert_eq!(header, expected);
        assert!(header.has(FrameHeader::END_HEADERS) && header.has(FrameHeader::PRIORITY));
        assert!(!header.is_legal(DEFAULT_MAX_FRAME_SIZE), "too large");
        assert!(header.is_legal(1 << 20));
        assert_eq!(
            FrameHeader::parse(&[0, 0, 0, 0x10, 0, 0, 0, 0, 0]).kind,
            Kind::Other(0x10)
        );
    }

    #[test]
    fn real_frames_are_found_again_however_little_is_there() {
        for header in REAL {
            assert!(
                FrameHeader::parse(&header).is_legal(DEFAULT_MAX_FRAME_SIZE),
                "{header:?}"
            );
            for length in 0..=9 {
                assert!(resumes(&header[..length], DEFAULT_MAX_FRAME_SIZE), "{header:?}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_is_not_taken_for_one() {
        for call in [
            &b"POST / HTTP/1.1\r\n"[..],
            b"{\"messages\":[]}",
            b"*********",
            &[0; 9],                            // DATA on stream 0
            &[0, 0, 0xb4, 0, 0, 0, 0x52, 1, 2], // an event-stream message, one octet late
            &[0, 0, 0, 0xb4, 0, 0, 0, 0x52, 1], // an event-stream message: no such kind
            &[0, 0, 5, 1, 0x40, 0, 0, 0, 1],    // an unknown flag
            &[0, 0, 5, 1, 0x24, 0x80, 0, 0, 1], // the reserved bit
            &[0, 0, 4, 1, 0x24, 0, 0, 0, 1],    // no room for the priority
            &[0, 0, 5, 1, 0x04, 0, 0, 0, 2],    // a stream of the server's
            &[0, 0, 7, 6, 0, 0, 0, 0, 0],       // a PING has eight octets
            &[0, 0x40, 1, 0, 0, 0, 0, 0, 1],    // too large
            &[0x41],                            // too large, whatever follows
            &[0, 2, 0, 1, 0, 0, 0, 5, b'{'],    // DATA that ends stream 5, one octet late
            &[0, 0, 5, 4],                      // no whole setting
            &[0, 0, 6, 4, 0, 0, 1],             // SETTINGS on a stream
        ] {
            assert!(!resumes(call, DEFAULT_MAX_FRAME_SIZE), "{call:?}");
        }
    }

    #[test]
    fn what_was_refused_stays_refused() {
        // Each octet more only adds what can be wrong.
        let mut numbers = 1_u64;
        for _ in 0..100_000 {
            numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = numbers.to_be_bytes();
            let mask = [0, 0x3f, 0xff, 0x0f, 0x2d, 1, 1, 0xff];
            let mut call = [1; 9];
            for (octet, (random, mask)) in call.iter_mut().zip(random.into_iter().zip(mask)) {
                *octet = random & mask;
            }
            let mut refused = false;
            for length in 0..=9 {
                let resumes = resumes(&call[..length], DEFAULT_MAX_FRAME_SIZE);
                assert!(!(refused && resumes), "{call:?}");
                refused = !resumes;
            }
            assert!(refused || FrameHeader::parse(&call).is_legal(DEFAULT_MAX_FRAME_SIZE));
        }
    }

    #[test]
    fn settings_are_pairs() {
        let payload = [0, 1, 0, 0, 0x10, 0, 0, 5, 0, 0, 0x40, 0, 9];
        assert_eq!(settings(&payload).collect::<Vec<_>>(), [(1, 4096), (5, 16_384)]);
    }
}
