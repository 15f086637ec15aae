//! Go's `crypto/tls`: goroutines move between threads, and their stacks move in memory.
//!
//! So nothing is keyed by thread, and nothing hangs on the return address: what a read gave is taken at each of its `RET`
//! instructions. Objects on Go's heap do not move; `*tls.Conn` is the connection.

use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::programs::ProbeContext;

use crate::call::{self, Call, CallKey};
use crate::connection;
use crate::maps::GO_READS;
use crate::process::Caller;
use crate::registers;
use tracer_common::record::flag;

/// A goroutine reads one connection at a time.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct GoroutineKey {
    process: u64,
    goroutine: u64,
}

impl GoroutineKey {
    #[inline(always)]
    fn new(caller: Caller, goroutine: u64) -> Self {
        Self {
            process: u64::from(caller.process()),
            goroutine,
        }
    }
}

/// Entry of `func (c *Conn) Write(b []byte) (int, error)`: all of it is written, or the connection fails.
#[inline(always)]
pub(crate) fn write(context: &ProbeContext) {
    let caller = Caller::current();
    let arguments = registers::go_call(context);
    if !connection::may_be_seen(caller, arguments.first) {
        return;
    }
    if connection::is_ignored(caller, arguments.first) || registers::go_begins_again(context) {
        return;
    }
    connection::begin_before_handshake(caller, arguments.first, arguments.second, arguments.third);
    let call = Call::new(arguments.first, arguments.second, arguments.third);
    let key = CallKey::new(caller, true);
    call::moved(context, caller, key, &call, arguments.third, flag::JOINED_LATE);
}

/// Entry of `func (c *Conn) Read(b []byte) (int, error)`.
#[inline(always)]
pub(crate) fn read(context: &ProbeContext) {
    let caller = Caller::current();
    let arguments = registers::go_call(context);
    if !connection::may_be_seen(caller, arguments.first) {
        return;
    }
    let key = GoroutineKey::new(caller, arguments.goroutine);
    if connection::is_ignored(caller, arguments.first) {
        let _gone = GO_READS.remove(key);
        return;
    }
    let call = Call::new(arguments.first, arguments.second, arguments.third);
    // An LRU map: a goroutine may end within a call without a return.
    let _full = GO_READS.insert(key, call, 0);
}

/// The call of a goroutine that was waiting in `Read` when the probes came, as one does on every idle connection. The
/// function has put its arguments into the space that its caller keeps for them (`abi-internal.md`, "spill space"), above the
/// return address. They are believed only if they name a connection that has been written to since.
#[inline(always)]
fn begun_before(context: &ProbeContext, caller: Caller) -> Option<Call> {
    const RETURN_ADDRESS: u64 = 8;
    if !caller.is_followed() {
        return None;
    }
    let space = registers::stack_pointer(context) + RETURN_ADDRESS;
    // SAFETY: the helper takes any address and reports those it cannot read.
    let [address, buffer, size] = unsafe { bpf_probe_read_user(space as *const [u64; 3]) }.ok()?;
    connection::is_wanted_still(caller, address).then(|| Call::new(address, buffer, size))
}

/// Entry of `func (c *Conn) clientHandshake(ctx context.Context) error`
#[inline(always)]
pub(crate) fn handshake(context: &ProbeContext) {
    if !registers::go_begins_again(context) {
        connection::shakes_hands(registers::go_call(context).first);
    }
}

/// A `RET` of the same: the count is the first result.
#[inline(always)]
pub(crate) fn read_returns(context: &ProbeContext) {
    let caller = Caller::current();
    let results = registers::go_call(context);
    let count = results.first;
    let key = GoroutineKey::new(caller, results.goroutine);
    let call = match GO_READS.get_ptr(key) {
        Some(saved) => {
            // SAFETY: a live map value, which only this goroutine writes.
            let call = unsafe { *saved };
            let _gone = GO_READS.remove(key);
            call
        }
        None => match begun_before(context, caller) {
            Some(call) => call,
            None => return,
        },
    };
    if (count as i64) <= 0 || !call.holds(count) {
        return;
    }
    call::moved(
        context,
        caller,
        CallKey::new(caller, false),
        &call,
        count,
        flag::JOINED_LATE,
    );
}
