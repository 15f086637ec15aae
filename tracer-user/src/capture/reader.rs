//! Reads capture files, and goes on where one is damaged.

use std::io::{self, Read};

use pcap_parser::pcapng::{
    Block, EnhancedPacketBlock, OptionCode, SectionHeaderBlock, parse_block_be, parse_block_le,
};
use pcap_parser::traits::PcapNGPacketBlock as _;
use thiserror::Error;

use super::block::{Blocks, Next};
use super::comment::{self, Comment, CommentError};
use super::damage::{Damage, DamageReason};
use super::{FORMAT_MARK, FORMAT_VERSION, MARK, json, packet};
use crate::event::ProbeEvent;

/// Reads a capture file block by block; never holds more of it than one block needs.
#[derive(Debug)]
pub struct Reader<R> {
    blocks: Blocks<R>,
    section: Section,
}

/// What one block of the file gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An event; its bytes are borrowed from the read buffer.
    Event(ProbeEvent<'a>),
    /// Something was skipped.
    Damaged(Damage),
    /// A block that describes the file.
    Description,
}

/// Why a file cannot be read at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is not one byte.
    #[error("the file is empty")]
    Empty,
    /// The old format of tcpdump.
    #[error("it is a packet capture in the old pcap format, not a recording of geophone")]
    OldPcap,
    /// gzip, zstd or xz.
    #[error("it is compressed with {0}")]
    Compressed(&'static str),
    /// Nothing of the kind.
    #[error("it is not a pcapng file")]
    NotPcapng,
    /// It begins as pcapng does, but goes on as none.
    #[error("its first block, which says what the file is, is damaged or cut off")]
    HeaderDamaged,
    /// Another program's pcapng.
    #[error("it is a packet capture written by {application}, not a recording of geophone")]
    Foreign {
        /// Name of the program as the file says it.
        application: String,
    },
    /// Of a later version.
    #[error("it has capture format {version}; this geophone reads formats 1 to {FORMAT_VERSION}")]
    Newer {
        /// Format of the file.
        version: u32,
    },
    /// The operating system says no.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
}

impl OpenError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            OpenError::Empty => "the recorder was perhaps stopped before it began: record again",
            OpenError::Compressed("gzip") => "unpack it first: `gunzip -c FILE | geophone replay -`",
            OpenError::Compressed("zstd") => "unpack it first: `zstd -dc FILE | geophone replay -`",
            OpenError::Compressed(_) => "unpack it first and pass it on with `geophone replay -`",
            OpenError::OldPcap | OpenError::NotPcapng | OpenError::Foreign { .. } => {
                "make a recording with `geophone record -o FILE`; captures of the network hold only encrypted bytes"
            }
            OpenError::HeaderDamaged => "take another copy of the file if there is one",
            OpenError::Newer { .. } => "replay it with the geophone that recorded it, or a later one",
            OpenError::Io(_) => "check that the file exists and that you may read it",
        }
    }
}

/// How the packets of the present section are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// Format known.
    Readable,
    /// Not by geophone, as when files of several programs were joined.
    Foreign,
    /// Of a later geophone.
    Newer,
}

impl<R: Read> Reader<R> {
    /// Reads as far as is needed to know that this is a recording that can be read.
    pub fn open(source: R) -> Result<Self, OpenError> {
        let mut blocks = Blocks::new(source);
        recognise(blocks.peek(4)?)?;
        let Next::Block(place) = blocks.next()? else {
            return Err(OpenError::HeaderDamaged);
        };
        let section = match parse(blocks.bytes(&place), blocks.big_endian()) {
            Some(Block::SectionHeader(header)) => match Origin::of(&header) {
                Origin::Geophone { version } if version <= FORMAT_VERSION => Section::Readable,
                Origin::Geophone { version } => return Err(OpenError::Newer { version }),
                Origin::Foreign { application } => return Err(OpenError::Foreign { application }),
            },
            _ => return Err(OpenError::HeaderDamaged),
        };
        Ok(Self { blocks, section })
    }

    /// Reads one more block. `None` at the end of the file.
    ///
    /// Damage is an item; an error is the operating system's only.
    pub fn read(&mut self) -> io::Result<Option<Item<'_>>> {
        let place = match self.blocks.next()? {
            Next::Block(place) => place,
            Next::Skipped(damage) => return Ok(Some(Item::Damaged(damage))),
            Next::End => return Ok(None),
        };
        let damaged = |reason| {
            Ok(Some(Item::Damaged(Damage {
                offset: place.offset,
                bytes: place.length(),
                reason,
            })))
        };
        match parse(self.blocks.bytes(&place), self.blocks.big_endian()) {
            Some(Block::SectionHeader(header)) => {
                self.section = match Origin::of(&header) {
                    Origin::Geophone { version } if version <= FORMAT_VERSION => Section::Readable,
                    Origin::Geophone { .. } => Section::Newer,
                    Origin::Foreign { .. } => Section::Foreign,
                };
                Ok(Some(Item::Description))
            }
            Some(Block::InterfaceDescription(_)) => Ok(Some(Item::Description)),
            Some(Block::EnhancedPacket(packet)) => match (self.section, event(&packet)) {
                (Section::Readable, Ok(event)) => Ok(Some(Item::Event(event))),
                (Section::Readable, Err(reason)) => damaged(reason),
                (Section::Foreign, _) => damaged(DamageReason::Foreign),
                (Section::Newer, _) => damaged(DamageReason::Newer),
            },
            Some(_) => damaged(DamageReason::Foreign),
            None => damaged(DamageReason::Malformed),
        }
    }

    /// How many bytes of the file are behind us.
    pub fn position(&self) -> u64 {
        self.blocks.position()
    }
}

