//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use super::{Item, MAX_EVENT, Reader};

/// Any bytes, in one piece and in pieces, give the same items and stay bounded. The first byte chooses the size of the
/// pieces, the second where a hole is, if it is odd.
pub fn fuzz(data: &[u8]) {
    let Some((&[size, hole], stream)) = data.split_first_chunk() else {
        return;
    };
    let hole = (hole & 1 == 1).then_some(usize::from(hole / 2));
    let whole = read(stream, stream.len().max(1), hole);
    for size in [1, usize::from(size).max(1)] {
        assert_eq!(
            read(stream, size, hole),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
}

/// Every item as text.
pub(super) fn read(stream: &[u8], size: usize, hole: Option<usize>) -> Vec<String> {
    let mut items = Vec::new();
    let mut each = |item: Item<'_>| {
        items.push(match item {
            Item::Event(event) => format!(
                "{}: {}",
                String::from_utf8_lossy(event.kind),
                String::from_utf8_lossy(event.data)
            ),
            Item::Broken(reason) => format!("{reason:?}"),
        });
    };
    let mut reader = Reader::new();
    let (before, after) = hole
        .and_then(|at| stream.split_at_checked(at))
        .unwrap_or((stream, &[]));
    for piece in before.chunks(size) {
        reader.feed(piece, &mut each);
        assert!(reader.buffered() <= MAX_EVENT);
    }
    if hole.is_some() {
        reader.hole();
    }
    for piece in after.chunks(size) {
        reader.feed(piece, &mut each);
        assert!(reader.buffered() <= MAX_EVENT);
    }
    reader.finish(&mut each);
    assert_eq!(reader.buffered(), 0);
    items
}
