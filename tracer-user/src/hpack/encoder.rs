//! An encoder for tests, which takes every liberty that RFC 7541 gives: any representation at any time.

#![allow(
    clippy::cast_possible_truncation,
    reason = "integers are cut into groups of seven bits"
)]

use std::collections::VecDeque;

use super::{huffman, statics};

/// How a field is written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// What becomes of it.
    pub(crate) kept: Kept,
    /// Refer to the table where it has the field, or the name.
    pub(crate) index: bool,
    pub(crate) coded_name: bool,
    pub(crate) coded_value: bool,
}

/// What becomes of a field, RFC 7541 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kept {
    #[default]
    Inserted,
    Not,
    Never,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// Newest first.
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
    max: usize,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            table: VecDeque::new(),
            max: 4096,
        }
    }

    /// Announces another size of the table.
    pub(crate) fn resize(&mut self, max: usize, out: &mut Vec<u8>) {
        self.max = max;
        self.evict();
        integer(out, 0x20, 5, max);
    }

    /// Writes a field.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], style: Style, out: &mut Vec<u8>) {
        let Style {
            kept,
            index,
            coded_name,
            coded_value,
        } = style;
        let find = |wanted: &dyn Fn(&[u8], &[u8]) -> bool| {
            let fixed = (1..)
                .map_while(statics::get)
                .map(|(name, value): (&[u8], &[u8])| (name, value));
            let dynamic = self.table.iter().map(|(name, value)| (&**name, &**value));
            fixed
                .chain(dynamic)
                .position(|(name, value)| wanted(name, value))
                .map(|at| at + 1)
        };
        let whole = find(&|n, v| n == name && v == value).filter(|_| index && kept != Kept::Never);
        if let Some(at) = whole {
            return integer(out, 0x80, 7, at);
        }
        let at = find(&|n, _| n == name).filter(|_| index).unwrap_or(0);
        match kept {
            Kept::Inserted => integer(out, 0x40, 6, at),
            Kept::Not => integer(out, 0x00, 4, at),
            Kept::Never => integer(out, 0x10, 4, at),
        }
        if at == 0 {
            string(out, name, coded_name);
        }
        string(out, value, coded_value);
        if kept == Kept::Inserted {
            self.table.push_front((name.to_vec(), value.to_vec()));
            self.evict();
        }
    }

    fn evict(&mut self) {
        let size = |table: &VecDeque<(Vec<u8>, Vec<u8>)>| -> usize {
            table
                .iter()
                .map(|(name, value)| name.len() + value.len() + 32)
                .sum()
        };
        while size(&self.table) > self.max {
            self.table.pop_back();
        }
    }
}

fn string(out: &mut Vec<u8>, text: &[u8], coded: bool) {
    let mut octets = text.to_vec();
    if coded {
        octets.clear();
        huffman::encode(text, &mut octets);
    }
    integer(out, if coded { 0x80 } else { 0 }, 7, octets.len());
    out.extend(octets);
}

fn integer(out: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let max = (1_usize << bits) - 1;
    if value < max {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | max as u8);
    let mut rest = value - max;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
