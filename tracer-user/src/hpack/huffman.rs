//! The Huffman code of HPACK: RFC 7541 section 5.2 and appendix B.
//!
//! The code is canonical: codes of one length are consecutive numbers in the order of their symbols, and each length begins
//! where the one before it left off. So the lengths alone give all codes, and all tables here are made from them.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "tables made at compile time, and indexes as wide as the tables are long"
)]

/// A coded string that no encoder writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The symbol that ends a string and must not be in one.
pub(super) const END: u16 = 256;

/// Longest code.
const LENGTH_MAX: usize = 30;

/// Code length of each symbol, appendix B.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// Symbols in the order of their codes.
const SYMBOLS: [u16; LENGTHS.len()] = in_order();

/// For each length, the first code of that length and how many symbols come before it.
const FIRSTS: [First; LENGTH_MAX + 1] = firsts();

/// So many bits are looked up at once: two of the most frequent symbols.
const FAST_BITS: u32 = 12;

/// What each value of [`FAST_BITS`] bits begins with.
static FAST: [Pair; 1 << FAST_BITS] = pairs();

/// Appends what `coded` stands for.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let mut at = out.len();
    // No code is shorter than five bits; and a pair is written before it is known whether both symbols count.
    out.resize(at + coded.len() * 8 / 5 + 2, 0);
    let outcome = decode_into(coded, out, &mut at);
    out.truncate(at);
    outcome
}

fn decode_into(coded: &[u8], out: &mut [u8], at: &mut usize) -> Result<(), Broken> {
    let mut rest = coded;
    // The highest `bits` bits of the window were read and not used yet, the others are zero.
    let mut window = 0_u64;
    let mut bits = 0_u32;
    loop {
        if bits <= 32
            && let Some((next, after)) = rest.split_first_chunk()
        {
            window |= u64::from(u32::from_be_bytes(*next)) << (32 - bits);
            bits += 32;
            rest = after;
        } else {
            while bits <= 56
                && let Some((&next, after)) = rest.split_first()
            {
                window |= u64::from(next) << (56 - bits);
                bits += 8;
                rest = after;
            }
        }
        while bits >= FAST_BITS {
            let pair = FAST[(window >> (64 - FAST_BITS)) as usize & ((1 << FAST_BITS) - 1)];
            if pair.count == 0 {
                break;
            }
            if let Some(place) = out.get_mut(*at..*at + 2) {
                place.copy_from_slice(&pair.symbols);
            }
            *at += usize::from(pair.count);
            window <<= pair.length;
            bits -= u32::from(pair.length);
        }
        if !rest.is_empty() && bits < LENGTH_MAX as u32 {
            continue;
        }
        let padded = (window | u64::MAX.checked_shr(bits).unwrap_or(0)) >> 32;
        let (symbol, length) = first_of(padded as u32);
        if length > bits {
            // The padding is the beginning of the end symbol, and less than an octet.
            return if symbol == END && bits < 8 {
                Ok(())
            } else {
                Err(Broken)
            };
        }
        let symbol = u8::try_from(symbol).map_err(|_| Broken)?;
        if let Some(place) = out.get_mut(*at) {
            *place = symbol;
        }
        *at += 1;
        window <<= length;
        bits -= length;
    }
}

/// The symbol whose code the highest bits are, and the length of that code.
pub(crate) fn first_of(bits: u32) -> (u16, u32) {
    let pair = FAST[(bits >> (32 - FAST_BITS)) as usize];
    if pair.count == 0 {
        return first(bits);
    }
    let [symbol, _] = pair.symbols;
    (u16::from(symbol), u32::from(LENGTHS[usize::from(symbol)]))
}

/// The same, without the tables that are made by it.
const fn first(bits: u32) -> (u16, u32) {
    let mut length = 5;
    // The code is complete: every 30 bits begin with the code of some symbol.
    while length < LENGTH_MAX {
        let First { code, before, count } = FIRSTS[length];
        let index = (bits >> (32 - length)).wrapping_sub(code);
        if index < count {
            return (SYMBOLS[(before + index) as usize], length as u32);
        }
        length += 1;
    }
    let First { code, before, .. } = FIRSTS[LENGTH_MAX];
    let index = (bits >> (32 - LENGTH_MAX)).wrapping_sub(code);
    (SYMBOLS[(before + index) as usize], LENGTH_MAX as u32)
}

