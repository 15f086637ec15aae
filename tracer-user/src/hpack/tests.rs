//! The examples of RFC 7541 appendix C, and what the standard's authors did not put into it.

use super::fuzz::{Told, told};
use super::*;

/// Bytes from hexadecimal digits, spaces aside.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("digits"))
        .collect()
}

/// The fields of a block as lines, with `?` for what is not known.
fn lines(decoder: &mut Decoder, block: &[u8]) -> Vec<String> {
    let (fields, outcome) = told(decoder, block);
    assert_eq!(outcome, Ok(()));
    fields.into_iter().map(line).collect()
}

fn line((name, value): Told) -> String {
    let text = |octets: Option<Vec<u8>>| {
        octets.map_or("?".to_owned(), |octets| {
            String::from_utf8_lossy(&octets).into_owned()
        })
    };
    format!("{}: {}", text(name), text(value))
}

fn malformed(block: &str) -> Malformed {
    let mut decoder = Decoder::new();
    decoder.limit(0);
    let (_, outcome) = told(&mut decoder, &hex(block));
    assert!(decoder.is_desynchronised(), "{block}");
    outcome.expect_err(block)
}

#[test]
fn single_fields_of_appendix_c2() {
    for (block, expected) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path"),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret"),
        ("82", ":method: GET"),
    ] {
        assert_eq!(lines(&mut Decoder::new(), &hex(block)), [expected]);
    }
    let mut never = Vec::new();
    let mut decoder = Decoder::new();
    for block in ["1001 6101 62", "0001 6101 62", "4001 6101 62"] {
        decoder
            .decode(&hex(block), &mut |field| never.push(field.never_indexed))
            .expect(block);
    }
    assert_eq!(never, [true, false, false]);
}

/// Three requests on one connection, first plain, then coded: appendix C.3 and C.4.
#[test]
fn requests_of_appendix_c3_and_c4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let expected: [&[&str]; 3] = [
        &[
            ":method: GET",
            ":scheme: http",
            ":path: /",
            ":authority: www.example.com",
        ],
        &[
            ":method: GET",
            ":scheme: http",
            ":path: /",
            ":authority: www.example.com",
            "cache-control: no-cache",
        ],
        &[
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            ":authority: www.example.com",
            "custom-key: custom-value",
        ],
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new();
        for (block, expected) in blocks.into_iter().zip(expected) {
            assert_eq!(lines(&mut decoder, &hex(block)), expected);
        }
    }
}

/// Three responses with a table of 256 octets, so that entries are evicted: appendix C.5 and C.6.
#[test]
fn responses_of_appendix_c5_and_c6() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 54\
         6e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d\
         4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572\
         7369 6f6e 3d31",
    ];
    let coded = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b\
         97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf\
         cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let location = "location: https://www.example.com";
    let date = "date: Mon, 21 Oct 2013 20:13:21 GMT";
    let expected: [&[&str]; 3] = [
        &[":status: 302", "cache-control: private", date, location],
        &[":status: 307", "cache-control: private", date, location],
        &[
            ":status: 200",
            "cache-control: private",
            "date: Mon, 21 Oct 2013 20:13:22 GMT",
            location,
            "content-encoding: gzip",
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ],
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new();
        // In the appendix the size is agreed on beforehand.
        assert!(lines(&mut decoder, &hex("3fe1 01")).is_empty());
        for (block, expected) in blocks.into_iter().zip(expected) {
            assert_eq!(lines(&mut decoder, &hex(block)), expected);
        }
    }
}

#[test]
fn what_was_inserted_before_we_came_is_unknown_and_shifts_nothing() {
    let mut decoder = Decoder::joined_late();
    assert!(decoder.is_desynchronised());
    // An old entry; a new one with the name of an old one; a new one of our own; then all of them by index.
    let block = hex("be 7e 03 6f6e65 40 01 61 03 74776f be bf c0 7e 01 63");
    assert_eq!(
        lines(&mut decoder, &block),
        ["?: ?", "?: one", "a: two", "a: two", "?: one", "?: ?", "a: c"]
    );
}

#[test]
fn a_lost_block_is_never_forgotten_but_what_comes_after_it_is_known() {
    let mut decoder = Decoder::new();
    assert_eq!(lines(&mut decoder, &hex("40 01 61 01 62 be")), ["a: b", "a: b"]);
    decoder.lose();
    assert_eq!(
        lines(&mut decoder, &hex("be 40 01 63 01 64 be bf")),
        ["?: ?", "c: d", "c: d", "?: ?"]
    );
    assert!(decoder.is_desynchronised());
}

#[test]
fn an_entry_may_take_the_name_of_one_that_it_drives_out() {
    let mut decoder = Decoder::new();
    // A table of 64 octets: each of these entries fills more than half of it.
    let block = hex("3f 21 40 02 6161 02 6262 7e 02 6363 be");
    assert_eq!(lines(&mut decoder, &block), ["aa: bb", "aa: cc", "aa: cc"]);
    // What is larger than the table empties it; a valid encoder does not refer to it.
    let block = hex("40 01 61 3d").into_iter().chain([b'x'; 61]).chain([0xbe]);
    let fields = lines(&mut decoder, &block.collect::<Vec<_>>());
    assert_eq!(fields.last().map(String::as_str), Some("?: ?"));
}

