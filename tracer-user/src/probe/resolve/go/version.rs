//! Which Go a program was built with: what `go version FILE` tells (`debug/buildinfo`).

use memchr::memmem;

use super::super::image::Image;
use super::super::pointers;
use super::table::BUILD_INFORMATION;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// It is aligned so.
const ALIGNMENT: usize = 16;
/// Behind the mark.
const FLAGS: usize = 15;
/// The texts follow at once; before Go 1.18 there were pointers to them.
const IS_INLINE: u8 = 2;
const INLINE: usize = 32;
const POINTER: usize = 16;
const LONGEST: u64 = 128;

/// `1.25.5`, with what an experiment adds to it.
pub(super) fn version(image: &Image<'_>) -> Option<String> {
    let place = image.place_of_section(BUILD_INFORMATION)?;
    let bytes = image.bytes_at(place.address, place.size.min(4096));
    let begin = memmem::find_iter(bytes, MAGIC).find(|begin| begin % ALIGNMENT == 0)?;
    let information = bytes.get(begin..)?;
    let text = if information.get(FLAGS)? & IS_INLINE != 0 {
        // A length of 128 and more would take several bytes; no version has it.
        let (length, text) = information.get(INLINE..)?.split_first()?;
        text.get(..usize::from(*length))?
    } else {
        let header = place.address.checked_add(begin as u64 + POINTER as u64)?;
        let header = *pointers::at(image, &[header]).get(&header)?;
        let text = *pointers::at(image, &[header]).get(&header)?;
        let length = image.bytes_at(header.checked_add(8)?, 8).try_into().ok()?;
        image.bytes_at(text, u64::from_le_bytes(length).min(LONGEST))
    };
    let text = std::str::from_utf8(text).ok()?;
    let is_printable = text
        .bytes()
        .all(|letter| letter.is_ascii_graphic() || letter == b' ');
    let version = text.strip_prefix("go").unwrap_or(text);
    (is_printable && !version.is_empty()).then(|| version.to_owned())
}
