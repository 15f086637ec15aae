//! What is known of a connection: which object it is, how far its streams have come, and whether anybody wants it.

use tracer_common::limits;
use tracer_common::record::{flag, kind};
use tracer_common::state::{VerdictKey, loss, verdict};

use crate::maps::{self, CONNECTIONS, VERDICTS};
use crate::process::Caller;
use crate::{emit, hints};

/// `SSL_CTRL_SET_TLSEXT_HOSTNAME` of `openssl/tls1.h`; the macro `SSL_set_tlsext_host_name` comes to this.
const SET_SERVER_NAME: i32 = 55;

/// Beside the flags of a record: nothing told that the connection began but what was written on it.
const BEGUN_BY_BYTES: u64 = 1 << 32;

/// Where an object lives. Its generation is in the value: whoever calls a function knows the address only.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct ConnectionKey {
    address: u64,
    process: u64,
}

/// One direction of a connection.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Stream {
    /// Bytes that passed, handed over or not.
    pub(crate) offset: u64,
    /// Bytes handed over while the verdict was unknown.
    prefix: u64,
    /// The cipher state in use, for rustls; else 0.
    cipher: u64,
}

/// A connection object between its creation and its end.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Connection {
    read: Stream,
    write: Stream,
    /// When the process began; saves a look into another map.
    pub(crate) process_start: u64,
    /// Which of the objects at this address.
    pub(crate) generation: u32,
    /// One of [`verdict`].
    pub(crate) verdict: u32,
    /// Of [`flag`] those that do not change from call to call; and [`BEGUN_BY_BYTES`].
    pub(crate) flags: u64,
}

impl ConnectionKey {
    #[inline(always)]
    pub(crate) fn new(caller: Caller, address: u64) -> Self {
        Self {
            address,
            process: u64::from(caller.process()),
        }
    }
}

impl Connection {
    #[inline(always)]
    fn new(caller: Caller, flags: u64) -> Self {
        let idle = Stream {
            offset: maps::zero(),
            prefix: maps::zero(),
            cipher: maps::zero(),
        };
        Self {
            read: idle,
            write: idle,
            process_start: caller.start(),
            generation: maps::next_generation(),
            verdict: verdict::UNKNOWN,
            flags,
        }
    }

    /// One of the two streams.
    #[inline(always)]
    pub(crate) fn stream(&mut self, write: bool) -> &mut Stream {
        if write { &mut self.write } else { &mut self.read }
    }

    /// Takes up what user space decided meanwhile. A wanted or ignored connection stays so.
    #[inline(always)]
    pub(crate) fn update_verdict(&mut self, caller: Caller, address: u64) -> u32 {
        if self.verdict < verdict::WANT {
            let key = VerdictKey {
                address,
                process: caller.process(),
                generation: self.generation,
            };
            if let Some(decided) = VERDICTS.get_ptr(key) {
                // SAFETY: a live map value of an LRU map: at worst the verdict of another connection that took its
                // place this instant, which user space then repeats for this one.
                self.verdict = unsafe { *decided };
            }
        }
        self.verdict
    }

    /// How many of the next `count` bytes to hand over, and counts them.
    #[inline(always)]
    pub(crate) fn allowance(&mut self, write: bool, count: u64) -> u64 {
        match self.verdict {
            verdict::IGNORE => 0,
            verdict::UNKNOWN => {
                let stream = self.stream(write);
                let left = limits::UNKNOWN_PREFIX.saturating_sub(stream.prefix);
                let allowed = if count < left { count } else { left };
                stream.prefix += allowed;
                allowed
            }
            _ => count,
        }
    }
}