/// All codes of a length, with their symbols.
fn codes(length: u32) -> impl Iterator<Item = (u32, u16)> {
    let First { code, before, count } = FIRSTS[length as usize];
    (0..count).map(move |index| (code + index, SYMBOLS[(before + index) as usize]))
}

/// The code that stands in for another one of the same length, of whose bits the first `known` have gone out already. It is
/// that of a letter or digit where there is one, and never that of a character that ends an access key id.
pub(crate) fn stand_in(length: u32, prefix: u32, known: u32) -> u32 {
    let fits = |&(code, symbol): &(u32, u16)| {
        code >> (length - known) == prefix
            && symbol != END
            && ![b'/', b',', b'%', b'&'].map(u16::from).contains(&symbol)
    };
    let readable =
        |&(_, symbol): &(u32, u16)| u8::try_from(symbol).is_ok_and(|octet| octet.is_ascii_alphanumeric());
    codes(length)
        .filter(fits)
        .find(readable)
        .or_else(|| codes(length).find(fits))
        .map_or(0, |(code, _)| code)
}

/// The shortest code that begins with these bits, and its length.
pub(crate) fn completion(prefix: u32, known: u32) -> (u32, u32) {
    (known.max(5)..=LENGTH_MAX as u32)
        .find_map(|length| {
            let mut codes = codes(length).filter(|(_, symbol)| *symbol != END);
            codes
                .find(|(code, _)| code >> (length - known) == prefix)
                .map(|(code, _)| (code, length))
        })
        .unwrap_or((prefix, known))
}

/// The code of an octet, and its length.
#[cfg(test)]
const fn code(octet: u8) -> (u32, u32) {
    let length = LENGTHS[octet as usize] as usize;
    let First { code, before, count } = FIRSTS[length];
    let mut index = 0;
    while index < count && SYMBOLS[(before + index) as usize] != octet as u16 {
        index += 1;
    }
    (code + index, length as u32)
}

/// Codes a string, with ones for padding.
#[cfg(test)]
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let mut window = 0_u64;
    let mut bits = 0;
    for &octet in text {
        let (code, length) = code(octet);
        window = window << length | u64::from(code);
        bits += length;
        while bits >= 8 {
            bits -= 8;
            out.push((window >> bits) as u8);
        }
    }
    if bits > 0 {
        out.push((window << (8 - bits) | (0xff >> bits)) as u8);
    }
}

#[derive(Clone, Copy)]
struct First {
    code: u32,
    before: u32,
    count: u32,
}

/// One symbol, or two, that some bits begin with; none if the first one's code is longer than those bits.
#[derive(Clone, Copy)]
struct Pair {
    symbols: [u8; 2],
    count: u8,
    length: u8,
}

const fn in_order() -> [u16; LENGTHS.len()] {
    let mut symbols = [0; LENGTHS.len()];
    let mut filled = 0;
    let mut length = 0;
    while length <= LENGTH_MAX {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[filled] = symbol as u16;
                filled += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    symbols
}

const fn firsts() -> [First; LENGTH_MAX + 1] {
    let mut firsts = [First {
        code: 0,
        before: 0,
        count: 0,
    }; LENGTH_MAX + 1];
    let mut length = 1;
    while length <= LENGTH_MAX {
        let shorter = firsts[length - 1];
        let mut count = 0;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                count += 1;
            }
            symbol += 1;
        }
        firsts[length] = First {
            code: (shorter.code + shorter.count) << 1,
            before: shorter.before + shorter.count,
            count,
        };
        length += 1;
    }
    firsts
}

const fn pairs() -> [Pair; 1 << FAST_BITS] {
    let mut pairs = [Pair {
        symbols: [0; 2],
        count: 0,
        length: 0,
    }; 1 << FAST_BITS];
    let mut value = 0;
    while value < pairs.len() {
        let bits = (value as u32) << (32 - FAST_BITS);
        let (one, length) = first(bits);
        if length <= FAST_BITS {
            pairs[value] = Pair {
                symbols: [one as u8, 0],
                count: 1,
                length: length as u8,
            };
            let (two, more) = first(bits << length);
            if length + more <= FAST_BITS {
                pairs[value] = Pair {
                    symbols: [one as u8, two as u8],
                    count: 2,
                    length: (length + more) as u8,
                };
            }
        }
        value += 1;
    }
    pairs
}
