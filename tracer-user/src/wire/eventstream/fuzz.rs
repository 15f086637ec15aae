//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use super::{Broken, Decoder, Item, MAX_RETAINED_FRAME};

/// Any bytes, in one piece and in pieces, give the same items, account for every byte and stay bounded. The input itself
/// chooses the size of the pieces.
pub fn fuzz(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else {
        return;
    };
    let (whole, accounted) = decode(stream, stream.len().max(1));
    assert_eq!(
        accounted,
        stream.len() as u64,
        "each byte belongs to a message or to a broken stretch"
    );
    for size in [1, usize::from(size).max(1)] {
        assert_eq!(
            decode(stream, size).0,
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
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
