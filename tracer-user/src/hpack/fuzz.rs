//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use super::{Decoder, Field, HELD_MAX, LIST_MAX, Malformed};

/// Name and value of a field, as far as they were told.
pub(super) type Told = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Blocks of any bytes: memory stays bounded, and a decoder that joins late or loses a block never tells anything else than
/// one that was there all the time. The first byte chooses the block before which the others join. Then each block stands
/// behind its length in two octets.
pub fn fuzz(data: &[u8]) {
    let Some((&joins, mut rest)) = data.split_first() else {
        return;
    };
    let joins = usize::from(joins % 8);
    let mut complete = Decoder::new();
    let mut late = Decoder::joined_late();
    let mut losing = Decoder::new();
    for number in 0.. {
        let Some((&[high, low], after)) = rest.split_first_chunk() else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (block, after) = after.split_at_checked(length).unwrap_or((after, &[]));
        rest = after;
        let (truth, outcome) = told(&mut complete, block);
        if outcome.is_err() {
            assert!(complete.is_desynchronised());
            break;
        }
        assert!(!complete.is_desynchronised());
        if number < joins {
            continue;
        }
        if number == joins {
            losing.lose();
        }
        for other in [&mut late, &mut losing] {
            let (part, outcome) = told(other, block);
            assert!(
                outcome.is_ok(),
                "what a complete decoder takes, every decoder takes"
            );
            assert!(other.is_desynchronised());
            assert_eq!(part.len(), truth.len());
            for (part, truth) in part.iter().zip(&truth) {
                assert!(
                    agree(part.0.as_deref(), truth.0.as_deref()),
                    "{part:?} against {truth:?}"
                );
                assert!(
                    agree(part.1.as_deref(), truth.1.as_deref()),
                    "{part:?} against {truth:?}"
                );
            }
        }
    }
}

/// Unknown agrees with everything.
fn agree(one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Everything a block tells.
pub(super) fn told(decoder: &mut Decoder, block: &[u8]) -> (Vec<Told>, Result<(), Malformed>) {
    let mut fields = Vec::new();
    let mut octets = 0;
    let outcome = decoder.decode(block, &mut |Field {
                                                  name,
                                                  value,
                                                  never_indexed: _,
                                              }| {
        octets += name.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        fields.push((name.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
    });
    assert!(octets <= LIST_MAX);
    assert!(decoder.held() <= HELD_MAX, "{} bytes held", decoder.held());
    (fields, outcome)
}
