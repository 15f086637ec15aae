//! Writes events as pcapng blocks.
//! Format: <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/>

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::comment::{self, Comment, DataFacts};
use super::packet::{Flows, Segment};
use super::{FORMAT_MARK, FORMAT_VERSION, LINKTYPE_RAW, LINKTYPE_USER0, json};
use crate::event::{Data, Direction, Monotonic, ProbeEvent};

/// Writes a capture file, one block an event, each in a single `write_all`.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    flows: Flows,
    /// Wall clock minus monotonic clock, of the latest `Host`.
    wall_offset_ns: i64,
    /// Time of the latest event that had one; `Host` and `Process` are written as of then.
    latest: Option<Monotonic>,
    /// Used again for every event.
    block: Vec<u8>,
    comment: String,
}

impl<W: Write> Writer<W> {
    /// Writes the section header and the two interface descriptions.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self {
            out,
            flows: Flows::default(),
            wall_offset_ns: 0,
            latest: None,
            block: Vec::new(),
            comment: String::new(),
        };
        writer.section_header()?;
        writer.interface(LINKTYPE_RAW, "plaintext", "decrypted traffic in made-up TCP/IP")?;
        writer.interface(
            LINKTYPE_USER0,
            "events",
            "processes, losses and other facts as JSON",
        )?;
        Ok(writer)
    }

    /// Writes one event. What it holds is written as it is: blank credentials before.
    pub fn event(&mut self, event: &ProbeEvent<'_>) -> io::Result<()> {
        if let Some(time) = event.time() {
            self.latest = Some(time);
        }
        match event {
            ProbeEvent::Data(data) => self.data(data),
            ProbeEvent::Open { connection, time } => {
                let facts = Comment::Open {
                    connection: *connection,
                    time: *time,
                };
                let headers = self.flows.headers(*connection, Segment::Open, &[]);
                self.enhanced_packet(Interface::Plaintext, &facts, &headers, &[], WRITTEN)
            }
            ProbeEvent::Close { connection, time } => {
                let facts = Comment::Close {
                    connection: *connection,
                    time: *time,
                };
                let headers = self.flows.headers(*connection, Segment::Close, &[]);
                self.enhanced_packet(Interface::Plaintext, &facts, &headers, &[], WRITTEN)
            }
            ProbeEvent::Host(host) => {
                self.wall_offset_ns = host.wall_offset_ns;
                self.json(event)
            }
            ProbeEvent::Process(_)
            | ProbeEvent::ProcessExit { .. }
            | ProbeEvent::ServerName { .. }
            | ProbeEvent::Lost(_)
            | ProbeEvent::Tick(_) => self.json(event),
        }
    }

    /// Hands everything written so far to the operating system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Gives back what was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn data(&mut self, data: &Data<'_>) -> io::Result<()> {
        let mut facts = DataFacts::of(data);
        let mut rest: &[u8] = &data.bytes;
        loop {
            let (payload, after) = rest.split_at(rest.len().min(MAX_PAYLOAD));
            let segment = Segment::Data {
                direction: facts.direction,
                stream_offset: facts.stream_offset,
            };
            let headers = self.flows.headers(facts.connection, segment, payload);
            let flags = match facts.direction {
                Direction::Read => READ,
                Direction::Write => WRITTEN,
            };
            self.enhanced_packet(
                Interface::Plaintext,
                &Comment::Data(facts),
                &headers,
                payload,
                flags,
            )?;
            if after.is_empty() {
                return Ok(());
            }
            rest = after;
            facts.stream_offset = facts.stream_offset.saturating_add(payload.len() as u64);
            facts.call_offset = facts.call_offset.saturating_add(payload.len() as u64);
        }
    }

    fn json(&mut self, event: &ProbeEvent<'_>) -> io::Result<()> {
        if let Some(written) = json::Event::of(event) {
            let payload = serde_json::to_vec(&written)?;
            self.enhanced_packet(Interface::Events, &Comment::Event, &[], &payload, NO_DIRECTION)?;
        }
        Ok(())
    }

    /// Writes a packet of headers and payload, with its comment.
    fn enhanced_packet(
        &mut self,
        interface: Interface,
        facts: &Comment,
        headers: &[u8],
        payload: &[u8],
        flags: u32,
    ) -> io::Result<()> {
        self.comment.clear();
        comment::write(facts, payload, &mut self.comment);
        let time = self.wall_time();
        let length = length(headers.len() + payload.len())?;

        self.begin(ENHANCED_PACKET);
        self.u32(interface as u32);
        self.u32(u32::try_from(time >> 32).unwrap_or(u32::MAX));
        self.u32(u32::try_from(time & u64::from(u32::MAX)).unwrap_or(0));
        self.u32(length);
        self.u32(length);
        self.block.extend_from_slice(headers);
        self.block.extend_from_slice(payload);
        self.pad();
        let comment = std::mem::take(&mut self.comment);
        self.option(OPTION_COMMENT, comment.as_bytes());
        self.comment = comment;
        if flags != NO_DIRECTION {
            self.option(EPB_FLAGS, &flags.to_le_bytes());
        }
        self.option(OPTION_END, &[]);
        self.end()
    }

    fn section_header(&mut self) -> io::Result<()> {
        self.begin(SECTION_HEADER);
        self.u32(BYTE_ORDER_MAGIC);
        self.block.extend_from_slice(&1_u16.to_le_bytes());
        self.block.extend_from_slice(&0_u16.to_le_bytes());
        // Section length -1: not known.
        self.block.extend_from_slice(&(-1_i64).to_le_bytes());
        self.option(
            OPTION_COMMENT,
            format!("{FORMAT_MARK}{FORMAT_VERSION}").as_bytes(),
        );
        self.option(
            SHB_USERAPPL,
            concat!("geophone ", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
        self.option(OPTION_END, &[]);
        self.end()
    }

    fn interface(&mut self, link_type: u16, name: &str, description: &str) -> io::Result<()> {
        self.begin(INTERFACE_DESCRIPTION);
        self.block.extend_from_slice(&link_type.to_le_bytes());
        self.block.extend_from_slice(&[0, 0]);
        // Snap length 0: no limit.
        self.u32(0);
        self.option(IF_NAME, name.as_bytes());
        self.option(IF_DESCRIPTION, description.as_bytes());
        self.option(IF_TSRESOL, &[NANOSECONDS]);
        self.option(OPTION_END, &[]);
        self.end()
    }

    /// Wall clock of the latest event in ns, as far as a `Host` told the offset. It is for people: nothing reads it back.
    fn wall_time(&self) -> u64 {
        match self.latest {
            Some(Monotonic(time)) => time.saturating_add_signed(self.wall_offset_ns),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    fn begin(&mut self, block_type: u32) {
        self.block.clear();
        self.u32(block_type);
        // The length, filled in by `end`.
        self.u32(0);
    }

    fn end(&mut self) -> io::Result<()> {
        let total = length(self.block.len() + 4)?.to_le_bytes();
        if let Some(place) = self.block.get_mut(4..8) {
            place.copy_from_slice(&total);
        }
        self.block.extend_from_slice(&total);
        self.out.write_all(&self.block)
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        // No value written here comes near the limit.
        let (value, length) = match u16::try_from(value.len()) {
            Ok(length) => (value, length),
            Err(_) => (&[][..], 0),
        };
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&length.to_le_bytes());
        self.block.extend_from_slice(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn u32(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }
}

/// The two interfaces by their number.
#[derive(Debug, Clone, Copy)]
enum Interface {
    Plaintext = 0,
    Events = 1,
}

fn length(length: usize) -> io::Result<u32> {
    match u32::try_from(length) {
        Ok(length) if length <= super::block::MAX_BLOCK => Ok(length),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an event is too large for a capture file",
        )),
    }
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;

/// `if_tsresol`: negative power of ten.
const NANOSECONDS: u8 = 9;

/// `epb_flags`: direction of a packet as the host sees it.
const NO_DIRECTION: u32 = 0;
const READ: u32 = 1;
const WRITTEN: u32 = 2;

/// A longer `Data` is written as several. Far above what the kernel side hands over at once.
pub(super) const MAX_PAYLOAD: usize = 8 << 20;
