//! Walks the frames of one direction of an HTTP/2 connection (RFC 9113) and hands the header blocks on to be blanked.
//!
//! Whatever is not sure to be a frame is blanked whole. After a hole frames are looked for at the beginning of a call, by the
//! rule of [`resumes`]. A DATA frame found like this might be no frame at all, so its payload is blanked until something
//! confirms it: that it ends where its call ends, or that another frame follows it.

use std::borrow::Cow;

use super::BLANK;
use super::block::Block;
use crate::hpack::frame::{DEFAULT_MAX_FRAME_SIZE, FrameHeader, Kind, resumes};

/// Where in the frames of one direction the next byte stands.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    block: Block,
    /// The header block that goes on in the next frame.
    open: Option<Open>,
    /// Frames were found, but they might be something else.
    doubtful: bool,
    confirmed: bool,
}

#[derive(Debug)]
enum Place {
    /// At a frame, as far as anybody knows.
    Header {
        octets: [u8; FrameHeader::LENGTH],
        seen: usize,
        expected: Expected,
    },
    Payload(Payload),
    /// Hidden up to the next call that begins with a frame.
    Lost,
}

/// Why a frame is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// All went well so far.
    InOrder,
    /// A call begins.
    Perhaps,
    /// The connection begins, with SETTINGS of the server (RFC 9113 section 3.4) unless it began before: only that one is
    /// sure to begin here, and may have its header in several calls.
    Settings,
    /// Perhaps one came before it, or the preface did: one more is proof.
    AsProof,
}

#[derive(Debug, Clone, Copy)]
struct Payload {
    header: FrameHeader,
    /// How much of it was read.
    at: u32,
    /// How much comes before a header block: the length of the padding, a priority, a stream.
    lead: u32,
    /// Length of the padding at its end.
    padding: u32,
    treatment: Treatment,
}

/// What is done with a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    HandOn,
    Blank,
    /// A part of it belongs to a header block.
    Block,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    stream: u32,
    /// Some of it was missed.
    blank: bool,
}

impl Frames {
    /// Behind the preface of a client.
    pub(super) fn after_preface() -> Self {
        Self {
            place: Place::header(Expected::AsProof),
            doubtful: false,
            confirmed: true,
            ..Self::candidate()
        }
    }

    /// At the first byte that a server sends, on a connection that is known to speak HTTP/2 or not yet.
    pub(super) fn at_beginning(confirmed: bool) -> Self {
        Self {
            place: Place::header(Expected::Settings),
            confirmed,
            ..Self::candidate()
        }
    }

    /// At the first byte of a call that may begin with a frame.
    pub(super) fn candidate() -> Self {
        Self {
            place: Place::header(Expected::Perhaps),
            block: Block::new(),
            open: None,
            doubtful: true,
            confirmed: false,
        }
    }

    /// On a connection that is known to speak HTTP/2, in the midst of something.
    pub(super) fn lost() -> Self {
        Self {
            place: Place::Lost,
            confirmed: true,
            ..Self::candidate()
        }
    }

    /// Whether it is sure that these are frames.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether a frame is looked for at the beginning of each call: the header of the first one does not go across calls.
    pub(super) fn is_lost(&self) -> bool {
        matches!(
            self.place,
            Place::Lost
                | Place::Header {
                    expected: Expected::Perhaps,
                    ..
                }
        )
    }

    /// So many bytes are missing here, or nobody knows how many.
    pub(super) fn hole(&mut self, missing: Option<u64>) {
        let Place::Payload(payload) = &mut self.place else {
            return self.lose();
        };
        let left = payload.header.length - payload.at;
        let missing = missing.and_then(|missing| u32::try_from(missing).ok());
        let Some(missing) = missing.filter(|missing| *missing <= left && !self.doubtful) else {
            return self.lose();
        };
        payload.at += missing;
        if payload.treatment == Treatment::Block {
            payload.treatment = Treatment::Blank;
            self.block.lose();
            self.open = self.open.map(|open| Open { blank: true, ..open });
        }
        if missing == left {
            let header = payload.header;
            self.frame_ends(header);
        }
    }

    /// Reads on from the byte `at`, and blanks in place. Gives how many bytes were hidden since nothing was known about them.
    pub(super) fn read(
        &mut self,
        bytes: &mut Cow<'_, [u8]>,
        mut at: usize,
        call_start: bool,
        call_length: u64,
    ) -> u64 {
        if call_start && self.is_lost() {
            self.place = Place::header(Expected::Perhaps);
            self.doubtful = true;
        }
        let mut hidden = 0;
        while let Some(&byte) = bytes.get(at) {
            match &mut self.place {
                Place::Lost => {
                    fill(bytes, at, usize::MAX);
                    hidden += bytes.len().saturating_sub(at) as u64;
                    at = bytes.len();
                }
                Place::Header {
                    octets,
                    seen,
                    expected,
                } => {
                    if let Some(place) = octets.get_mut(*seen) {
                        *place = byte;
                    }
                    *seen += 1;
                    if *expected == Expected::Settings
                        && !may_be_settings(octets.get(..*seen).unwrap_or_default())
                    {
                        *expected = Expected::Perhaps;
                    }
                    let (octets, seen, expected) = (*octets, *seen, *expected);
                    let so_far = octets.get(..seen).unwrap_or_default();
                    let refused = expected != Expected::InOrder && !resumes(so_far, DEFAULT_MAX_FRAME_SIZE);
                    if refused {
                        self.lose();
                        if expected == Expected::Perhaps {
                            // This byte is none of a frame any more, so it is hidden too.
                            continue;
                        }
                    }
                    // Elsewhere it stays, so that whoever reads what is left refuses the same byte.
                    at += 1;
                    if seen == FrameHeader::LENGTH && !refused {
                        self.frame_begins(FrameHeader::parse(&octets), expected, call_length);
                    }
                }
                Place::Payload(payload) => {
                    let rest = u32::try_from(bytes.len().saturating_sub(at)).unwrap_or(u32::MAX);
                    let left = payload.header.length - payload.at;
                    let length = match payload.treatment {
                        Treatment::HandOn => left.min(rest),
                        Treatment::Blank => {
                            fill(bytes, at, left as usize);
                            left.min(rest)
                        }
                        Treatment::Block => {
                            let passed = payload.block_octet(byte, &mut self.block);
                            if passed != byte
                                && let Some(place) = bytes.to_mut().get_mut(at)
                            {
                                *place = passed;
                            }
                            1
                        }
                    };
                    payload.at += length;
                    at += length as usize;
                    if length == left {
                        let header = payload.header;
                        self.frame_ends(header);
                    }
                }
            }
        }
        hidden
    }

