//! Which encrypter and decrypter of rustls belong to one connection.
//!
//! In every version of rustls a connection has a `RecordLayer` with a `Box<dyn MessageEncrypter>` and a
//! `Box<dyn MessageDecrypter>` side by side. A method of either is called through a pointer to it that the caller holds in a
//! register or on its stack. So: of everything that may be such a pointer, find the one behind which our own box lies; the
//! box beside it is the partner's. All is read at one instant, so it does not matter that connections move in memory.

use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::programs::ProbeContext;

use crate::registers::{self, KEPT};

/// Words of the stack that are looked at.
const STACK_WORDS: usize = 128;
/// Words behind each pointer that are looked at.
const WINDOW: usize = 16;
/// Words of a vtable before its first method: drop, size, alignment.
const FIRST_METHOD: u64 = 3 * 8;
/// The largest state of a cipher that is believed.
const STATE_MAX: u64 = 16 << 10;
/// Vtables and functions of one program lie within so many bytes.
const IMAGE_MAX: u64 = 1 << 30;

/// Address of the partner, or 0. `receiver` is the box's contents; the probed function is its first method.
#[inline(always)]
pub(crate) fn find(context: &ProbeContext, receiver: u64, write: bool) -> u64 {
    let method = registers::instruction_pointer(context);
    let place = place_of(context, receiver, method);
    if place == 0 {
        return 0;
    }
    let vtable = word(place + 8);
    // The encrypter is declared first, and the compiler keeps the order of fields of one size.
    let (near, far) = if write {
        (place + 16, place - 16)
    } else {
        (place - 16, place + 16)
    };
    let partner = boxed(near, vtable, method);
    let partner = if partner == 0 || partner == receiver {
        boxed(far, vtable, method)
    } else {
        partner
    };
    if partner == receiver { 0 } else { partner }
}

/// Where the box of `receiver` lies, or 0. Beside its contents it holds a vtable, which names the probed function.
///
/// The verifier follows every way through the loop, so nothing is decided in it that can wait.
#[inline(always)]
fn place_of(context: &ProbeContext, receiver: u64, method: u64) -> u64 {
    let stack = registers::stack_pointer(context);
    let kept = registers::kept(context);
    let mut place = 0;
    let mut index = 0;
    while index < KEPT + STACK_WORDS {
        let base = if index < KEPT {
            kept[index]
        } else {
            word(stack + 8 * (index - KEPT) as u64)
        };
        index += 1;
        // SAFETY: the helper checks the address.
        let Ok(window) = (unsafe { bpf_probe_read_user(base as *const [u64; WINDOW]) }) else {
            continue;
        };
        let mut found = 0;
        let mut position = 0;
        while position < WINDOW {
            // Without a branch: there is hardly ever more than one.
            let is_it = u64::from(window[position] == receiver);
            found |= is_it * (base + 8 * position as u64);
            position += 1;
        }
        if found != 0 && word(word(found + 8) + FIRST_METHOD) == method {
            place = found;
            break;
        }
    }
    place
}

/// Contents of the box at `place`, if that is one: its vtable is like the one that is known.
#[inline(always)]
fn boxed(place: u64, known_vtable: u64, known_method: u64) -> u64 {
    let contents = word(place);
    let vtable = word(place + 8);
    if !is_object(contents) || !is_object(vtable) || distance(vtable, known_vtable) > IMAGE_MAX {
        return 0;
    }
    let size = word(vtable + 8);
    let alignment = word(vtable + 16);
    let method = word(vtable + FIRST_METHOD);
    let is_vtable = size != 0
        && size <= STATE_MAX
        && alignment != 0
        && alignment <= 64
        && alignment & (alignment - 1) == 0
        && method != known_method
        && distance(method, known_method) <= IMAGE_MAX;
    if is_vtable { contents } else { 0 }
}

/// Whether a number may be the address of something with pointers in it.
#[inline(always)]
fn is_object(address: u64) -> bool {
    address & 7 == 0 && address >= 4096 && address < 1 << 56
}

#[inline(always)]
fn distance(one: u64, other: u64) -> u64 {
    if one > other { one - other } else { other - one }
}

/// A word of the process's memory; 0 where there is none.
#[inline(always)]
fn word(address: u64) -> u64 {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }.unwrap_or(0)
}
