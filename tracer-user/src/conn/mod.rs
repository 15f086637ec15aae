//! Connections: which bytes belong together, in which order, and where some are missing.
//!
//! [`Connections`] keeps one [`StreamReader`] for every TLS connection that is alive. It hands the reader each direction's
//! bytes in stream order and once only, tells it of every gap, and tells it when the connection ends. What the bytes
//! mean is the reader's business: `wire/` brings it.
//!
//! The table is bounded in connections and in memory held by readers. Time is the time of the events: nothing here asks
//! a clock, so that a replay takes the same decisions.

pub(crate) mod fair;
mod order;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey};
use order::Order;

/// Most connections followed at once. Beyond it those quiet for longest are dropped, of the process that has most of them:
/// libraries whose free call cannot be seen would otherwise fill the table.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Most memory that the readers of all connections may hold together (unfinished heads, decoder windows).
pub const HELD_BYTES_MAX: usize = 256 << 20;

/// How long a connection may be silent before what is under way on it is given up. AWS advises clients to wait up to
/// 3600 s for the slowest models.
pub const SILENCE_MAX_NS: u64 = 3_900 * 1_000_000_000;

/// Reads what passes on one connection. `Output` takes what it finds.
pub trait StreamReader<Output> {
    /// A reader for a connection that begins like this.
    fn begin(beginning: Beginning) -> Self;

    /// One more thing happened. After [`StreamEvent::End`] nothing follows.
    fn read(
        &mut self,
        connection: ConnectionKey,
        event: StreamEvent<'_>,
        output: &mut Output,
        counters: &mut Counters,
    );

    /// Bytes of memory held beyond the reader itself.
    fn held(&self) -> usize;
}

/// How much of a connection was there to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// Its first bytes were not seen.
    pub joined_late: bool,
    /// Its other direction could not be found.
    pub unpaired: bool,
    /// Stream offset of the first byte handed over, in whichever direction it came.
    pub offset: u64,
}

/// What happens on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// The next bytes of one direction.
    Bytes(Piece<'a>),
    /// The next bytes of one direction are missing.
    Gap {
        /// The direction with the hole.
        direction: Direction,
        /// How many bytes.
        length: u64,
        /// When the hole was noticed.
        time: Monotonic,
    },
    /// Nothing came for [`SILENCE_MAX_NS`]. The connection may still go on.
    Silent {
        /// When the silence became too long.
        time: Monotonic,
    },
    /// The connection is over.
    End {
        /// Why.
        ending: Ending,
        /// When.
        time: Monotonic,
    },
}

/// Bytes of one direction, contiguous with those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Which way they went.
    pub direction: Direction,
    /// The bytes; never empty.
    pub bytes: &'a [u8],
    /// They are the first of a read or write call: a message may be expected to start here.
    pub call_start: bool,
    /// Length of the whole call.
    pub call_length: u64,
    /// Thread that made the call.
    pub thread: u32,
    /// When the call returned.
    pub time: Monotonic,
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It was freed, or another one lives at its address.
    Closed,
    /// Its process is gone.
    ProcessExited,
    /// It had to make room.
    Evicted,
    /// Tracing stops.
    TracingStopped,
}

/// Every connection that is alive.
#[derive(Debug)]
pub struct Connections<Reader> {
    // Ordered, so that all of a process or an address are neighbours and every walk has one order, live and replayed.
    table: BTreeMap<ConnectionKey, Box<Connection<Reader>>>,
    held: usize,
    capacity: usize,
    held_max: usize,
    now: Monotonic,
    next_sweep: Monotonic,
}

#[derive(Debug)]
struct Connection<Reader> {
    reader: Reader,
    held: usize,
    read: Order,
    write: Order,
    last: Monotonic,
    silent: bool,
}

impl<Reader> Default for Connections<Reader> {
    fn default() -> Self {
        Self::with_limits(CONNECTIONS_MAX, HELD_BYTES_MAX)
    }
}

impl<Reader> Connections<Reader> {
    /// A table with limits of its own.
    pub fn with_limits(capacity: usize, held_max: usize) -> Self {
        Self {
            table: BTreeMap::new(),
            held: 0,
            capacity: capacity.max(1),
            held_max,
            now: Monotonic(0),
            next_sweep: Monotonic(0),
        }
    }

