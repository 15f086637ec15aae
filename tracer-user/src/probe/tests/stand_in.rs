//! Functions in the shape of a TLS library's, in this binary.

use std::fs;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rustix::mm::MlockAllFlags;

use super::super::Tracer;
use super::super::resolve::{AttachPoint, CountReturn, Role};

/// The functions are one set for the whole binary, so the tests that call them take turns.
pub(super) fn take_turns() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static LOCKED: Once = Once::new();
    // A library has just touched what it moves; these functions do not, and a constant of this binary may not be in memory.
    LOCKED.call_once(|| rustix::mm::mlockall(MlockAllFlags::CURRENT).unwrap());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `int SSL_read(SSL *, void *, int)`; the last argument is what it answers.
#[inline(never)]
pub(super) extern "C" fn read(ssl: u64, buffer: *const u8, size: i32, answer: i32) -> i32 {
    black_box((ssl, buffer, size, 'r'));
    black_box(answer)
}

/// `int SSL_write(SSL *, const void *, int)`
#[inline(never)]
pub(super) extern "C" fn write(ssl: u64, buffer: *const u8, size: i32, answer: i32) -> i32 {
    black_box((ssl, buffer, size, 'w'));
    black_box(answer)
}

/// `SSL_read` that makes the application write in the middle, as a handshake message does in node.
#[inline(never)]
pub(super) extern "C" fn read_that_writes(ssl: u64, buffer: *const u8, size: i32, written: &[u8; 3]) -> i32 {
    black_box((buffer, size));
    write(ssl, written.as_ptr(), 3, 3);
    black_box(size)
}

/// `int SSL_read_ex(SSL *, void *, size_t, size_t *)`
#[inline(never)]
pub(super) extern "C" fn read_ex(
    ssl: u64,
    buffer: *const u8,
    size: usize,
    count: &mut usize,
    moved: usize,
    answer: i32,
) -> i32 {
    black_box((ssl, buffer, size));
    *count = moved;
    black_box(answer)
}

/// `int ssl_write_internal(SSL *, const void *, size_t, uint64_t flags, size_t *)`, as from OpenSSL 3.2 on.
#[inline(never)]
pub(super) extern "C" fn write_internal(
    ssl: u64,
    buffer: *const u8,
    size: usize,
    flags: u64,
    count: &mut usize,
    moved: usize,
) -> i32 {
    black_box((ssl, buffer, size, flags));
    *count = moved;
    black_box(1)
}

/// `SSL *SSL_new(SSL_CTX *)`
#[inline(never)]
pub(super) extern "C" fn new(ssl: u64) -> u64 {
    black_box(ssl)
}

/// `void SSL_free(SSL *)`
#[inline(never)]
pub(super) extern "C" fn free(ssl: u64) {
    black_box(ssl);
}

/// `long SSL_ctrl(SSL *, int, long, void *)`
#[inline(never)]
pub(super) extern "C" fn control(ssl: u64, command: i32, larg: i64, argument: *const u8) -> i64 {
    black_box((ssl, command, larg, argument));
    1
}

/// Attaches to all of them.
pub(super) fn attach(tracer: &mut Tracer) {
    let pointer = |argument| CountReturn::OutPointer { argument };
    let functions: [(Role, *const ()); 8] = [
        (Role::Read(CountReturn::ReturnValue), read as *const ()),
        (Role::Write(CountReturn::ReturnValue), write as *const ()),
        (
            Role::Read(CountReturn::ReturnValue),
            read_that_writes as *const (),
        ),
        (Role::Read(pointer(3)), read_ex as *const ()),
        (Role::Write(pointer(4)), write_internal as *const ()),
        (Role::New, new as *const ()),
        (Role::Free, free as *const ()),
        (Role::Control, control as *const ()),
    ];
    let probes = attach_to(tracer, &functions);
    assert_eq!(probes, 13, "two for each call, one for everything else");
}

/// Attaches as to a library whose `SSL_new` cannot be found.
pub(super) fn attach_without_beginnings(tracer: &mut Tracer) {
    let functions: [(Role, *const ()); 2] = [
        (Role::Read(CountReturn::ReturnValue), read as *const ()),
        (Role::Write(CountReturn::ReturnValue), write as *const ()),
    ];
    assert_eq!(attach_to(tracer, &functions), 4);
}

/// Attaches to functions of this binary; tells how many probes that makes.
pub(super) fn attach_to(tracer: &mut Tracer, functions: &[(Role, *const ())]) -> usize {
    let points: Vec<AttachPoint> = functions
        .iter()
        .map(|(role, function)| AttachPoint {
            role: *role,
            offset: file_offset(function.addr() as u64),
            symbol: format!("{role:?}"),
        })
        .collect();
    tracer.attach("/proc/self/exe".as_ref(), &points).unwrap()
}

/// Where in its file the code at an address is.
fn file_offset(address: u64) -> u64 {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .find_map(|line| {
            let mut fields = line.split(' ');
            let (start, end) = fields.next()?.split_once('-')?;
            let start = u64::from_str_radix(start, 16).ok()?;
            let end = u64::from_str_radix(end, 16).ok()?;
            let offset = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
            (start..end).contains(&address).then(|| address - start + offset)
        })
        .unwrap()
}
