//! Puts the bytes of one direction in order by their stream offsets.

/// Where the next byte of one direction belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing was seen yet; wherever the first byte is, the stream begins there.
    Anywhere,
    /// At this offset.
    At(u64),
}

/// Bytes with their place found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placed<'a> {
    /// Bytes missing before these.
    pub(super) gap: u64,
    /// Bytes at the front that were there already and are left out.
    pub(super) duplicate: u64,
    /// What is new.
    pub(super) bytes: &'a [u8],
}

impl Order {
    /// Places bytes that begin at `offset`.
    pub(super) fn place<'a>(&mut self, offset: u64, bytes: &'a [u8]) -> Placed<'a> {
        let next = match *self {
            Order::Anywhere => offset,
            Order::At(next) => next,
        };
        let gap = offset.saturating_sub(next);
        let known = usize::try_from(next.saturating_sub(offset)).unwrap_or(usize::MAX);
        let fresh = bytes.get(known..).unwrap_or_default();
        let duplicate = bytes.len() - fresh.len();
        if !fresh.is_empty() || gap > 0 {
            *self = Order::At(offset.saturating_add(bytes.len() as u64));
        }
        Placed {
            gap,
            duplicate: duplicate as u64,
            bytes: fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Placed};

    fn placed(gap: u64, duplicate: u64, bytes: &[u8]) -> Placed<'_> {
        Placed {
            gap,
            duplicate,
            bytes,
        }
    }

    #[test]
    fn contiguous_pieces_pass_whole() {
        let mut order = Order::At(0);
        assert_eq!(order.place(0, b"abc"), placed(0, 0, b"abc"));
        assert_eq!(order.place(3, b"de"), placed(0, 0, b"de"));
    }

    #[test]
    fn a_jump_is_a_gap_of_exactly_the_missing_bytes() {
        let mut order = Order::At(0);
        order.place(0, b"abc");
        assert_eq!(order.place(10, b"xy"), placed(7, 0, b"xy"));
        assert_eq!(order.place(12, b"z"), placed(0, 0, b"z"));
    }

    #[test]
    fn bytes_told_twice_pass_once() {
        let mut order = Order::At(0);
        order.place(0, b"abcdef");
        assert_eq!(order.place(0, b"abc"), placed(0, 3, b""));
        assert_eq!(order.place(4, b"efgh"), placed(0, 2, b"gh"));
        assert_eq!(order.place(8, b"i"), placed(0, 0, b"i"));
    }

    #[test]
    fn a_stream_taken_up_in_the_middle_begins_there() {
        let mut order = Order::Anywhere;
        assert_eq!(order.place(500, b"abc"), placed(0, 0, b"abc"));
        assert_eq!(order.place(504, b"d"), placed(1, 0, b"d"));
    }

    #[test]
    fn an_absurd_offset_does_no_harm() {
        let mut order = Order::At(0);
        assert_eq!(order.place(u64::MAX, b"abc"), placed(u64::MAX, 0, b"abc"));
        assert_eq!(order.place(0, b"abc"), placed(0, 3, b""));
    }
}
