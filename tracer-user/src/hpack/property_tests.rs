//! Whatever an encoder writes is read; whatever comes along is survived.

use proptest::prelude::*;

use super::encoder::{Encoder, Kept, Style};
use super::fuzz::{fuzz, told};
use super::{Decoder, Malformed};

/// One header block in the making.
#[derive(Debug, Clone)]
struct Written {
    /// Sizes that the table takes before the first field.
    sizes: Vec<usize>,
    fields: Vec<(Vec<u8>, Vec<u8>, Style)>,
}

fn written() -> impl Strategy<Value = Written> {
    let name = prop_oneof![
        prop::sample::select(vec![":path", ":status", "cookie", "content-type", "x-custom", ""])
            .prop_map(|name| name.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let value = prop_oneof![
        "[ -~]{0,40}".prop_map(String::into_bytes),
        "0{0,80}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..300),
    ];
    let kept = prop_oneof![3 => Just(Kept::Inserted), 1 => Just(Kept::Not), 1 => Just(Kept::Never)];
    let style = (kept, any::<[bool; 3]>()).prop_map(|(kept, [index, coded_name, coded_value])| Style {
        kept,
        index,
        coded_name,
        coded_value,
    });
    let fields = prop::collection::vec((name, value, style), 0..12);
    let sizes = prop::collection::vec(
        prop_oneof![Just(0_usize), 0..300_usize, Just(4096), Just(60_000)],
        0..3,
    );
    (prop_oneof![2 => Just(Vec::new()), 1 => sizes], fields)
        .prop_map(|(sizes, fields)| Written { sizes, fields })
}

/// The blocks of one connection.
fn blocks(written: &[Written]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    let block = |Written { sizes, fields }: &Written| {
        let mut block = Vec::new();
        for size in sizes {
            encoder.resize(*size, &mut block);
        }
        for (name, value, style) in fields {
            encoder.field(name, value, *style, &mut block);
        }
        block
    };
    written.iter().map(block).collect()
}

/// The input of the fuzz entry that these blocks are.
fn script(joins: u8, blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut script = vec![joins];
    for block in blocks {
        script.extend(u16::try_from(block.len()).unwrap_or(u16::MAX).to_be_bytes());
        script.extend_from_slice(block);
    }
    script
}

proptest! {
    #[test]
    fn every_representation_is_read(written in prop::collection::vec(written(), 1..8), joins in any::<u8>()) {
        let blocks = blocks(&written);
        let mut decoder = Decoder::new();
        decoder.limit(60_000);
        for (block, Written { fields, .. }) in blocks.iter().zip(&written) {
            let (found, outcome) = told(&mut decoder, block);
            prop_assert_eq!(outcome, Ok(()));
            let said: Vec<_> = fields.iter().map(|(name, value, _)| (Some(name.clone()), Some(value.clone()))).collect();
            prop_assert_eq!(found, said);
        }
        fuzz(&script(joins, &blocks));
    }

    #[test]
    fn a_block_that_is_cut_is_malformed_or_shorter(written in written(), cut in any::<prop::sample::Index>()) {
        let block = blocks(&[written]).concat();
        let cut = if block.is_empty() { 0 } else { cut.index(block.len()) };
        let mut decoder = Decoder::new();
        decoder.limit(60_000);
        let (whole, _) = told(&mut Decoder::joined_late(), &block);
        let (part, outcome) = told(&mut decoder, &block[..cut]);
        prop_assert!(part.len() <= whole.len());
        prop_assert!(matches!(outcome, Ok(()) | Err(Malformed::Truncated)), "{:?}", outcome);
        prop_assert_eq!(outcome.is_err(), decoder.is_desynchronised());
    }

    #[test]
    fn mutated_blocks_are_survived(
        written in prop::collection::vec(written(), 1..6),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        joins in any::<u8>(),
    ) {
        let mut script = script(joins, &blocks(&written));
        for (at, octet) in mutations {
            let at = at.index(script.len());
            script[at] = octet;
        }
        fuzz(&script);
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz(&data);
    }
}
