//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use super::{Broken, Decoder, Item, MAX_RETAINED_FRAME};

/// Any bytes, in one piece and in pieces, give the same items, account for every byte and stay bounded. The first byte
/// chooses the size of the pieces, and whether checksums are put right, which a fuzzer cannot do.
pub fn fuzz(data: &[u8]) {
    let Some((&control, stream)) = data.split_first() else {
        return;
    };
    let repaired = if control & 1 == 0 {
        stream.to_vec()
    } else {
        repair(stream)
    };
    let (whole, accounted) = decode(&repaired, stream.len().max(1));
    assert_eq!(
        accounted,
        stream.len() as u64,
        "each byte belongs to a message or to a broken stretch"
    );
    for size in [1, usize::from(control / 2).max(1)] {
        assert_eq!(
            decode(&repaired, size).0,
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
}

/// Makes frames of the bytes: lengths that fit into 8 bits, right checksums. Where a byte before a frame is odd, that
/// byte stays between the frames.
fn repair(stream: &[u8]) -> Vec<u8> {
    let mut repaired = Vec::new();
    let mut rest = stream;
    while let Some((&[first, a, b, c, _, _, d, _, ..], _)) = rest.split_first_chunk::<12>() {
        if first & 1 == 1 {
            repaired.push(first);
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let total = u32::from(a) + 16;
        let headers = u32::from(b).min(total - 16);
        let mut frame = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        frame.extend((crc32fast::hash(&frame) ^ u32::from(c == 0xff)).to_be_bytes());
        let length = usize::from(a) + 16;
        let content = rest.get(12..length - 4).or(rest.get(12..)).unwrap_or_default();
        frame.extend_from_slice(content);
        frame.extend((crc32fast::hash(&frame) ^ u32::from(d == 0xff)).to_be_bytes());
        let (_, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        frame.truncate(rest.len() - after.len());
        repaired.extend(frame);
        rest = after;
    }
    repaired.extend_from_slice(rest);
    repaired
}

/// Every item as text, and how many bytes they stand for.
pub(super) fn decode(stream: &[u8], size: usize) -> (Vec<String>, u64) {
    let mut items = Vec::new();
    let mut accounted = 0;
    let mut each = |item: Item<'_>| {
        accounted += match &item {
            Item::Message(message) => (message.headers.as_bytes().len() + message.payload.len() + 16) as u64,
            Item::Broken(Broken { skipped, .. }) => *skipped,
        };
        items.push(format!("{item:?}"));
    };
    let mut decoder = Decoder::new();
    for piece in stream.chunks(size) {
        decoder.feed(piece, &mut each);
        assert!(decoder.buffered() <= MAX_RETAINED_FRAME);
    }
    decoder.finish(&mut each);
    assert_eq!(decoder.buffered(), 0);
    (items, accounted)
}
