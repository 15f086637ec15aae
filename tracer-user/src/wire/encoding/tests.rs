//! Codings made by other libraries, whole, in pieces, broken and hostile.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::{CODINGS_MAX, Decoder};
use crate::counters::{Counter, Counters};
use crate::http::{BodyPart, Hole, HoleReason};

const TEXT: &[u8] = br#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello from the bedrock, from the bedrock!"}]}}}"#;

/// What was given, bytes joined and holes by name.
#[derive(Debug, PartialEq, Eq, Default)]
struct Given {
    bytes: Vec<u8>,
    holes: Vec<(usize, HoleReason)>,
}

fn give(given: &mut Given, part: &BodyPart<'_>) {
    match part {
        BodyPart::Bytes(bytes) => given.bytes.extend_from_slice(bytes),
        BodyPart::Hole(hole) => given.holes.push((given.bytes.len(), hole.reason)),
    }
}

fn decoded(codings: &[&str], pieces: &[&[u8]]) -> (Given, Counters) {
    let mut counters = Counters::default();
    let mut given = Given::default();
    let mut decoder = Decoder::new(codings.iter().copied());
    for piece in pieces {
        decoder.push(BodyPart::Bytes(piece), &mut counters, &mut |part| {
            give(&mut given, &part);
        });
    }
    decoder.finish(&mut counters, &mut |part| give(&mut given, &part));
    (given, counters)
}