/// Finds a connection; one that was never seen before is taken up as `flags` says.
#[inline(always)]
pub(crate) fn find_or_join(caller: Caller, address: u64, flags: u32) -> Option<&'static mut Connection> {
    let key = ConnectionKey::new(caller, address);
    if let Some(known) = CONNECTIONS.get_ptr_mut(key) {
        // SAFETY: a live map value. Calls on one object do not run at once (OpenSSL forbids it) but for a write
        // within a read on one thread, and that ends before the outer one goes on.
        return unsafe { known.as_mut() };
    }
    let joined = Connection::new(caller, u64::from(flags));
    if CONNECTIONS.insert(key, joined, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
    let known = CONNECTIONS.get_ptr_mut(key)?;
    // SAFETY: as above.
    unsafe { known.as_mut() }
}

/// Whether user space has said that it wants nothing of a connection. The one lookup that an ignored call costs.
#[inline(always)]
pub(crate) fn is_ignored(caller: Caller, address: u64) -> bool {
    match CONNECTIONS.get_ptr(ConnectionKey::new(caller, address)) {
        // SAFETY: a live map value.
        Some(known) => unsafe { (*known).verdict == verdict::IGNORE },
        None => false,
    }
}

/// Whether there is a connection that nobody has said to ignore.
#[inline(always)]
pub(crate) fn is_wanted_still(caller: Caller, address: u64) -> bool {
    match CONNECTIONS.get_ptr(ConnectionKey::new(caller, address)) {
        // SAFETY: a live map value.
        Some(known) => unsafe { (*known).verdict != verdict::IGNORE },
        None => false,
    }
}

/// Whether a cipher state is that of a direction of a connection. It may once have been, and its memory be another's now.
#[inline(always)]
pub(crate) fn uses(caller: Caller, address: u64, write: bool, cipher: u64) -> bool {
    match CONNECTIONS.get_ptr_mut(ConnectionKey::new(caller, address)) {
        // SAFETY: as in `find_or_join`.
        Some(known) => unsafe { (*known).stream(write).cipher == cipher },
        None => false,
    }
}

/// Whether the cipher state that a connection goes by is no longer the one it writes with.
#[inline(always)]
pub(crate) fn has_moved_on(caller: Caller, address: u64) -> bool {
    match CONNECTIONS.get_ptr(ConnectionKey::new(caller, address)) {
        // SAFETY: a live map value.
        Some(known) => unsafe { (*known).write.cipher != address && (*known).write.cipher != 0 },
        None => false,
    }
}

/// A direction of a connection has another cipher state from now on.
#[inline(always)]
pub(crate) fn use_cipher(caller: Caller, address: u64, write: bool, cipher: u64) {
    if let Some(known) = CONNECTIONS.get_ptr_mut(ConnectionKey::new(caller, address)) {
        // SAFETY: as in `find_or_join`.
        unsafe { (*known).stream(write).cipher = cipher };
    }
}

/// Whether what passes through a cipher state that stands beside one of a connection is of that connection.
///
/// It is, if the connection waits for it, or if its state of this direction gave way in a key update (RFC 8446 §4.6.3), of
/// which `updated` knows. Else the memory of an old connection is another's by now.
#[inline(always)]
pub(crate) fn takes(
    caller: Caller,
    address: u64,
    write: bool,
    cipher: u64,
    data: u64,
    updated: impl FnOnce(u64) -> bool,
) -> bool {
    let Some(known) = CONNECTIONS.get_ptr_mut(ConnectionKey::new(caller, address)) else {
        return false;
    };
    // SAFETY: as in `find_or_join`.
    let known = unsafe { &mut *known };
    let own = known.stream(write).cipher;
    if own != 0 && own != cipher {
        return updated(own) || !hints::begins(data, write);
    }
    // Who has sent a request from the beginning on is no server.
    let is_client = known.write.offset != 0 && known.flags & u64::from(flag::JOINED_LATE) == 0;
    write || !is_client || !hints::begins(data, true)
}

/// Whether a call on a connection may be looked at.
///
/// Of a process that is left alone nobody counts the bytes. Should it be followed again, what comes then must not be taken
/// for what comes next: so the connection is forgotten, and is joined late.
#[inline(always)]
pub(crate) fn may_be_seen(caller: Caller, address: u64) -> bool {
    if caller.is_left_alone() {
        let _gone = CONNECTIONS.remove(ConnectionKey::new(caller, address));
        return false;
    }
    caller.is_in_scope()
}

