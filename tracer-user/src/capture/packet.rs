//! IPv4 and TCP around plaintext, so that every tool that reads packets can follow a connection.
//!
//! All of it is made up but the order of the bytes: the client's address is `10.` and the low 24 bits of its pid, its
//! port is the number of the connection in the file, the server is `192.0.2.1:80` (TEST-NET-1, and port 80 since the
//! bytes are no longer encrypted). A sequence number is the stream offset plus one, so a hole is a missing segment.

use std::collections::HashMap;

use crate::event::{ConnectionKey, Direction};

/// What a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    /// `SYN`: the connection begins.
    Open,
    /// Bytes at this place in the stream.
    Data {
        direction: Direction,
        stream_offset: u64,
    },
    /// `FIN`: the connection ends.
    Close,
}

/// The connections of a file as far as the made-up packets need them.
#[derive(Debug, Default)]
pub(super) struct Flows {
    flows: HashMap<ConnectionKey, Flow>,
    opened: u64,
}

/// One connection: its client port and the next sequence number of each side.
#[derive(Debug, Clone, Copy)]
struct Flow {
    port: u16,
    client_next: u32,
    server_next: u32,
}

impl Flows {
    /// IPv4 and TCP header of a packet with this payload.
    pub(super) fn headers(
        &mut self,
        connection: ConnectionKey,
        segment: Segment,
        payload: &[u8],
    ) -> [u8; IP_HEADER + TCP_HEADER] {
        let flow = self.flow(connection);
        let [_, a, b, c] = connection.process.pid.to_be_bytes();
        let client = ([10, a, b, c], flow.port);
        let (direction, sequence, flags) = match segment {
            Segment::Open => (Direction::Write, 0, SYN),
            Segment::Data {
                direction,
                stream_offset,
            } => (direction, sequence(stream_offset), ACK | PUSH),
            Segment::Close => (Direction::Write, flow.client_next, ACK | FIN),
        };
        let (from, to, acknowledged) = match direction {
            Direction::Write => (client, SERVER, flow.server_next),
            Direction::Read => (SERVER, client, flow.client_next),
        };
        let after = sequence.wrapping_add(low_bits(payload.len() as u64));
        match (segment, direction) {
            (Segment::Close, _) => {
                self.flows.remove(&connection);
            }
            (Segment::Data { .. }, Direction::Write) => {
                self.advance(connection, |flow| flow.client_next = after);
            }
            (Segment::Data { .. }, Direction::Read) => {
                self.advance(connection, |flow| flow.server_next = after);
            }
            (Segment::Open, _) => {}
        }
        write_headers(from, to, sequence, acknowledged, flags, payload)
    }

    fn flow(&mut self, connection: ConnectionKey) -> Flow {
        // Forgetting them all costs no more than a new port for those still open, and only for the eyes of Wireshark.
        if self.flows.len() >= MAX_FLOWS && !self.flows.contains_key(&connection) {
            self.flows.clear();
        }
        let opened = &mut self.opened;
        *self.flows.entry(connection).or_insert_with(|| {
            let number = *opened % u64::from(u16::MAX - FIRST_PORT);
            *opened += 1;
            let port = FIRST_PORT + u16::try_from(number).unwrap_or(0);
            Flow {
                port,
                client_next: 1,
                server_next: 1,
            }
        })
    }

    fn advance(&mut self, connection: ConnectionKey, change: impl FnOnce(&mut Flow)) {
        if let Some(flow) = self.flows.get_mut(&connection) {
            change(flow);
        }
    }
}

/// Finds the payload of a packet with headers made by [`Flows::headers`].
pub(super) fn payload(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let tcp = packet.get(header..)?;
    let offset = usize::from(tcp.get(12)? >> 4) * 4;
    tcp.get(offset..)
}

fn write_headers(
    (from, from_port): ([u8; 4], u16),
    (to, to_port): ([u8; 4], u16),
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    payload: &[u8],
) -> [u8; IP_HEADER + TCP_HEADER] {
    // 0 means "as long as the packet", as network cards write it that segment by themselves.
    let total = u16::try_from(IP_HEADER + TCP_HEADER + payload.len()).unwrap_or(0);
    let mut ip = [0_u8; IP_HEADER];
    put(&mut ip, 0, &[0x45, 0]);
    put(&mut ip, 2, &total.to_be_bytes());
    put(&mut ip, 6, &[0x40, 0, TIME_TO_LIVE, PROTOCOL_TCP]);
    put(&mut ip, 12, &from);
    put(&mut ip, 16, &to);
    let sum = checksum(&[&ip]);
    put(&mut ip, 10, &sum.to_be_bytes());

    let mut tcp = [0_u8; TCP_HEADER];
    put(&mut tcp, 0, &from_port.to_be_bytes());
    put(&mut tcp, 2, &to_port.to_be_bytes());
    put(&mut tcp, 4, &sequence.to_be_bytes());
    if flags & ACK != 0 {
        put(&mut tcp, 8, &acknowledged.to_be_bytes());
    }
    put(&mut tcp, 12, &[0x50, flags, 0xff, 0xff]);
    let length = low_bits((TCP_HEADER + payload.len()) as u64);
    let pseudo = [
        &from[..],
        &to[..],
        &[0, 0, 0, PROTOCOL_TCP],
        &length.to_be_bytes(),
    ]
    .concat();
    let sum = checksum(&[&pseudo, &tcp, payload]);
    put(&mut tcp, 16, &sum.to_be_bytes());

    let mut headers = [0; IP_HEADER + TCP_HEADER];
    put(&mut headers, 0, &ip);
    put(&mut headers, IP_HEADER, &tcp);
    headers
}

/// Internet checksum, RFC 1071; the length of every part but the last is a multiple of four.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        // Words of 32 bits fold to the same sum as those of 16.
        let (words, last) = part.as_chunks::<4>();
        sum += words
            .iter()
            .map(|word| u64::from(u32::from_be_bytes(*word)))
            .sum::<u64>();
        let mut padded = [0; 4];
        put(&mut padded, 0, last);
        sum += u64::from(u32::from_be_bytes(padded));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = header.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn sequence(stream_offset: u64) -> u32 {
    low_bits(stream_offset).wrapping_add(1)
}

/// Sequence numbers count modulo 2^32.
fn low_bits(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 80);
const FIRST_PORT: u16 = 1024;
const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const TIME_TO_LIVE: u8 = 64;
const PROTOCOL_TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Bounds the memory of a recorder that never sees connections close.
const MAX_FLOWS: usize = 65_536;