fn whole(bytes: &[u8]) -> Given {
    Given {
        bytes: bytes.to_vec(),
        holes: Vec::new(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `TEXT` by the reference encoder of brotli.
const BROTLI_TEXT: &[u8] = &[
    0x1b, 0x6b, 0x00, 0xa0, 0x2c, 0x0e, 0x78, 0xd3, 0x1b, 0xe2, 0x88, 0x7a, 0x95, 0x65, 0x9c, 0x3f, 0xac,
    0x16, 0xd9, 0x13, 0xdb, 0x9a, 0x7d, 0x72, 0x5d, 0x2d, 0xc2, 0x12, 0xa2, 0x33, 0xc9, 0xd8, 0xf0, 0xaa,
    0xec, 0x4d, 0x27, 0xc7, 0x07, 0xd5, 0xcb, 0x21, 0x48, 0x92, 0xda, 0xc2, 0xb6, 0x38, 0xc1, 0x3c, 0xc6,
    0x32, 0x94, 0x71, 0xe5, 0x30, 0x45, 0x5a, 0x8c, 0xc7, 0x23, 0xf2, 0xc9, 0x4d, 0xd7, 0x12, 0x5f, 0x5f,
    0x88, 0xcd, 0x17, 0xa6, 0x3d, 0xea, 0x74, 0xf9, 0x33, 0xee, 0x08,
];

#[test]
fn each_coding_is_undone_whole_and_byte_by_byte() {
    for (coding, coded) in [
        ("gzip", gzip(TEXT)),
        ("x-gzip", gzip(TEXT)),
        ("GZIP", gzip(TEXT)),
        ("deflate", zlib(TEXT)),
        ("deflate", bare_deflate(TEXT)),
        ("br", BROTLI_TEXT.to_vec()),
        ("zstd", zstd(TEXT)),
        ("identity", TEXT.to_vec()),
        ("", TEXT.to_vec()),
    ] {
        assert_eq!(decoded(&[coding], &[&coded]).0, whole(TEXT), "{coding}");
        let bytes: Vec<&[u8]> = coded.chunks(1).collect();
        assert_eq!(decoded(&[coding], &bytes).0, whole(TEXT), "{coding} byte by byte");
    }
}

#[test]
fn stacked_codings_are_undone_last_first() {
    let coded = gzip(&zlib(TEXT));
    assert_eq!(decoded(&["deflate", "gzip"], &[&coded]).0, whole(TEXT));
}

#[test]
fn a_gzip_header_with_every_optional_part_is_read() {
    let mut coded = flate2::GzBuilder::new()
        .extra(b"extra".to_vec())
        .filename("name")
        .comment("comment")
        .write(Vec::new(), Compression::default());
    coded.write_all(TEXT).expect("a Vec takes all");
    let coded = coded.finish().expect("a Vec takes all");
    let bytes: Vec<&[u8]> = coded.chunks(1).collect();
    assert_eq!(decoded(&["gzip"], &bytes).0, whole(TEXT));
}

#[test]
fn several_gzip_members_and_padding_are_one_body() {
    let (first, second) = TEXT.split_at(30);
    let coded = [gzip(first), gzip(second), vec![0; 7]].concat();
    assert_eq!(decoded(&["gzip"], &[&coded]).0, whole(TEXT));
}

#[test]
fn a_stream_is_told_as_it_comes() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"first event").expect("a Vec takes all");
    encoder.flush().expect("a Vec takes all");
    let first = encoder.get_ref().clone();
    let (given, counters) = decoded(&["gzip"], &[&first]);
    assert_eq!(given, whole(b"first event"));
    assert_eq!(counters.get(Counter::BodiesUndecodable), 0);
}

#[test]
fn a_cut_zstd_frame_says_that_something_is_missing() {
    let coded = zstd(TEXT);
    let cut = coded.get(..coded.len() - 1).expect("it is longer than a byte");
    let (given, counters) = decoded(&["zstd"], &[cut]);
    assert!(given.bytes.len() < TEXT.len());
    assert_eq!(given.holes, [(given.bytes.len(), HoleReason::Undecodable)]);
    assert_eq!(counters.get(Counter::BodiesUndecodable), 1);
}

#[test]
fn several_zstd_frames_and_a_skippable_one_are_one_body() {
    let (first, second) = TEXT.split_at(30);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
    let coded = [zstd(first), skippable, zstd(second)].concat();
    let bytes: Vec<&[u8]> = coded.chunks(5).collect();
    assert_eq!(decoded(&["zstd"], &bytes).0, whole(TEXT));
}

#[test]
fn unknown_broken_and_too_many_codings_are_one_hole() {
    let hole = Given {
        bytes: Vec::new(),
        holes: vec![(0, HoleReason::Undecodable)],
    };
    for codings in [&["compress"][..], &["gzip"], &["gzip"; CODINGS_MAX + 1]] {
        let (given, counters) = decoded(codings, &[b"not", b" that"]);
        assert_eq!(given, hole, "{codings:?}");
        assert_eq!(counters.get(Counter::BodiesUndecodable), 1);
    }
}

#[test]
fn a_hole_in_a_coded_body_ends_what_can_be_decoded() {
    let coded = gzip(TEXT);
    let (first, second) = coded.split_at(40);
    let mut counters = Counters::default();
    let mut given = Given::default();
    let mut decoder = Decoder::new(["gzip"].into_iter());
    let lost = BodyPart::Hole(Hole {
        length: Some(5),
        reason: HoleReason::Lost,
    });
    for part in [BodyPart::Bytes(first), lost, BodyPart::Bytes(second)] {
        decoder.push(part, &mut counters, &mut |part| give(&mut given, &part));
    }
    let at = given.bytes.len();
    assert_eq!(given.bytes, TEXT.get(..at).expect("a prefix of the text"));
    assert_eq!(
        given.holes,
        [(at, HoleReason::Lost), (at, HoleReason::Undecodable)]
    );
}

#[test]
fn a_bomb_is_stopped_and_counted() {
    let bomb = gzip(&vec![0; 64 << 20]);
    let nested = gzip(&bomb);
    for (codings, coded) in [(&["gzip"][..], bomb), (&["gzip", "gzip"], nested)] {
        let (mut given, mut counters) = (0, Counters::default());
        let mut holes = Vec::new();
        let mut decoder = Decoder::new(codings.iter().copied());
        for piece in coded.chunks(1000) {
            decoder.push(BodyPart::Bytes(piece), &mut counters, &mut |part| match part {
                BodyPart::Bytes(bytes) => given += bytes.len(),
                BodyPart::Hole(hole) => holes.push(hole.reason),
            });
        }
        assert!(given <= 8 << 20, "{given} bytes");
        assert_eq!(holes, [HoleReason::Undecodable]);
        assert_eq!(counters.get(Counter::BodiesUndecodable), 1);
    }
}

#[test]
fn a_bomb_is_stopped_at_the_same_byte_however_it_comes() {
    let mut plain = vec![0; 8 << 20];
    plain.extend((0..200_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()));
    for codings in [&["gzip"][..], &["gzip", "gzip"]] {
        let coded = codings.iter().fold(plain.clone(), |plain, _| gzip(&plain));
        let outcomes = [coded.len(), 4096, 1000, 1].map(|size| {
            let (mut given, mut counters) = (0, Counters::default());
            let mut decoder = Decoder::new(codings.iter().copied());
            for piece in coded.chunks(size) {
                decoder.push(BodyPart::Bytes(piece), &mut counters, &mut |part| {
                    if let BodyPart::Bytes(bytes) = part {
                        given += bytes.len();
                    }
                });
            }
            (given, counters)
        });
        let (given, counters) = outcomes[0].clone();
        assert!(given < plain.len() && counters.get(Counter::BodyBytesBeyondCap) > 0);
        for outcome in outcomes {
            assert_eq!(outcome, (given, counters.clone()));
        }
    }
}

#[test]
fn a_broken_stream_gives_the_same_however_it_comes() {
    let text: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| format!("{number},").into_bytes())
        .collect();
    for (coding, coded) in [
        ("gzip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("zstd", zstd(&text)),
    ] {
        for place in [coded.len() / 3, coded.len() / 2, coded.len() - 20] {
            let mut broken = coded.clone();
            broken[place] ^= 0xff;
            let (whole, _) = decoded(&[coding], &[&broken]);
            for size in [1, 1000] {
                let pieces: Vec<&[u8]> = broken.chunks(size).collect();
                assert_eq!(
                    decoded(&[coding], &pieces).0,
                    whole,
                    "{coding} at {place}, in pieces of {size}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_comes_back_in_any_pieces(text: Vec<u8>, size in 1..50_usize) {
        for (coding, coded) in [
            ("gzip", gzip(&text)),
            ("deflate", zlib(&text)),
            ("zstd", zstd(&text)),
        ] {
            let pieces: Vec<&[u8]> = coded.chunks(size).collect();
            prop_assert_eq!(decoded(&[coding], &pieces).0, whole(&text), "{}", coding);
        }
    }

    #[test]
    fn broken_bytes_do_no_harm(flips: Vec<(prop::sample::Index, u8)>, size in 1..50_usize) {
        for (coding, mut coded) in [
            ("gzip", gzip(TEXT)),
            ("deflate", zlib(TEXT)),
            ("br", BROTLI_TEXT.to_vec()),
            ("zstd", zstd(TEXT)),
        ] {
            for (at, flip) in &flips {
                let at = at.index(coded.len());
                if let Some(byte) = coded.get_mut(at) {
                    *byte ^= flip;
                }
            }
            let pieces: Vec<&[u8]> = coded.chunks(size).collect();
            let (given, _) = decoded(&[coding], &pieces);
            prop_assert!(given.holes.len() <= 1);
            let (whole, _) = decoded(&[coding], &[&coded]);
            prop_assert_eq!(given, whole, "{}", coding);
        }
    }
}
