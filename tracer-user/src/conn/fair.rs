//! Who gives way when a bound is met: whoever has most of what is bounded, so that one noisy process does not cost the
//! others what is theirs.

/// The most that anyone may keep for all to fit into `room`, the room divided evenly among those who want more than
/// their part (max-min fairness). `usize::MAX` if all fits.
pub(crate) fn level(shares: impl IntoIterator<Item = usize>, room: usize) -> usize {
    let mut shares: Vec<usize> = shares.into_iter().collect();
    shares.sort_unstable();
    let mut left = room;
    for (index, share) in shares.iter().enumerate() {
        let part = left / (shares.len() - index);
        if *share > part {
            return part;
        }
        left -= share;
    }
    usize::MAX
}

/// How much more somebody may take who has `own` of a bound of `total`, of which `taken` is taken by all: so much that as
/// much as they have then is still free (the dynamic threshold of Choudhury and Hahne, 1998). Alone one gets half of it;
/// whoever comes next finds half of what is left, until others give back.
pub(crate) fn budget(total: usize, taken: usize, own: usize) -> usize {
    total.saturating_sub(taken).saturating_sub(own) / 2
}

#[cfg(test)]
mod tests {
    use super::{budget, level};
    use proptest::prelude::*;

    #[test]
    fn who_wants_little_keeps_it_and_who_wants_much_shares_the_rest() {
        assert_eq!(level([10, 500, 20, 900], 100), 35);
        assert_eq!(level([10, 20], 100), usize::MAX);
        assert_eq!(level([10, 90], 100), usize::MAX);
        assert_eq!(level([7, 7, 7], 2), 0);
        assert_eq!(level([], 0), usize::MAX);
    }

    proptest! {
        #[test]
        fn cut_to_the_level_all_fits_and_little_is_wasted(
            shares in prop::collection::vec(0_usize..1000, 1..40),
            room in 0_usize..20_000,
        ) {
            let level = level(shares.iter().copied(), room);
            let kept: usize = shares.iter().map(|share| (*share).min(level)).sum();
            prop_assert!(kept <= room);
            prop_assert!(kept == shares.iter().sum::<usize>() || room - kept < shares.len());
        }

        #[test]
        fn however_many_want_all_of_it_the_next_one_finds_some(wanting in 1_usize..18) {
            let mut own = vec![0; wanting];
            let mut taken = 0;
            for _ in 0..100 {
                for own in &mut own {
                    let more = budget(1 << 20, taken, *own);
                    *own += more;
                    taken += more;
                }
            }
            prop_assert!(budget(1 << 20, taken, 0) >= (1 << 20) >> (wanting + 1));
        }
    }
}
