//! Resolving rustls in this very test program, in the programs of others, and in damaged ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use object::read::ReadCache;
use proptest::prelude::*;

use super::super::fixtures::{Fixture, names};
use super::super::image::Image;
use super::super::{Library, Resolved, Role, RustlsLayout, Unresolved, fuzz, resolve};
use super::sources::sources;
use super::{Cipher, Half, Optimised, libraries};

fn resolve_path(path: &Path) -> Result<Resolved, Unresolved> {
    resolve(&File::open(path).unwrap(), &|_| None)
}

#[test]
fn a_program_with_symbols_is_traced_by_them() {
    let resolved = resolve_path(Path::new("/proc/self/exe")).unwrap();
    let [library] = resolved.libraries.as_slice() else {
        panic!("one library: {resolved:?}");
    };
    assert!(library.to_string().starts_with("rustls 0.23."), "{library}");
    assert!(library.to_string().ends_with(" (ring, by symbols)"), "{library}");
    let roles = |role| library.points.iter().filter(|point| point.role == role).count();
    let layout = RustlsLayout::Borrowed;
    // TLS 1.3, and AES-GCM and ChaCha20-Poly1305 of TLS 1.2.
    assert_eq!(roles(Role::RustlsEncrypt(layout)), 3, "{library:?}");
    assert_eq!(roles(Role::RustlsDecrypt(layout)), 3, "{library:?}");
}

#[test]
fn the_same_functions_are_found_with_symbols_and_without() {
    // Dependencies of tests are built with a little optimisation, and with checks for overflow.
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("stripped");
    let program = std::env::current_exe().unwrap();
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(&program)
        .status();
    assert!(status.expect("strip runs").success());
    let places = |path: &Path| {
        let resolved = resolve_path(path).unwrap();
        let places: BTreeMap<u64, Role> = resolved
            .points()
            .map(|point| (point.offset, point.role))
            .collect();
        (resolved.libraries[0].resolver, places)
    };
    let (by_name, named) = places(&program);
    let (by_shape, shaped) = places(&stripped);
    assert_eq!((by_name, by_shape), ("symbols", "vtable anchor"));
    assert_eq!(named, shaped);
}

/// Fixtures that are found by their vtables, and the start of what is said of them.
const ANCHORED: [(&str, &str); 6] = [
    ("codex", "rustls 0.23.46 (aws-lc-rs, by vtable anchor)"),
    ("deno", "rustls 0.23.40 (aws-lc-rs, by vtable anchor)"),
    ("rustls-fixed", "rustls 0.23.46 (ring, by vtable anchor)"),
    ("rustls-oldest", "rustls 0.23.0 (aws-lc-rs, by vtable anchor)"),
    ("rustls-owned", "rustls 0.22.4 (ring, by vtable anchor)"),
    ("uv", "rustls 0.23.46 (aws-lc-rs, by vtable anchor)"),
];

#[test]
fn stripped_programs_of_others_are_found_by_their_vtables() {
    for (name, expected) in ANCHORED {
        let (found, refused) = of_rustls(Fixture::read(name).resolve());
        assert_eq!(found[0].to_string(), expected);
        assert_eq!(refused, []);
        for library in &found {
            let (encrypt, decrypt): (Vec<_>, Vec<_>) = library
                .points
                .iter()
                .partition(|point| matches!(point.role, Role::RustlsEncrypt(_)));
            assert_eq!(encrypt.len(), decrypt.len(), "{name}: {library:?}");
            assert!(encrypt.len() >= 3, "{name}: {library:?}");
        }
    }
}

/// What is said of rustls: Codex carries OpenSSL as well.
fn of_rustls(outcome: Result<Resolved, Unresolved>) -> (Vec<Library>, Vec<Unresolved>) {
    match outcome {
        Ok(Resolved {
            libraries, refused, ..
        }) => {
            let is_rustls = |library: &Library| library.name == "rustls";
            (libraries.into_iter().filter(is_rustls).collect(), refused)
        }
        Err(Unresolved::NoTls) => (Vec::new(), Vec::new()),
        Err(reason) => (Vec::new(), vec![reason]),
    }
}

