//! Looks through all code of a file for what leads to an address: without disassembling, since code of a hundred megabytes
//! has to be done in a fraction of a second. What is found is a guess; following the code proves it.

use std::collections::BTreeMap;
use std::ops::Range;

use memchr::{memchr_iter, memmem};

use super::super::image::Image;
use super::super::pointers;

/// Mentions and starts beyond this are those of a file made to keep us busy.
const MAX_FOUND: usize = 1 << 16;
/// Calls in one file; a program of 400 MB has about a million.
const MAX_CALLS: usize = 1 << 24;

/// How an address is known to be the start of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// The unwinder's table begins an entry there: a function, or a part of one that a compiler moved away.
    Unwinding,
    /// An address in data leads there.
    Pointer,
    /// A call leads there.
    Call,
}

/// Where functions may begin.
#[derive(Debug, Default)]
pub(super) struct Starts(BTreeMap<u64, Evidence>);

impl Starts {
    pub(super) fn of(&self, address: u64) -> Option<Evidence> {
        self.0.get(&address).copied()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.keys().copied()
    }

    /// The first one behind an address.
    pub(super) fn after(&self, address: u64) -> Option<u64> {
        self.0
            .range(address.checked_add(1)?..)
            .next()
            .map(|(start, _)| *start)
    }

    /// Those up to an address, the nearest first.
    pub(super) fn before(&self, address: u64) -> impl Iterator<Item = u64> + '_ {
        self.0.range(..=address).rev().map(|(start, _)| *start)
    }

    fn add(&mut self, address: u64, evidence: Evidence) {
        let known = self.0.entry(address).or_insert(evidence);
        *known = evidence.max(*known);
    }
}

/// What one pass through all code gives.
#[derive(Debug, Default)]
pub(in super::super) struct Scan {
    /// Instructions that seem to load an address in one of the texts, in order: `lea r64, [rip + d32]`, and `mov r32, imm32`
    /// where addresses are final.
    pub(super) mentions: Vec<u64>,
    /// Where calls seem to lead.
    targets: Vec<u64>,
}

/// Goes through all code once.
pub(super) fn scan(image: &Image<'_>, texts: &[Range<u64>]) -> Scan {
    let mut scan = Scan::default();
    let (Some(first), Some(last)) = (
        texts.iter().map(|text| text.start).min(),
        texts.iter().map(|text| text.end).max(),
    ) else {
        return scan;
    };
    let is_text =
        |address: u64| (first..last).contains(&address) && texts.iter().any(|text| text.contains(&address));
    let finals: Vec<[u8; 4]> = texts
        .iter()
        .filter(|_| image.is_fixed)
        .filter_map(|text| Some(u32::try_from(text.start).ok()?.to_le_bytes()))
        .collect();
    let code = image.code();
    let bounds = code.iter().map(|stretch| stretch.address).min().unwrap_or(0)
        ..code
            .iter()
            .map(|stretch| stretch.address.saturating_add(stretch.size))
            .max()
            .unwrap_or(0);
    for stretch in code {
        let full = image.windows(stretch, |address, window| {
            loads(address, window, |place, target| {
                if is_text(target) {
                    scan.mentions.push(place);
                }
            });
            for value in &finals {
                for place in memmem::find_iter(window, value) {
                    let loads = place
                        .checked_sub(1)
                        .and_then(|before| window.get(before))
                        .is_some_and(|opcode| opcode & 0xf8 == 0xb8);
                    if loads {
                        scan.mentions
                            .push(address.wrapping_add(place as u64).wrapping_sub(1));
                    }
                }
            }
            calls_in(address, window, |_, target| {
                if bounds.contains(&target) {
                    scan.targets.push(target);
                }
            });
            (scan.mentions.len() > MAX_FOUND || scan.targets.len() > MAX_CALLS).then_some(())
        });
        if full.is_some() {
            return Scan::default();
        }
    }
    scan.mentions.sort_unstable();
    scan.mentions.dedup();
    scan
}

impl Scan {
    /// Everything in these regions that looks like the start of a function. To look for pointers to them as well takes another
    /// pass through all data.
    pub(super) fn starts(&self, image: &Image<'_>, regions: &[Range<u64>], with_pointers: bool) -> Starts {
        let mut starts = Starts::default();
        let (Some(first), Some(last)) = (
            regions.first().map(|region| region.start),
            regions.last().map(|region| region.end),
        ) else {
            return starts;
        };
        let is_in = |address: u64| {
            (first..last).contains(&address)
                && regions
                    .get(regions.partition_point(|region| region.end <= address))
                    .is_some_and(|region| region.contains(&address))
        };
        for target in self.targets.iter().filter(|target| is_in(**target)) {
            starts.add(*target, Evidence::Call);
        }
        for address in image.unwinding_starts(first..last) {
            if is_in(address) {
                starts.add(address, Evidence::Unwinding);
            }
        }
        let pointers = if with_pointers {
            pointers::to(image, MAX_FOUND, is_in).unwrap_or_default()
        } else {
            Vec::new()
        };
        for pointer in pointers {
            starts.add(pointer.value, Evidence::Pointer);
        }
        starts
    }
}

/// Instructions that seem to call a function, in order.
pub(super) fn calls(image: &Image<'_>, function: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for stretch in image.code() {
        let full = image.windows(stretch, |address, window| {
            calls_in(address, window, |place, target| {
                if target == function {
                    found.push(place);
                }
            });
            (found.len() > MAX_FOUND).then_some(())
        });
        if full.is_some() {
            break;
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Hands over place and target of every `lea r64, [rip + d32]`.
fn loads(address: u64, window: &[u8], mut each: impl FnMut(u64, u64)) {
    for opcode in memchr_iter(0x8d, window) {
        let Some(begin) = opcode.checked_sub(1) else {
            continue;
        };
        let Some([rex, _, model, a, b, c, d]) = window.get(begin..).and_then(|rest| rest.first_chunk::<7>())
        else {
            continue;
        };
        // REX.W with or without R; mod 00, r/m 101.
        if rex & 0xfb == 0x48 && model & 0xc7 == 0x05 {
            let place = address.wrapping_add(begin as u64);
            each(place, relative(place.wrapping_add(7), [*a, *b, *c, *d]));
        }
    }
}

/// Hands over place and target of everything that looks like a `call`.
fn calls_in(address: u64, window: &[u8], mut each: impl FnMut(u64, u64)) {
    for place in memchr_iter(0xe8, window) {
        let Some(distance) = window.get(place + 1..).and_then(|rest| rest.first_chunk::<4>()) else {
            break;
        };
        let call = address.wrapping_add(place as u64);
        each(call, relative(call.wrapping_add(5), *distance));
    }
}

fn relative(next: u64, distance: [u8; 4]) -> u64 {
    next.wrapping_add_signed(i64::from(i32::from_le_bytes(distance)))
}