/// A new generation at an address, whatever was there before.
#[inline(always)]
pub(crate) fn begin(caller: Caller, address: u64, flags: u64) -> bool {
    let fresh = Connection::new(caller, flags);
    let key = ConnectionKey::new(caller, address);
    let inserted = CONNECTIONS.insert(key, fresh, 0).is_ok();
    if !inserted {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
    inserted
}

/// A write of a library that does not tell when a connection object is made: where a connection begins, and where another
/// one is at the address of an old one, shows in what is written.
///
/// Every request is taken for the beginning of one. Whether it goes over the same connection as the one before, nobody can
/// tell; and where that was given up, its answer must not be taken from the next.
#[inline(always)]
pub(crate) fn begin_by_bytes(caller: Caller, address: u64, buffer: u64, count: u64) {
    if count >= hints::BEGINNING && hints::begins(buffer, true) {
        begin(caller, address, 0);
    }
}

/// The first that is seen of a connection of Go is a write: its handshake may come within.
#[inline(always)]
pub(crate) fn begin_before_handshake(caller: Caller, address: u64, buffer: u64, count: u64) {
    let key = ConnectionKey::new(caller, address);
    if count >= hints::BEGINNING && CONNECTIONS.get_ptr(key).is_none() && hints::begins(buffer, true) {
        begin(caller, address, BEGUN_BY_BYTES);
    }
}

/// A handshake of Go begins.
#[inline(always)]
pub(crate) fn shakes_hands(address: u64) {
    let caller = Caller::current();
    if let Some(known) = CONNECTIONS.get_ptr_mut(ConnectionKey::new(caller, address)) {
        // SAFETY: as in `find_or_join`.
        let known = unsafe { &mut *known };
        if known.flags & BEGUN_BY_BYTES != 0 && known.read.offset == 0 {
            known.flags &= !BEGUN_BY_BYTES;
            return;
        }
    }
    made(address);
}

/// `SSL_new` returned.
#[inline(always)]
pub(crate) fn made(address: u64) {
    let caller = Caller::current();
    if address == 0 || !may_be_seen(caller, address) {
        return;
    }
    let fresh = Connection::new(caller, 0);
    if CONNECTIONS
        .insert(ConnectionKey::new(caller, address), fresh, 0)
        .is_err()
    {
        maps::lose(loss::MAP_FULL, 1, 0);
        return;
    }
    emit::connection(kind::OPEN, caller, address, &fresh);
}

/// `SSL_free` was called. The object may be referenced elsewhere; what it does then counts as joined late.
#[inline(always)]
pub(crate) fn freed(address: u64) {
    let caller = Caller::current();
    let key = ConnectionKey::new(caller, address);
    let Some(known) = CONNECTIONS.get_ptr(key) else {
        return;
    };
    // SAFETY: a live map value.
    let ended = unsafe { *known };
    let _gone = CONNECTIONS.remove(key);
    emit::connection(kind::CLOSE, caller, address, &ended);
}

/// `SSL_ctrl` was called.
#[inline(always)]
pub(crate) fn control(address: u64, command: i32, argument: u64) {
    if command != SET_SERVER_NAME || argument == 0 {
        return;
    }
    let caller = Caller::current();
    if !may_be_seen(caller, address) {
        return;
    }
    // The name is set before the handshake: the stream is seen from its first byte, whether `SSL_new` was or not.
    let Some(connection) = find_or_join(caller, address, 0) else {
        return;
    };
    let likely = emit::server_name(caller, address, connection, argument, hints::names_bedrock);
    if likely && connection.verdict == verdict::UNKNOWN {
        connection.verdict = verdict::LIKELY;
    }
}

/// Header flags of a call on this connection.
#[inline(always)]
pub(crate) fn call_flags(connection: &Connection, write: bool) -> u32 {
    let direction = if write { flag::WRITE } else { 0 };
    connection.flags as u32 | direction
}