    fn lose(&mut self) {
        self.place = Place::Lost;
        self.block.lose();
        self.open = None;
    }

    fn frame_begins(&mut self, header: FrameHeader, expected: Expected, call_length: u64) {
        let FrameHeader {
            length,
            kind,
            flags: _,
            stream,
        } = header;
        let foreign = matches!(kind, Kind::Other(_)) && length > DEFAULT_MAX_FRAME_SIZE;
        if foreign || !header.is_legal(u32::MAX) {
            return self.lose();
        }
        let fixed = !matches!(
            kind,
            Kind::Data | Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::Other(_)
        );
        let fits_call = u64::from(length) + FrameHeader::LENGTH as u64 == call_length;
        let proven = expected != Expected::Perhaps || fixed || fits_call;
        self.doubtful &= !proven;
        self.confirmed |= !self.doubtful;
        let treatment = match kind {
            Kind::Headers | Kind::PushPromise => {
                if self.open.is_some() {
                    self.block.lose();
                }
                self.block.begin();
                self.open = Some(Open { stream, blank: false });
                Treatment::Block
            }
            Kind::Continuation => match self.open {
                Some(open) if open.stream == stream && !open.blank => Treatment::Block,
                Some(open) if open.stream == stream => Treatment::Blank,
                _ => {
                    self.block.lose();
                    self.open = None;
                    Treatment::Blank
                }
            },
            _ => {
                // Nothing may stand between the frames of a header block, RFC 9113 section 4.3.
                if self.open.take().is_some() {
                    self.block.lose();
                }
                match kind {
                    Kind::Data if self.doubtful => Treatment::Blank,
                    Kind::Other(_) => Treatment::Blank,
                    _ => Treatment::HandOn,
                }
            }
        };
        self.place = Place::Payload(Payload::new(header, treatment));
        if length == 0 {
            self.frame_ends(header);
        }
    }

    fn frame_ends(&mut self, header: FrameHeader) {
        let carries_block = matches!(
            header.kind,
            Kind::Headers | Kind::PushPromise | Kind::Continuation
        );
        if carries_block && header.has(FrameHeader::END_HEADERS) {
            self.block.end();
            self.open = None;
        }
        self.place = Place::header(if self.doubtful {
            Expected::AsProof
        } else {
            Expected::InOrder
        });
    }
}

impl Place {
    fn header(expected: Expected) -> Self {
        Place::Header {
            octets: [0; FrameHeader::LENGTH],
            seen: 0,
            expected,
        }
    }
}

impl Payload {
    fn new(header: FrameHeader, treatment: Treatment) -> Self {
        let padded = u32::from(header.has(FrameHeader::PADDED));
        let lead = match header.kind {
            Kind::Headers if header.has(FrameHeader::PRIORITY) => padded + 5,
            Kind::Headers => padded,
            Kind::PushPromise => padded + 4,
            _ => 0,
        };
        Self {
            header,
            at: 0,
            lead,
            padding: 0,
            treatment,
        }
    }

    /// Octets of the header block from here to its end in this frame.
    fn block_left(&self) -> u32 {
        let end = self.header.length.saturating_sub(self.padding);
        if self.at < self.lead {
            0
        } else {
            end.saturating_sub(self.at)
        }
    }

    /// Takes one octet of a payload with a header block in it, gives the one to hand on.
    fn block_octet(&mut self, octet: u8, block: &mut Block) -> u8 {
        if self.at < self.lead {
            if self.at == 0 && self.header.has(FrameHeader::PADDED) {
                self.padding = u32::from(octet);
            }
            octet
        } else if self.block_left() > 0 {
            block.pass(octet)
        } else {
            // Padding is zeros, RFC 9113 section 6.1.
            0
        }
    }
}

/// Whether this begins the header of a SETTINGS frame, as far as it goes.
fn may_be_settings(so_far: &[u8]) -> bool {
    let is_settings = |kind: &u8| Kind::of(*kind) == Kind::Settings;
    resumes(so_far, DEFAULT_MAX_FRAME_SIZE) && so_far.get(3).is_none_or(is_settings)
}

/// Blanks up to so many bytes.
fn fill(bytes: &mut Cow<'_, [u8]>, from: usize, count: usize) {
    let to = from.saturating_add(count).min(bytes.len());
    if bytes
        .get(from..to)
        .is_some_and(|bytes| bytes.iter().any(|byte| *byte != BLANK))
    {
        bytes.to_mut().get_mut(from..to).unwrap_or_default().fill(BLANK);
    }
}
