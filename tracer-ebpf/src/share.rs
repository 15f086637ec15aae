//! Who may take how much of the ring buffer, so that nobody fills it at the cost of others.
//!
//! Nobody takes so much that he holds more than twice of what is then free (dynamic thresholds, Choudhury and Hahne, 1998).
//! It holds on two levels: for a control group, and for a process within what its group has left. So one process has 4/7 of
//! an idle ring, all processes of a group together 2/3, and whoever comes next as much of the rest, be it read or not. Nobody
//! has to be counted, and nothing is wanted of user space but that it reads.

use aya_ebpf::helpers::generated::bpf_get_current_cgroup_id;
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::maps::ring_buf::RingBufEntry;
use tracer_common::state::{ProcessId, loss};

use crate::maps::{self, EVENTS, GROUPS, REFUSED, TENANTS};

/// How many times what is free one may hold.
const FACTOR: u64 = 2;
const FOR_GROUP: u64 = FACTOR + 1;
const FOR_PROCESS: u64 = FACTOR * FOR_GROUP + 1;

/// What the ring keeps beside each record, `BPF_RINGBUF_HDR_SZ`.
const RECORD_HEADER: u64 = 8;

/// `BPF_RB_RING_SIZE`, `BPF_RB_CONS_POS` and `BPF_RB_PROD_POS` of `linux/bpf.h`.
const RING_SIZE: u64 = 1;
const READER: u64 = 2;
const WRITER: u64 = 3;

/// The control group of processes that are in none: the root of its hierarchy. So is everything where version 1 is used.
const ROOT_GROUP: u64 = 1;

/// Beside the id of a process that is its own group.
const ALONE: u64 = 1 << 63;

/// What one process or control group holds of the ring: what it took less what is known to be read.
///
/// It never seems to hold less than it does, and at most twice as much. Two processors that look at once may count some
/// as read too early; the next look but one is right again.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Share {
    /// Bytes that it ever took.
    taken: u64,
    /// Of them, those that are read.
    read: u64,
    /// Of them, those that are read once the reader is at `mark`.
    before_mark: u64,
    /// A position of the ring.
    mark: u64,
    /// Where its latest record ends.
    end: u64,
}

impl Share {
    /// What is held of a ring that is read and written at these positions.
    #[inline(always)]
    fn held(&mut self, reader: u64, writer: u64) -> u64 {
        let taken = self.taken;
        if reader >= self.end {
            self.read = taken;
            self.before_mark = taken;
            self.mark = writer;
        } else if reader >= self.mark {
            self.read = self.before_mark;
            self.before_mark = taken;
            self.mark = writer;
        }
        taken.saturating_sub(self.read)
    }

    #[inline(always)]
    fn take(&mut self, bytes: u64, writer: u64) {
        // Behind all that it has taken a place for, be that written yet or not.
        let start = if self.end > writer { self.end } else { writer };
        self.end = start + bytes;
        maps::add(&raw mut self.taken, bytes);
    }
}

/// Whose records are to be handed over.
pub(crate) struct Tenant {
    id: ProcessId,
    process: &'static mut Share,
    group: &'static mut Share,
}

impl Tenant {
    /// The process that runs now. `None` where nothing can be known of it.
    #[inline(always)]
    pub(crate) fn current(process: u32, start: u64) -> Option<Self> {
        // SAFETY: the helper takes nothing and cannot fail.
        let group = match unsafe { bpf_get_current_cgroup_id() } {
            0 | ROOT_GROUP => ALONE | u64::from(process),
            group => group,
        };
        Some(Self {
            id: ProcessId {
                start,
                process,
                unused: 0,
            },
            group: find(&GROUPS, group)?,
            process: find(&TENANTS, u64::from(process))?,
        })
    }

    /// Takes a place in the ring for a record with so many bytes of plaintext. `None` is counted.
    #[inline(always)]
    pub(crate) fn reserve<T>(&mut self, length: u64) -> Option<RingBufEntry<T>> {
        if self.takes(place(size_of::<T>()), length) {
            reserve(length)
        } else {
            None
        }
    }

    /// Takes so many bytes of the ring for one record. Where that is too much, the record is counted as lost.
    #[inline(always)]
    pub(crate) fn takes(&mut self, bytes: u64, length: u64) -> bool {
        let room = self.room();
        let fits = FOR_GROUP * bytes <= room.group && FOR_PROCESS * bytes <= room.process;
        if fits {
            self.take(bytes, room.writer);
        } else {
            self.lose(1, length);
        }
        fits
    }

    /// Takes so many bytes of the ring, or as many of them as may be taken; how many.
    #[inline(always)]
    pub(crate) fn take_some(&mut self, wanted: u64) -> u64 {
        let room = self.room();
        let (group, process) = (room.group / FOR_GROUP, room.process / FOR_PROCESS);
        let most = if group < process { group } else { process };
        let taken = if wanted < most { wanted } else { most };
        self.take(taken, room.writer);
        taken
    }

    /// So much was more than its share.
    #[inline(always)]
    pub(crate) fn lose(&self, records: u64, bytes: u64) {
        maps::lose(loss::PROCESS_SHARE, records, bytes);
        if let Some(known) = REFUSED.get_ptr_mut(self.id) {
            maps::count(known, records, bytes);
        } else {
            // Somebody else's losses make room; in all they are counted above.
            let _full = REFUSED.insert(self.id, [records, bytes], 0);
        }
    }

    #[inline(always)]
    fn room(&mut self) -> Room {
        let (reader, writer) = (EVENTS.query(READER), EVENTS.query(WRITER));
        let free = EVENTS.query(RING_SIZE).saturating_sub(writer - reader);
        let group = (FACTOR * free).saturating_sub(self.group.held(reader, writer));
        let process = (FACTOR * group).saturating_sub(self.process.held(reader, writer));
        Room {
            group,
            process,
            writer,
        }
    }

    #[inline(always)]
    fn take(&mut self, bytes: u64, writer: u64) {
        self.group.take(bytes, writer);
        self.process.take(bytes, writer);
    }
}

/// What is left before anything is taken.
struct Room {
    /// Twice of what is free, less what the group holds. Each byte taken costs [`FOR_GROUP`]: one is held, two less are free.
    group: u64,
    /// Twice of that, less what the process holds. Each byte taken costs [`FOR_PROCESS`].
    process: u64,
    /// Where the ring is written.
    writer: u64,
}

/// What a record takes of the ring.
#[inline(always)]
pub(crate) const fn place(size: usize) -> u64 {
    size.next_multiple_of(8) as u64 + RECORD_HEADER
}

/// A place in the ring that was taken before. `None` is counted.
#[inline(always)]
pub(crate) fn reserve<T>(length: u64) -> Option<RingBufEntry<T>> {
    let slot = EVENTS.reserve::<T>(0);
    if slot.is_none() {
        maps::lose(loss::RING_FULL, 1, length);
    }
    slot
}

#[inline(always)]
fn find(shares: &LruHashMap<u64, Share>, key: u64) -> Option<&'static mut Share> {
    if let Some(known) = shares.get_ptr_mut(key) {
        // SAFETY: a live map value. Others may change it at the same time, with what effect [`Share`] says.
        return unsafe { known.as_mut() };
    }
    let zero = maps::zero();
    let fresh = Share {
        taken: zero,
        read: zero,
        before_mark: zero,
        mark: zero,
        end: zero,
    };
    let _full = shares.insert(key, fresh, 0);
    let known = shares.get_ptr_mut(key)?;
    // SAFETY: as above.
    unsafe { known.as_mut() }
}