/// Who wrote a section.
enum Origin {
    Geophone { version: u32 },
    Foreign { application: String },
}

impl Origin {
    fn of(header: &SectionHeaderBlock<'_>) -> Self {
        let version = header
            .options
            .iter()
            .filter(|option| option.code == OptionCode::Comment)
            .filter_map(|option| option.as_str().ok())
            .find_map(|comment| comment.strip_prefix(FORMAT_MARK)?.parse().ok());
        if let Some(version) = version {
            return Self::Geophone { version };
        }
        let application = match header.shb_userappl() {
            Some(Ok(name)) => name
                .chars()
                .filter(|c| !c.is_control())
                .take(LONGEST_NAME)
                .collect(),
            _ => "another program".to_owned(),
        };
        Self::Foreign { application }
    }
}

/// Refuses by the first bytes what is surely something else.
fn recognise(first: &[u8]) -> Result<(), OpenError> {
    match first {
        [] => Err(OpenError::Empty),
        [0x0a, 0x0d, 0x0d, 0x0a] => Ok(()),
        [0xa1, 0xb2, 0xc3, 0xd4]
        | [0xd4, 0xc3, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0x3c, 0x4d]
        | [0x4d, 0x3c, 0xb2, 0xa1] => Err(OpenError::OldPcap),
        [0x1f, 0x8b, ..] => Err(OpenError::Compressed("gzip")),
        [0x28, 0xb5, 0x2f, 0xfd] => Err(OpenError::Compressed("zstd")),
        [0xfd, b'7', b'z', b'X'] => Err(OpenError::Compressed("xz")),
        _ => Err(OpenError::NotPcapng),
    }
}

fn parse(block: &[u8], big_endian: bool) -> Option<Block<'_>> {
    let parsed = if big_endian {
        parse_block_be(block)
    } else {
        parse_block_le(block)
    };
    parsed.ok().map(|(_, block)| block)
}

/// The event of a packet.
fn event<'a>(block: &EnhancedPacketBlock<'a>) -> Result<ProbeEvent<'a>, DamageReason> {
    let line = block
        .options
        .iter()
        .filter(|option| option.code == OptionCode::Comment)
        .filter_map(|option| option.as_bytes().ok())
        .find(|comment| comment.starts_with(MARK.as_bytes()))
        .ok_or(DamageReason::Foreign)?;
    let captured: usize = block.caplen.try_into().map_err(|_| DamageReason::Malformed)?;
    let packet: &'a [u8] = block.data.get(..captured).ok_or(DamageReason::Malformed)?;
    if block.truncated() {
        return Err(DamageReason::Checksum);
    }
    let is_json = line
        .get(MARK.len()..)
        .is_some_and(|rest| rest.starts_with(b"event "));
    let payload = if is_json {
        Some(packet)
    } else {
        packet::payload(packet)
    };
    let payload = payload.ok_or(DamageReason::Malformed)?;
    let comment = comment::parse(line, payload).map_err(|error| match error {
        CommentError::Malformed => DamageReason::Malformed,
        CommentError::Checksum => DamageReason::Checksum,
    })?;
    match comment {
        Comment::Data(facts) => Ok(ProbeEvent::Data(facts.with_bytes(payload))),
        Comment::Open { connection, time } => Ok(ProbeEvent::Open { connection, time }),
        Comment::Close { connection, time } => Ok(ProbeEvent::Close { connection, time }),
        Comment::Event => {
            let event: json::Event<'a> =
                serde_json::from_slice(payload).map_err(|_| DamageReason::Malformed)?;
            Ok(event.into())
        }
    }
}

/// Takes any bytes as a capture file, read whole and in small pieces, and asserts what must hold for all of them: both
/// give the same, and all bytes are accounted for.
pub fn fuzz(data: &[u8]) {
    let whole = read_all(data);
    let pieces = read_all(Pieces { rest: data, next: 1 });
    assert_eq!(whole, pieces, "the sizes of reads must not matter");
}

fn read_all(source: impl Read) -> Option<(Vec<ProbeEvent<'static>>, Vec<Damage>, u64)> {
    let mut reader = Reader::open(source).ok()?;
    let (mut events, mut damage) = (Vec::new(), Vec::new());
    while let Ok(Some(item)) = reader.read() {
        match item {
            Item::Event(event) => events.push(event.into_owned()),
            Item::Damaged(part) => damage.push(part),
            Item::Description => {}
        }
    }
    Some((events, damage, reader.position()))
}

/// Gives its bytes in pieces of 1, 2, 3, … bytes.
struct Pieces<'a> {
    rest: &'a [u8],
    next: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.next.min(out.len()).min(self.rest.len());
        let (now, later) = self.rest.split_at(count);
        if let Some(place) = out.get_mut(..count) {
            place.copy_from_slice(now);
        }
        self.rest = later;
        self.next = self.next % 61 + 1;
        Ok(count)
    }
}

/// Characters of a foreign program's name that are worth repeating.
const LONGEST_NAME: usize = 80;