#[test]
fn a_blanked_value_drives_out_no_entry_that_is_still_in_use() {
    // 100 octets of zeros read as 160 symbols; they may have been 30.
    let mut decoder = Decoder::new();
    let mut block = hex("3f 81 01 40 01 61 01 62"); // 160 octets, of which the first entry takes 34
    block.extend([hex("40 01 63 e4"), vec![0; 100]].concat());
    block.extend(hex("bf"));
    let fields = lines(&mut decoder, &block);
    assert_eq!(fields.first(), fields.last());
}

#[test]
fn several_size_updates_may_stand_at_the_beginning() {
    let mut decoder = Decoder::new();
    assert_eq!(lines(&mut decoder, &hex("40 01 61 01 62")), ["a: b"]);
    // To nothing and back: the table is empty then.
    assert_eq!(
        lines(&mut decoder, &hex("20 3f e1 1f 40 01 63 01 64 be")),
        ["c: d", "c: d"]
    );
    decoder.limit(65_536);
    assert!(lines(&mut decoder, &hex("3f e1 ff 03")).is_empty());
    // Where nobody heard what the peer announced.
    assert!(lines(&mut Decoder::new(), &hex("3f e1 ff 03")).is_empty());
    assert!(!decoder.is_desynchronised());
}

#[test]
fn what_is_malformed_is_named() {
    for (block, expected) in [
        ("80", Malformed::Index),
        ("be", Malformed::Index),
        ("7e 01 61", Malformed::Index),
        ("40 01 61 01 62 bf", Malformed::Index),
        ("40", Malformed::Truncated),
        ("40 03 61", Malformed::Truncated),
        ("40 01 61 02 62", Malformed::Truncated),
        ("ff", Malformed::Truncated),
        ("ff 80 80 80 80 01", Malformed::Integer),
        ("ff ff ff ff ff 0f", Malformed::Integer),
        ("82 20", Malformed::SizeUpdate),
        ("3f e2 1f", Malformed::SizeUpdate),
        // Padding with a zero in it; eight bits of padding; the end symbol.
        ("0001 61 81 18", Malformed::Huffman),
        ("0001 61 82 1f ff", Malformed::Huffman),
        ("0001 61 84 ff ff ff ff", Malformed::Huffman),
    ] {
        assert_eq!(malformed(block), expected, "{block}");
    }
    let (_, outcome) = told(&mut Decoder::new(), &vec![0x82; BLOCK_MAX + 1]);
    assert_eq!(outcome, Err(Malformed::TooLong));
}

#[test]
fn fields_before_a_broken_one_are_told() {
    let (fields, outcome) = told(&mut Decoder::new(), &hex("82 80"));
    assert_eq!(fields.into_iter().map(line).collect::<Vec<_>>(), [":method: GET"]);
    assert_eq!(outcome, Err(Malformed::Index));
}

#[test]
fn a_small_block_cannot_tell_without_end() {
    let mut decoder = Decoder::new();
    let mut block = hex("40 01 61 7f a1 1e");
    block.extend([b'x'; 4000]);
    block.extend(std::iter::repeat_n(0xbe, 60_000));
    let (fields, outcome) = told(&mut decoder, &block);
    assert_eq!(outcome, Ok(()));
    assert_eq!(fields.len(), 60_001);
    assert_eq!(fields.last(), Some(&(None, None)));
}

#[test]
fn memory_stays_bounded_whatever_the_peer_announces() {
    for mut decoder in [Decoder::new(), Decoder::joined_late()] {
        decoder.limit(u32::MAX);
        assert!(lines(&mut decoder, &hex("3f e1 ff ff 3f")).is_empty());
        for length in [0_u8, 1, 100] {
            for _ in 0..3_000 {
                let mut block = vec![0x40, 1, b'a', length];
                block.extend(std::iter::repeat_n(b'x', usize::from(length)));
                lines(&mut decoder, &block);
            }
        }
        // Strings of zeros, which count for less than they hold.
        for _ in 0..100 {
            let mut block = hex("40 01 61 ff e0 0e");
            block.extend([0; 2015]);
            lines(&mut decoder, &block);
        }
    }
}

#[test]
fn every_symbol_is_decoded_alone_and_beside_another() {
    for one in 0..=u8::MAX {
        for two in [b'0', b'a', b'Z', b'~', 0, one] {
            let text = [one, two, b'e'];
            assert_eq!(huffman_round_trip(&text), text, "{one} {two}");
        }
    }
}

fn huffman_round_trip(text: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    huffman::encode(text, &mut coded);
    let mut decoded = Vec::new();
    huffman::decode(&coded, &mut decoded).expect("a string that ends as it should");
    decoded
}
