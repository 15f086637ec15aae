//! Probe events written down as bytes, so that a fuzzer can make them up and tests can put any split to the proof.
//!
//! A script is a list of calls: `u8 control │ u16 length │ bytes`. Of the control byte, bit 0 is the direction, bit 1 puts
//! a hole before the call, bit 2 closes the connection after it, bit 3 lets a day pass before it, and bit 4 moves it to a
//! second connection.

use std::borrow::Cow;

use super::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey};

/// One read or write call and what happens around it.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// Which way.
    pub direction: Direction,
    /// Bytes missing before it.
    pub hole: u64,
    /// Another connection than the first.
    pub second_connection: bool,
    /// The connection is closed after it.
    pub close: bool,
    /// A day passes before it.
    pub pause: bool,
    /// What was read or written.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Call<'a> {
    /// Bytes written by the process.
    pub fn write(bytes: &'a [u8]) -> Self {
        Self::new(Direction::Write, bytes)
    }

    /// Bytes read by the process.
    pub fn read(bytes: &'a [u8]) -> Self {
        Self::new(Direction::Read, bytes)
    }

    /// The same call with bytes missing before it.
    #[must_use]
    pub fn after_hole(self, hole: u64) -> Self {
        Self { hole, ..self }
    }

    fn new(direction: Direction, bytes: &'a [u8]) -> Self {
        Self {
            direction,
            hole: 0,
            second_connection: false,
            close: false,
            pause: false,
            bytes: Cow::Borrowed(bytes),
        }
    }

    /// Reads a script; a last call that is cut short is taken as far as it goes.
    pub fn parse(mut script: &'a [u8]) -> Vec<Self> {
        let mut calls = Vec::new();
        while let Some((&[control, high, low], rest)) = script.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let (bytes, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            let direction = if control & 1 == 0 {
                Direction::Write
            } else {
                Direction::Read
            };
            calls.push(Self {
                hole: if control & 2 == 0 {
                    0
                } else {
                    u64::from(control >> 5) + 1
                },
                close: control & 4 != 0,
                pause: control & 8 != 0,
                second_connection: control & 16 != 0,
                ..Self::new(direction, bytes)
            });
            script = rest;
        }
        calls
    }

    /// Writes a script.
    pub fn script(calls: &[Self]) -> Vec<u8> {
        let mut script = Vec::new();
        for Call {
            direction,
            hole,
            second_connection,
            close,
            pause,
            bytes,
        } in calls
        {
            let hole =
                u8::try_from(hole.min(&8).saturating_sub(1)).unwrap_or(0) << 5 | u8::from(*hole > 0) << 1;
            let flags = u8::from(*close) << 2 | u8::from(*pause) << 3 | u8::from(*second_connection) << 4;
            script.push(hole | flags | u8::from(*direction == Direction::Read));
            script.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
            script.extend(bytes.iter().take(usize::from(u16::MAX)));
        }
        script
    }
}

/// The events of some calls, each handed over in pieces of at most `size` bytes. With each event goes the number of its call.
pub fn events<'c>(calls: &'c [Call<'_>], size: usize) -> Vec<(usize, ProbeEvent<'c>)> {
    let mut events = Vec::new();
    let mut connections = [0_u64, 1].map(|address| Connection {
        address,
        generation: 0,
        read: 0,
        write: 0,
    });
    let mut time = 1;
    for (number, call) in calls.iter().enumerate() {
        let [first, second] = &mut connections;
        let connection = if call.second_connection { second } else { first };
        time += if call.pause { 86_400_000_000_000 } else { 1_000 };
        let next = match call.direction {
            Direction::Read => &mut connection.read,
            Direction::Write => &mut connection.write,
        };
        *next += call.hole;
        let start = *next;
        *next += call.bytes.len() as u64;
        let key = connection.key();
        for (index, bytes) in call.bytes.chunks(size.max(1)).enumerate() {
            let call_offset = index.saturating_mul(size) as u64;
            let data = Data {
                connection: key,
                direction: call.direction,
                thread: 1,
                time: Monotonic(time),
                stream_offset: start + call_offset,
                call_length: call.bytes.len() as u64,
                call_offset,
                joined_late: false,
                unpaired: false,
                bytes: Cow::Borrowed(bytes),
            };
            events.push((number, ProbeEvent::Data(data)));
        }
        if call.close {
            events.push((
                number,
                ProbeEvent::Close {
                    connection: key,
                    time: Monotonic(time),
                },
            ));
            *connection = Connection {
                generation: connection.generation + 1,
                read: 0,
                write: 0,
                ..*connection
            };
        }
    }
    events
}

/// The process that makes all calls.
pub const PROCESS: ProcessKey = ProcessKey { pid: 1, start_ns: 1 };

/// Where a connection of the script stands.
struct Connection {
    address: u64,
    generation: u32,
    read: u64,
    write: u64,
}

impl Connection {
    fn key(&self) -> ConnectionKey {
        ConnectionKey {
            process: PROCESS,
            address: self.address,
            generation: self.generation,
        }
    }
}
