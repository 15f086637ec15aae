//! Blanks what is secret in a Huffman-coded string, octet by octet, so that it stays a valid one of the same length.

#![allow(
    clippy::cast_possible_truncation,
    reason = "the low octet of the bits at hand, and codes of at most 30 bits"
)]

use super::value::{Step, Taken, Target, Value};
use crate::hpack::huffman;

/// What in a value is a secret.
#[derive(Debug, Clone, Copy)]
pub(super) enum Secret {
    Nothing,
    Everything,
    Authorization(Value),
    Path(Target),
    /// Everything from here on, in a coded string: zeros, and in the end so many ones.
    Zeros {
        ones: u32,
    },
}

impl Secret {
    /// Zeros for so many bits and octets.
    pub(super) fn zeros(bits: u32, octets: u32) -> Self {
        // The length of a string may be anything.
        let bits = u64::from(bits) + 8 * u64::from(octets);
        Secret::Zeros {
            ones: (bits % 5) as u32,
        }
    }

    /// Takes an octet of the string, and tells whether it has to be hidden.
    pub(super) fn hides(&mut self, octet: u8) -> bool {
        loop {
            let taken = match self {
                Secret::Nothing => return false,
                Secret::Everything | Secret::Zeros { .. } => return true,
                Secret::Authorization(value) => {
                    let Step { next, taken } = value.step(octet);
                    *value = next;
                    taken
                }
                Secret::Path(target) => {
                    let Step { next, taken } = target.step(octet);
                    *target = next;
                    taken
                }
            };
            match taken {
                Taken::Not => {}
                Taken::Seen => return false,
                Taken::Hidden => return true,
            }
        }
    }

    /// Whether only single symbols are hidden here, and readable ones may follow.
    pub(super) fn is_access_key(&self) -> bool {
        matches!(
            self,
            Secret::Authorization(Value::AccessKey) | Secret::Path(Target::AccessKey)
        )
    }

    /// Whether the next symbol will be hidden whatever it is, or nearly so.
    pub(super) fn goes_on(&self) -> bool {
        matches!(
            self,
            Secret::Everything
                | Secret::Authorization(Value::Opaque | Value::OpaqueParameter)
                | Secret::Path(Target::Opaque)
        )
    }
}

/// Bits of a coded string that make no symbol yet: fewer than 30 between two octets.
#[derive(Debug, Default)]
pub(super) struct Bits {
    value: u64,
    count: u32,
}

/// A symbol, and the length of its code.
pub(super) struct Symbol {
    pub(super) symbol: u16,
    length: u32,
}

impl Bits {
    /// Adds eight.
    pub(super) fn add(&mut self, octet: u8) {
        self.value = self.value << 8 | u64::from(octet);
        self.count += 8;
    }

    /// Takes the first symbol out, if it is complete.
    pub(super) fn take(&mut self) -> Option<Symbol> {
        let window = if self.count == 0 {
            0
        } else {
            self.value << (64 - self.count)
        };
        // What is not there yet counts as ones, which only makes codes longer.
        let window = window | u64::MAX.checked_shr(self.count).unwrap_or(0);
        let (symbol, length) = huffman::first_of((window >> 32) as u32);
        self.count = self.count.checked_sub(length)?;
        self.value &= low_ones(self.count);
        Some(Symbol { symbol, length })
    }

    /// Takes an octet of a value, behind which `left` more follow; gives the one to hand on, or none if the string is broken.
    pub(super) fn pass(&mut self, octet: u8, left: u32, secret: &mut Secret) -> Option<u8> {
        let sent = self.count;
        self.add(octet);
        let total = self.count;
        let mut out = self.value;
        loop {
            let start = total - self.count;
            let Some(Symbol { symbol, length }) = self.take() else {
                return Some(out as u8);
            };
            let symbol = u8::try_from(symbol).ok()?;
            // So many of its bits have gone out.
            let sent = sent.saturating_sub(start);
            let prefix = out >> (total - start - sent) & low_ones(sent);
            let hidden = secret.hides(symbol);
            let zeros_from = if hidden && secret.is_access_key() {
                let code = huffman::stand_in(length, prefix as u32, sent);
                let after = total - start - length;
                out = out & !(low_ones(length) << after) | u64::from(code) << after;
                None
            } else if hidden && sent == 0 {
                Some(start)
            } else if hidden {
                // The symbol of which some bits are out already has to become one.
                let (code, length) = huffman::completion(prefix as u32, sent);
                let after = total - start - length;
                out = out & !low_ones(total - start) | u64::from(code) << after;
                Some(start + length)
            } else if secret.goes_on() {
                Some(start + length)
            } else {
                None
            };
            if let Some(from) = zeros_from {
                *secret = Secret::zeros(total - from, left);
                let Secret::Zeros { ones } = *secret else {
                    return None;
                };
                out &= !low_ones(total - from);
                if left == 0 {
                    out |= low_ones(ones);
                }
                return Some(out as u8);
            }
        }
    }
}

/// So many ones, at the low end.
fn low_ones(count: u32) -> u64 {
    u64::MAX.checked_shr(64 - count.min(64)).unwrap_or(0)
}
