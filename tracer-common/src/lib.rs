#![no_std]
//! What the kernel side and the user side agree on: the layout of a record, the keys and values of the maps, the meaning
//! of an attach cookie, and every limit.
//!
//! Everything here has one layout on both sides: `repr(C)`, integers of fixed width, no padding (asserted below), closed
//! sets as named integers, since a byte from the other side is not to be trusted to be a valid `enum`.

pub mod cookie;
pub mod limits;
pub mod record;
pub mod state;
