//! Reads and writes: arguments are saved at entry, plaintext is taken at return.
//!
//! At return the real count is known: a write that asks to be called again (`SSL_ERROR_WANT_WRITE`) would otherwise be
//! seen twice. The buffer was just touched by the cipher, so it is in memory, which `bpf_probe_read_user` needs.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::generated::bpf_get_attach_cookie;
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use aya_log_ebpf::warn;
use tracer_common::cookie::CallShape;
use tracer_common::record::flag;
use tracer_common::state::{loss, verdict};

use crate::emit::Transfer;
use crate::maps::{self, CALLS, PROGRAMS, TRANSFERS, program};
use crate::process::Caller;
use crate::{connection, hints};

/// A thread can be within a read and a write at once (a handshake in `SSL_read` that makes the application write), but
/// not within two of a kind.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct CallKey {
    pid_tgid: u64,
    write: u64,
}

/// What must be remembered from entry to return.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Call {
    connection: u64,
    buffer: u64,
    /// Size of the buffer: a count above it is not believed.
    size: u64,
    /// Where the count will be; 0 where the result is the count.
    count: u64,
}

impl Call {
    /// A call whose result is the count.
    #[inline(always)]
    pub(crate) fn new(connection: u64, buffer: u64, size: u64) -> Self {
        Self {
            connection,
            buffer,
            size,
            count: maps::zero(),
        }
    }

    /// Whether the buffer has room for so much.
    #[inline(always)]
    pub(crate) fn holds(&self, count: u64) -> bool {
        count <= self.size
    }
}

impl CallKey {
    #[inline(always)]
    pub(crate) fn new(caller: Caller, write: bool) -> Self {
        Self {
            pid_tgid: caller.pid_tgid,
            write: u64::from(write),
        }
    }
}

/// Entry of `f(SSL *, void *buffer, size, …)`.
#[inline(always)]
pub(crate) fn enter(context: &ProbeContext) {
    let caller = Caller::current();
    let (Some(connection), Some(buffer), Some(size)) =
        (context.arg(0), context.arg(1), context.arg::<u64>(2))
    else {
        return;
    };
    if !connection::may_be_seen(caller, connection) {
        return;
    }
    // SAFETY: the helper reads the cookie of the link that this program runs for.
    let shape = CallShape::decode(unsafe { bpf_get_attach_cookie(context.as_ptr()) });
    // Where nobody tells when a connection is made, an ignored one may have made room for one that is wanted.
    if connection::is_ignored(caller, connection)
        && (shape.beginnings_told || !shape.write || !hints::begins(buffer, true))
    {
        return;
    }
    let (size, count) = match shape.count_argument {
        // `int num`: the upper half of the register is not defined.
        None => (u64::from(size as u32), 0),
        Some(3) => (size, context.arg(3).unwrap_or(0)),
        Some(4) => (size, context.arg(4).unwrap_or(0)),
        Some(other) => {
            warn!(context, "no function has its count in argument {}", other);
            return;
        }
    };
    let call = Call {
        connection,
        buffer,
        size,
        count,
    };
    if CALLS.insert(CallKey::new(caller, shape.write), call, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, 0);
    }
}

/// Return of the same. Which direction it was, the cookie of the return probe says.
#[inline(always)]
pub(crate) fn leave(context: &RetProbeContext) {
    let caller = Caller::current();
    // SAFETY: as in `enter`.
    let shape = CallShape::decode(unsafe { bpf_get_attach_cookie(context.as_ptr()) });
    let key = CallKey::new(caller, shape.write);
    let Some(saved) = CALLS.get_ptr(key) else {
        return;
    };
    // SAFETY: a live map value, which only this thread writes.
    let call = unsafe { *saved };
    forget(key);

    let result: i32 = context.ret();
    if result <= 0 {
        if result == 0 && !shape.write && !shape.beginnings_told && call.size != 0 {
            connection::freed(call.connection);
        }
        return;
    }
    let count = if call.count == 0 {
        result as u64
    } else {
        // SAFETY: the helper checks the address.
        match unsafe { bpf_probe_read_user(call.count as *const u64) } {
            Ok(count) => count,
            Err(_) => {
                maps::lose(loss::READ_FAULT, 1, 0);
                return;
            }
        }
    };
    if !call.holds(count) {
        warn!(
            context,
            "a call on a buffer of {} bytes says it moved {}: not handed over", call.size, count
        );
        return;
    }
    if !shape.beginnings_told && shape.write {
        connection::begin_by_bytes(caller, call.connection, call.buffer, count);
    }
    moved(context, caller, key, &call, count, flag::JOINED_LATE);
}

/// Continues [`leave`] for a call that wants more than one record.
#[inline(always)]
pub(crate) fn leave_large(context: &RetProbeContext) {
    // SAFETY: as in `enter`.
    let shape = CallShape::decode(unsafe { bpf_get_attach_cookie(context.as_ptr()) });
    let key = CallKey::new(Caller::current(), shape.write);
    if let Some(transfer) = TRANSFERS.get_ptr(key) {
        // SAFETY: a live map value, which only this thread writes.
        unsafe { (*transfer).hand_over() };
        let _gone = TRANSFERS.remove(key);
    }
}

/// Drops what was saved of a call, if there is one.
#[inline(always)]
pub(crate) fn forget(key: CallKey) {
    let _gone = CALLS.remove(key);
}

/// `count` bytes passed. A connection that was never seen before is taken up as `flags` says.
#[inline(always)]
pub(crate) fn moved<C: EbpfContext>(
    context: &C,
    caller: Caller,
    key: CallKey,
    call: &Call,
    count: u64,
    flags: u32,
) {
    if count == 0 {
        return;
    }
    let write = key.write != 0;
    let Some(connection) = connection::find_or_join(caller, call.connection, flags) else {
        return;
    };
    let decided = connection.update_verdict(caller, call.connection);
    if decided == verdict::UNKNOWN && write && hints::requests_bedrock(call.buffer, count) {
        connection.verdict = verdict::LIKELY;
    }
    let allowed = connection.allowance(write, count);
    let mut transfer = Transfer::new(
        caller,
        call.connection,
        connection,
        write,
        call.buffer,
        count,
        allowed,
    );
    connection.stream(write).offset += count;
    if transfer.is_small() {
        transfer.hand_over_small();
        return;
    }
    transfer.take_place();
    if TRANSFERS.insert(key, transfer, 0).is_err() {
        maps::lose(loss::MAP_FULL, 1, allowed);
        return;
    }
    // SAFETY: the other program has the same context. It does not come back but for an empty slot.
    unsafe { PROGRAMS.tail_call(context, program::CALL_RETURN_LARGE) };
    maps::lose(loss::MAP_FULL, 1, allowed);
}