/// What is said of a fixture after some of it was changed.
fn refusal(name: &str, damage: impl FnOnce(&mut Fixture)) -> String {
    let mut fixture = Fixture::read(name);
    damage(&mut fixture);
    let (found, refused) = of_rustls(fixture.resolve());
    assert_eq!(found, [], "{name} is still found");
    refused.iter().map(Unresolved::to_string).collect()
}

/// Where in the file the code lies that tells by how much a record of TLS 1.3 grows.
fn growth(fixture: &Fixture) -> u64 {
    let plain = fixture.find(&[0x48, 0x8d, 0x46, 0x11, 0xc3]);
    let framed = fixture.find(&[0x48, 0x8d, 0x46, 0x11, 0x5d, 0xc3]);
    match [plain, framed].concat().as_slice() {
        [only] => *only,
        found => panic!("one place: {found:x?}"),
    }
}

#[test]
fn a_record_that_grows_otherwise_is_not_that_of_rustls() {
    for (name, _) in ANCHORED {
        let reason = refusal(name, |fixture| fixture.patch(growth(fixture) + 3, &[0x12]));
        assert!(
            reason.contains("does not tell by how much a record grows"),
            "{name}: {reason}"
        );
        assert!(reason.contains("tls13.rs"), "{name}: {reason}");
    }
}

#[test]
fn a_version_that_nobody_has_looked_at_is_refused_by_its_name() {
    for (name, _) in ANCHORED.into_iter().filter(|(name, _)| *name != "rustls-owned") {
        let reason = refusal(name, |fixture| {
            for place in fixture.find(b"rustls-0.23.") {
                fixture.patch(place, b"rustls-0.24.");
            }
        });
        assert!(reason.starts_with("rustls 0.24."), "{name}: {reason}");
        assert!(
            reason.ends_with("this version is not known yet"),
            "{name}: {reason}"
        );
    }
}

#[test]
fn a_path_that_names_no_rustls_gives_nothing() {
    for (name, _) in ANCHORED {
        let mut fixture = Fixture::read(name);
        for place in fixture.find(b"rustls-0.2") {
            fixture.patch(place, b"rusted");
        }
        assert_eq!(of_rustls(fixture.resolve()), (Vec::new(), Vec::new()), "{name}");
    }
}

/// Sizes and alignments as they stand in the vtables of ring's ciphers, and wherever else.
fn layouts(fixture: &Fixture) -> Vec<u64> {
    fixture.find(&[0x230_u64.to_le_bytes(), 16_u64.to_le_bytes()].concat())
}

/// Changes what stands at each such place, one by one: how often that leads to a refusal. Never to other places.
fn refusals(name: &str, damage: impl Fn(&mut Fixture, u64)) -> usize {
    let whole = Fixture::read(name);
    let untouched = whole.resolve().unwrap();
    let is_refused = |place: &u64| {
        let mut fixture = whole.clone();
        damage(&mut fixture, *place);
        match fixture.resolve() {
            Ok(resolved) => {
                assert_eq!(resolved, untouched, "{name}, {place:#x}");
                false
            }
            Err(reason) => {
                let reason = reason.to_string();
                assert!(reason.contains("vtables"), "{name}, {place:#x}: {reason}");
                true
            }
        }
    };
    layouts(&whole).into_iter().filter(is_refused).count()
}

#[test]
fn each_vtable_has_to_have_an_alignment_that_is_one() {
    for name in ["rustls-fixed", "rustls-owned"] {
        let count = refusals(name, |fixture, place| fixture.patch(place + 8, &[17]));
        assert_eq!(count, 6, "{name}: three ciphers, two vtables each");
    }
}

