//! Which encrypter and decrypter of rustls belong to one connection.
//!
//! In every version of rustls a connection has a `RecordLayer` with a `Box<dyn MessageEncrypter>` and a
//! `Box<dyn MessageDecrypter>` side by side. A method of either is called through a pointer to it that the caller holds in a
//! register or on its stack. So: of everything that may be such a pointer, find the one behind which our own box lies; the
//! box beside it is the partner's. All is read at one instant, so it does not matter that connections move in memory.

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::bpf_probe_read_user;

use crate::maps;
use crate::registers::{self, KEPT};

/// Words of the stack that are looked at, after the registers.
const STACK_WORDS: usize = 128;
/// Pointers that are looked at in one go.
const PORTION: usize = 16;
/// How many goes there are: one for the registers, the rest for the stack.
pub(crate) const PORTIONS: u64 = 1 + (STACK_WORDS / PORTION) as u64;
/// Words behind each pointer that are looked at.
const WINDOW: usize = 16;
/// Words of a vtable before its first method: drop, size, alignment.
const FIRST_METHOD: u64 = 3 * 8;
/// The largest state of a cipher that is believed.
const STATE_MAX: u64 = 16 << 10;
/// Vtables and functions of one program lie within so many bytes.
const IMAGE_MAX: u64 = 1 << 30;

/// Where the box of `receiver` lies, as far as a portion of the pointers leads there; else 0. Beside its contents the box
/// holds a vtable, and that names `method`, the probed function, as its first.
///
/// Can be asked at the entry of the function as well as at its return: what the caller holds is the same.
#[inline(always)]
pub(crate) fn place<C: EbpfContext>(context: &C, receiver: u64, method: u64, portion: u64) -> u64 {
    let pointers = pointers(context, portion);
    let mut place = 0;
    let mut index = 0;
    while index < PORTION {
        let base = pointers[index];
        index += 1;
        // SAFETY: the helper checks the address.
        let Ok(window) = (unsafe { bpf_probe_read_user(base as *const [u64; WINDOW]) }) else {
            continue;
        };
        let mut found = 0;
        let mut position = 0;
        while position < WINDOW {
            if window[position] == receiver {
                found = base + 8 * position as u64;
                break;
            }
            position += 1;
        }
        if found != 0 && word(word(found + 8) + FIRST_METHOD) == method {
            place = found;
            break;
        }
    }
    place
}

#[inline(always)]
fn pointers<C: EbpfContext>(context: &C, portion: u64) -> [u64; PORTION] {
    if portion == 0 {
        let kept: [u64; KEPT] = registers::kept(context);
        let [one, two, three, four, five, six] = kept;
        let none = maps::zero();
        return [
            one, two, three, four, five, six, none, none, none, none, none, none, none, none, none, none,
        ];
    }
    let start = registers::stack_pointer(context) + (portion - 1) * (8 * PORTION as u64);
    // SAFETY: the helper checks the address.
    let words = unsafe { bpf_probe_read_user(start as *const [u64; PORTION]) };
    words.unwrap_or([maps::zero(); PORTION])
}

/// Contents of the box beside the one at `place`, or 0.
#[inline(always)]
pub(crate) fn beside(place: u64, receiver: u64, method: u64, write: bool) -> u64 {
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