    /// How many connections are followed.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no connection is followed.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Memory held by the readers of all connections.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes one more event; what its bytes mean goes to `output` before this returns.
    pub fn push<Output>(&mut self, event: &ProbeEvent<'_>, output: &mut Output, counters: &mut Counters)
    where
        Reader: StreamReader<Output>,
    {
        if let Some(time) = event.time() {
            self.advance(time, output, counters);
        }
        match event {
            ProbeEvent::Data(data) => self.data(data, output, counters),
            ProbeEvent::Open { connection, time } => {
                let beginning = Beginning {
                    joined_late: false,
                    unpaired: false,
                    offset: 0,
                };
                // Freed and made anew within one generation would be the kernel side's mistake; the newer object is right.
                self.remove(*connection, Ending::Closed, *time, output, counters);
                self.insert(*connection, beginning, *time, output, counters);
            }
            ProbeEvent::Close { connection, time } => {
                self.remove(*connection, Ending::Closed, *time, output, counters);
            }
            ProbeEvent::ProcessExit { process, time } => self.exit(*process, *time, output, counters),
            ProbeEvent::Host(_)
            | ProbeEvent::Process(_)
            | ProbeEvent::ServerName { .. }
            | ProbeEvent::Lost(_)
            | ProbeEvent::Tick(_) => {}
        }
    }

    /// Tracing stops: every connection ends, at the time of the last that was heard of it.
    pub fn finish<Output>(&mut self, output: &mut Output, counters: &mut Counters)
    where
        Reader: StreamReader<Output>,
    {
        self.held = 0;
        for (key, mut connection) in std::mem::take(&mut self.table) {
            let ending = Ending::TracingStopped;
            let time = connection.last;
            connection
                .reader
                .read(key, StreamEvent::End { ending, time }, output, counters);
        }
    }

    fn data<Output>(&mut self, data: &Data<'_>, output: &mut Output, counters: &mut Counters)
    where
        Reader: StreamReader<Output>,
    {
        let key = data.connection;
        if !self.table.contains_key(&key) {
            let beginning = Beginning {
                joined_late: data.joined_late || data.stream_offset > 0,
                unpaired: data.unpaired,
                offset: data.stream_offset,
            };
            self.insert(key, beginning, data.time, output, counters);
        }
        let Some(connection) = self.table.get_mut(&key) else {
            return;
        };
        connection.expire(key, data.time, output, counters);
        connection.last = connection.last.max(data.time);
        connection.silent = false;

        let order = match data.direction {
            Direction::Read => &mut connection.read,
            Direction::Write => &mut connection.write,
        };
        let placed = order.place(data.stream_offset, &data.bytes);
        counters.add(Counter::DuplicateBytes, placed.duplicate);
        if placed.gap > 0 {
            counters.add(Counter::Holes, 1);
            counters.add(Counter::HoleBytes, placed.gap);
            let gap = StreamEvent::Gap {
                direction: data.direction,
                length: placed.gap,
                time: data.time,
            };
            connection.reader.read(key, gap, output, counters);
        }
        if !placed.bytes.is_empty() {
            let piece = StreamEvent::Bytes(Piece {
                direction: data.direction,
                bytes: placed.bytes,
                call_start: data.call_offset == 0 && placed.duplicate == 0,
                call_length: data.call_length,
                thread: data.thread,
                time: data.time,
            });
            connection.reader.read(key, piece, output, counters);
        }

        let held = connection.reader.held();
        self.held = self.held.saturating_sub(connection.held).saturating_add(held);
        connection.held = held;
        if self.held > self.held_max {
            self.make_room(Short::Memory, data.time, output, counters);
        }
    }

    fn insert<Output>(
        &mut self,
        key: ConnectionKey,
        beginning: Beginning,
        time: Monotonic,
        output: &mut Output,
        counters: &mut Counters,
    ) where
        Reader: StreamReader<Output>,
    {
        let first = ConnectionKey { generation: 0, ..key };
        let older: Vec<ConnectionKey> = self.table.range(first..key).map(|(older, _)| *older).collect();
        for older in older {
            self.remove(older, Ending::Closed, time, output, counters);
        }
        if self.table.len() >= self.capacity {
            self.make_room(Short::Places, time, output, counters);
        }
        counters.add(Counter::Connections, 1);
        // Taken up in the middle, nothing is missing before the first bytes of either direction.
        let order = if beginning.offset > 0 {
            Order::Anywhere
        } else {
            Order::At(0)
        };
        let connection = Connection {
            reader: Reader::begin(beginning),
            held: 0,
            read: order,
            write: order,
            last: time,
            silent: false,
        };
        self.table.insert(key, Box::new(connection));
    }

    fn remove<Output>(
        &mut self,
        key: ConnectionKey,
        ending: Ending,
        time: Monotonic,
        output: &mut Output,
        counters: &mut Counters,
    ) where
        Reader: StreamReader<Output>,
    {
        if let Some(mut connection) = self.table.remove(&key) {
            self.held = self.held.saturating_sub(connection.held);
            connection.expire(key, time, output, counters);
            connection
                .reader
                .read(key, StreamEvent::End { ending, time }, output, counters);
        }
    }

    fn exit<Output>(
        &mut self,
        process: ProcessKey,
        time: Monotonic,
        output: &mut Output,
        counters: &mut Counters,
    ) where
        Reader: StreamReader<Output>,
    {
        let first = ConnectionKey {
            process,
            address: 0,
            generation: 0,
        };
        let last = ConnectionKey {
            process,
            address: u64::MAX,
            generation: u32::MAX,
        };
        let keys: Vec<ConnectionKey> = self.table.range(first..=last).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove(key, Ending::ProcessExited, time, output, counters);
        }
    }

    /// Lets the time pass: what was silent for too long is told so. Whether and how often ticks come makes no difference to
    /// what a connection tells, since each is looked at again before its own next event.
    fn advance<Output>(&mut self, time: Monotonic, output: &mut Output, counters: &mut Counters)
    where
        Reader: StreamReader<Output>,
    {
        self.now = self.now.max(time);
        if self.now < self.next_sweep {
            return;
        }
        self.next_sweep = Monotonic(self.now.0.saturating_add(SWEEP_NS));
        for (key, connection) in &mut self.table {
            connection.expire(*key, self.now, output, counters);
        }
    }

    /// Drops the connections that were quiet for longest, of the processes that have more than their part of what is short:
    /// a good many at once, so that a full table does not cost a search for every new connection.
    fn make_room<Output>(
        &mut self,
        short: Short,
        time: Monotonic,
        output: &mut Output,
        counters: &mut Counters,
    ) where
        Reader: StreamReader<Output>,
    {
        let (weight, room): (fn(&Connection<Reader>) -> usize, usize) = match short {
            Short::Places => (
                |_| 1,
                self.table.len() - (self.table.len() / EVICTED_SHARE).max(1),
            ),
            Short::Memory => (|connection| connection.held, self.held_max / 2),
        };
        let mut taken = BTreeMap::<ProcessKey, usize>::new();
        let mut quiet = Vec::new();
        for (key, connection) in &self.table {
            let weight = weight(connection);
            *taken.entry(key.process).or_default() += weight;
            quiet.push((connection.last, *key, weight));
        }
        quiet.sort_unstable();
        let level = fair::level(taken.values().copied(), room);
        for (_, key, weight) in quiet {
            if let Some(taken) = taken.get_mut(&key.process)
                && *taken > level
                && weight > 0
            {
                *taken -= weight;
                counters.add(Counter::ConnectionsEvicted, 1);
                self.remove(key, Ending::Evicted, time, output, counters);
            }
        }
    }
}

/// What there is too little of.
#[derive(Debug, Clone, Copy)]
enum Short {
    /// Places in the table.
    Places,
    /// Memory that readers hold.
    Memory,
}

impl<Reader> Connection<Reader> {
    fn expire<Output>(
        &mut self,
        key: ConnectionKey,
        now: Monotonic,
        output: &mut Output,
        counters: &mut Counters,
    ) where
        Reader: StreamReader<Output>,
    {
        let end = Monotonic(self.last.0.saturating_add(SILENCE_MAX_NS));
        if !self.silent && end < now {
            self.silent = true;
            self.reader
                .read(key, StreamEvent::Silent { time: end }, output, counters);
        }
    }
}

/// How often all connections are looked at for silence.
const SWEEP_NS: u64 = 10 * 1_000_000_000;

/// When the table is full, one in this many connections makes room.
const EVICTED_SHARE: usize = 16;