#[test]
fn each_method_has_to_lie_in_the_code() {
    let count = refusals("rustls-fixed", |fixture, place| {
        fixture.patch(place + 16, &0x10_u64.to_le_bytes());
    });
    assert_eq!(count, 6, "three ciphers, two vtables each");
}

#[test]
fn a_path_that_no_panic_leads_to_is_a_text_like_any_other() {
    let mut fixture = Fixture::read("rustls-fixed");
    let untouched = fixture.resolve().unwrap();
    let padding = fixture.find(&[0; 64]);
    let constants = fixture.find(b"rustls-0.23.");
    let place = padding.iter().find(|place| **place > constants[0]).unwrap();
    fixture.patch(place + 8, b"/rustls-0.24.0/src/crypto/ring/tls13.rs");
    assert_eq!(fixture.resolve(), Ok(untouched));
}

#[test]
fn folded_functions_get_one_probe_and_never_two_meanings() {
    let file = Fixture::read("rustls-symbols").file();
    let cache = ReadCache::new(&file);
    let image = Image::parse(&file, &cache).unwrap();
    let version = sources(&image)[0].version.clone();
    let address = |method: &str| {
        let named = image.functions_naming(&[b"tls13"]);
        let ends = |name: &[u8]| name.ends_with(method.as_bytes());
        let found = named.iter().find(|(name, _)| ends(name));
        found.expect("its symbol is there").1.address
    };
    let (encrypt, decrypt) = (
        address("16MessageEncrypter7encrypt"),
        address("16MessageDecrypter7decrypt"),
    );
    let cipher = |half, address, provider: &str| Cipher {
        half,
        address,
        name: "of a cipher".to_owned(),
        provider: provider.to_owned(),
    };
    let resolve = |ciphers: &[Cipher]| libraries(&image, &version, ciphers, Optimised::Unknown, "a test");

    let pair = [
        cipher(Half::Encrypt, encrypt, "ring"),
        cipher(Half::Decrypt, decrypt, "ring"),
        cipher(Half::Encrypt, encrypt, "ring"),
    ];
    let found = resolve(&pair);
    let [Ok(library)] = found.as_slice() else {
        panic!("one library: {found:?}");
    };
    assert_eq!(library.points.len(), 2, "{library:?}");

    let both_in_one = [
        cipher(Half::Encrypt, encrypt, "ring"),
        cipher(Half::Decrypt, encrypt, "ring"),
    ];
    let reason = resolve(&both_in_one)[0].clone().unwrap_err().to_string();
    assert!(
        reason.contains("encrypts and decrypts in one function"),
        "{reason}"
    );

    let half = [cipher(Half::Encrypt, encrypt, "ring")];
    let reason = resolve(&half)[0].clone().unwrap_err().to_string();
    assert!(reason.contains("no Decrypt function of ring"), "{reason}");
}

#[test]
fn code_that_the_file_is_too_short_for_gets_no_probes() {
    let reason = refusal("rustls-symbols", |fixture| {
        // `p_offset` of each executable segment: behind the end of the file. `PT_LOAD` and `PF_R | PF_X` stand before it.
        for place in fixture.find(&[1, 0, 0, 0, 5, 0, 0, 0]) {
            fixture.patch(place + 8, &(1_u64 << 40).to_le_bytes());
        }
    });
    assert!(reason.contains("lies outside of the executable code"), "{reason}");
}

#[test]
fn damage_anywhere_gives_a_value_in_bounded_time() {
    assert!(!names().is_empty());
    let config = ProptestConfig::with_cases(48);
    proptest!(config, |(
        which in 0_u8..32,
        damage in proptest::collection::vec(any::<[u8; 4]>(), 0..64),
    )| {
        let begin = Instant::now();
        fuzz::fuzz(&[&[which], damage.concat().as_slice()].concat());
        prop_assert!(begin.elapsed() < Duration::from_secs(10));
    });
}
