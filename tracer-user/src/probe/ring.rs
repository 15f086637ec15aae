//! From a record of the ring buffer to an event.

use std::borrow::Cow;

use tracer_common::record::{Header, flag, kind};
use zerocopy::FromBytes as _;

use super::identity::Identity;
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey};

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// Something to hand on.
    Event {
        /// Whose it is.
        process: ProcessKey,
        /// What it is.
        event: ProbeEvent<'a>,
    },
    /// A process of which a connection is met told who it is.
    Identity {
        /// Which.
        process: ProcessKey,
        /// What it told.
        identity: Identity,
    },
    /// A process runs another program now.
    Exec {
        /// Which.
        process: ProcessKey,
        /// When.
        time: Monotonic,
    },
}

/// Reads a record. `None` for one that the kernel side of this build does not write.
pub(super) fn read(bytes: &[u8]) -> Option<Record<'_>> {
    let (header, payload) = Header::read_from_prefix(bytes).ok()?;
    let Header {
        kind,
        length,
        time,
        process_start,
        process,
        thread,
        address,
        generation,
        flags,
        stream_offset,
        call_length,
        call_offset,
    } = header;
    // What lies beyond is left over from earlier records.
    let bytes = payload.get(..usize::try_from(length).ok()?)?;
    let time = Monotonic(time);
    let process = ProcessKey {
        pid: process,
        start_ns: process_start,
    };
    let connection = ConnectionKey {
        process,
        address,
        generation,
    };
    let event = match kind {
        kind::DATA => ProbeEvent::Data(Data {
            connection,
            direction: if flags & flag::WRITE == 0 {
                Direction::Read
            } else {
                Direction::Write
            },
            thread,
            time,
            stream_offset,
            call_length,
            call_offset,
            joined_late: flags & flag::JOINED_LATE != 0,
            unpaired: flags & flag::UNPAIRED != 0,
            bytes: Cow::Borrowed(bytes),
        }),
        kind::OPEN => ProbeEvent::Open { connection, time },
        kind::SERVER_NAME => ProbeEvent::ServerName {
            connection,
            name: String::from_utf8_lossy(bytes),
            time,
        },
        kind::CLOSE => ProbeEvent::Close { connection, time },
        kind::EXIT => ProbeEvent::ProcessExit { process, time },
        kind::EXEC => return Some(Record::Exec { process, time }),
        kind::IDENTITY => {
            let identity = Identity::read(bytes)?;
            return Some(Record::Identity { process, identity });
        }
        _ => return None,
    };
    Some(Record::Event { process, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::IntoBytes as _;

    const HEADER: Header = Header {
        kind: kind::DATA,
        length: 5,
        time: 7,
        process_start: 11,
        process: 13,
        thread: 17,
        address: 19,
        generation: 23,
        flags: flag::WRITE | flag::JOINED_LATE | flag::UNPAIRED,
        stream_offset: 29,
        call_length: 31,
        call_offset: 37,
    };

    fn record(header: Header, slot: &[u8]) -> Vec<u8> {
        [header.as_bytes(), slot].concat()
    }

    #[test]
    fn takes_exactly_the_bytes_that_the_header_counts() {
        let bytes = record(HEADER, b"hellosomebody else's secret");
        let Some(Record::Event {
            event: ProbeEvent::Data(data),
            ..
        }) = read(&bytes)
        else {
            panic!("no data")
        };
        assert_eq!(
            data,
            Data {
                connection: ConnectionKey {
                    process: ProcessKey {
                        pid: 13,
                        start_ns: 11
                    },
                    address: 19,
                    generation: 23,
                },
                direction: Direction::Write,
                thread: 17,
                time: Monotonic(7),
                stream_offset: 29,
                call_length: 31,
                call_offset: 37,
                joined_late: true,
                unpaired: true,
                bytes: Cow::Borrowed(b"hello"),
            }
        );
    }

    #[test]
    fn a_length_beyond_the_slot_is_refused() {
        let header = Header { length: 6, ..HEADER };
        assert_eq!(read(&record(header, b"hello")), None);
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let header = Header { kind: 99, ..HEADER };
        assert_eq!(read(&record(header, b"hello")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).is_none_or(|_| bytes.len() >= size_of::<Header>()));
        }
    }
}
