//! What h2 and nghttp2 write, blanked: no canary in it, and everything else as it was.

use proptest::prelude::*;

use super::fuzz::scrub;
use super::http2_tests::fields;
use crate::event::script::Call;
use crate::hpack::h2_tests::{Overheard, Said, overhear};
use crate::hpack::huffman;

/// Stands in every secret.
const CANARY: &str = "CANARY";

/// A connection of Node.js, written down by a relay between its client and its server.
const NGHTTP2: &str = include_str!("fixtures/nghttp2.txt");

/// Blanks a connection; every piece is a call of the client's process.
fn scrubbed(heard: &Overheard) -> Overheard {
    let calls: Vec<_> = heard
        .0
        .iter()
        .map(|(client, piece)| {
            if *client {
                Call::write(piece)
            } else {
                Call::read(piece)
            }
        })
        .collect();
    let left = scrub(&calls, usize::MAX);
    assert_eq!(left, scrub(&calls, 1), "in pieces of one");
    Overheard(
        heard
            .0
            .iter()
            .zip(left)
            .map(|((client, _), piece)| (*client, piece))
            .collect(),
    )
}

/// Whether the bytes hold the canary, as text or in the code of HPACK at any bit.
fn holds_canary(bytes: &[u8]) -> bool {
    let plain = bytes
        .windows(CANARY.len())
        .any(|window| window == CANARY.as_bytes());
    let bits = |bytes: &[u8]| -> Vec<u8> {
        let octets = bytes
            .iter()
            .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1));
        octets.collect()
    };
    let mut coded = Vec::new();
    huffman::encode(CANARY.as_bytes(), &mut coded);
    let mut canary = bits(&coded);
    // Without its padding.
    canary.truncate(canary.len() - canary.iter().rev().take_while(|bit| **bit == 1).count());
    plain || bits(bytes).windows(canary.len()).any(|window| window == canary)
}

/// That no secret is left of a connection, and nothing else is gone.
fn check(heard: &Overheard) {
    let left = scrubbed(heard);
    for client in [true, false] {
        let (before, after) = (heard.of(client), left.of(client));
        assert!(!holds_canary(&after));
        let (before, after) = (fields(&before), fields(&after));
        assert_eq!(before.len(), after.len());
        for ((name, value), (left_name, left_value)) in before.iter().zip(&after) {
            assert_eq!(name, left_name);
            assert!(
                value.contains(CANARY) || value == left_value,
                "{name}: {value} became {left_value}"
            );
        }
    }
}

#[test]
fn what_nghttp2_writes_keeps_its_fields_and_loses_its_secrets() {
    let pieces = NGHTTP2.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (side, digits) = line.split_once(' ').expect("a side and its bytes");
        let octet =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits");
        (side == "c", digits.as_bytes().chunks(2).map(octet).collect())
    });
    let heard = Overheard(pieces.collect());
    assert!(
        holds_canary(&heard.of(true)) && holds_canary(&heard.of(false)),
        "there is something to find"
    );
    check(&heard);
    let left = fields(&scrubbed(&heard).of(true));
    let authorization = left
        .iter()
        .find(|(name, _)| name == "authorization")
        .expect("it was sent");
    assert!(
        authorization
            .1
            .contains("/20260101/us-east-1/bedrock/aws4_request, SignedHeaders="),
        "{authorization:?}"
    );
}

fn said() -> impl Strategy<Value = Said> {
    let secret = ("[a-zA-Z0-9+/=]{0,30}", "[a-zA-Z0-9+/=]{0,30}")
        .prop_map(|(before, after)| format!("{before}{CANARY}{after}"));
    let names = prop::sample::select(vec![
        "cookie",
        "x-amz-security-token",
        "x-api-key",
        "set-cookie",
        "authorization",
    ]);
    let secret = (names, secret, 0..3_u8).prop_map(|(name, secret, scheme)| match (name, scheme) {
        ("authorization", 0) => (name, format!("Bearer {secret}")),
        ("authorization", 1) => (
            name,
            format!("AWS4-HMAC-SHA256 Credential={CANARY}{CANARY}/20260101/r/bedrock/aws4_request, SignedHeaders=host, Signature={secret}"),
        ),
        _ => (name, secret),
    });
    let names = prop::sample::select(vec![
        "content-type",
        "user-agent",
        "x-amz-date",
        "traceparent",
        "x-other",
    ]);
    let open = (names, "[ -~]{0,50}").prop_map(|(name, value)| (name, value.replace(CANARY, "")));
    (prop_oneof![secret, open], any::<bool>())
        .prop_map(|((name, value), sensitive)| (name.to_owned(), value.into_bytes(), sensitive))
}

proptest! {
    #[test]
    fn what_h2_writes_keeps_its_fields_and_loses_its_secrets(
        exchanges in prop::collection::vec((prop::collection::vec(said(), 0..8), prop::collection::vec(said(), 0..8)), 1..5),
        tables in (prop::sample::select(vec![0_u32, 200, 4096, 65_536]), prop::sample::select(vec![0_u32, 100, 4096])),
    ) {
        check(&overhear(&exchanges, tables));
    }
}
