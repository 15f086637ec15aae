//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use std::sync::LazyLock;

use super::fixtures::{Fixture, names};

/// Chooses the input itself instead of a fixture.
const RAW: u8 = u8::MAX;

/// Searching larger programs takes the instrumented code seconds.
const LARGEST: u64 = 128 << 20;

/// A damaged program gives places within it or a reason, whatever is damaged. The first byte chooses a fixture; every four
/// bytes behind it are a place among the bytes that were kept, and what to write there.
pub fn fuzz(data: &[u8]) {
    static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
        let all = names().into_iter().map(|name| Fixture::read(&name));
        all.filter(|fixture| fixture.length() <= LARGEST).collect()
    });
    let Some((&which, damage)) = data.split_first() else {
        return;
    };
    let mut fixture = if which == RAW {
        Fixture::raw(damage)
    } else {
        let Some(fixture) = FIXTURES.get(usize::from(which) % FIXTURES.len().max(1)) else {
            return;
        };
        fixture.clone()
    };
    if which != RAW {
        let (patches, _) = damage.as_chunks::<4>();
        for [low, middle, high, value] in patches {
            fixture.damage(u32::from_le_bytes([*low, *middle, *high, 0]) as usize, *value);
        }
    }
    match fixture.resolve() {
        Ok(resolved) => {
            assert!(resolved.points().all(|point| point.offset < fixture.length()));
            assert!(!resolved.listing().is_empty());
        }
        Err(reason) => assert!(!reason.to_string().is_empty()),
    }
}
