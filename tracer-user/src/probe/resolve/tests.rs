//! Resolving the system's own files, bundled libraries, compiled imitations and damaged files.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn resolve_path(path: &Path) -> Result<Resolved, Unresolved> {
    let file = File::open(path).expect("the file opens");
    resolve(&file, &|name| File::open(path.with_file_name(name)).ok())
}

pub(super) fn resolve_bytes(bytes: &[u8]) -> Result<Resolved, Unresolved> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    resolve(&file, &|_| None)
}

/// The libssl of this system, wherever the distribution puts it.
pub(in crate::probe) fn system_libssl() -> PathBuf {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    ];
    folders
        .iter()
        .map(|folder| Path::new(folder).join("libssl.so.3"))
        .find(|path| path.exists())
        .expect("a system libssl.so.3")
}

/// Where in a file its first constants lie.
pub(in crate::probe) fn place_of_constants(path: &Path) -> usize {
    let file = File::open(path).unwrap();
    let cache = ReadCache::new(&file);
    let stretches = Image::parse(&file, &cache).unwrap().constants();
    usize::try_from(stretches.first().unwrap().offset).unwrap()
}

fn roles(resolved: &Resolved) -> Vec<(Role, &str)> {
    resolved
        .points()
        .map(|point| (point.role, point.symbol.as_str()))
        .collect()
}

const BY_RESULT: CountReturn = CountReturn::ReturnValue;

fn by_pointer(argument: u8) -> CountReturn {
    CountReturn::OutPointer { argument }
}

const EXPORTS: [(Role, &str); 7] = [
    (Role::New, "SSL_new"),
    (Role::Free, "SSL_free"),
    (Role::Control, "SSL_ctrl"),
    (Role::Read(BY_RESULT), "SSL_read"),
    (Role::Write(BY_RESULT), "SSL_write"),
    (Role::Read(CountReturn::OutPointer { argument: 3 }), "SSL_read_ex"),
    (
        Role::Write(CountReturn::OutPointer { argument: 3 }),
        "SSL_write_ex",
    ),
];

fn internal(write_count: u8) -> [(Role, &'static str); 5] {
    [
        (Role::New, "SSL_new"),
        (Role::Free, "SSL_free"),
        (Role::Control, "SSL_ctrl"),
        (Role::Read(by_pointer(3)), "ssl_read_internal"),
        (Role::Write(by_pointer(write_count)), "ssl_write_internal"),
    ]
}

#[test]
fn the_system_library_is_probed_inside_where_that_is_proven_and_cheap() {
    let resolved = resolve_path(&system_libssl()).unwrap();
    let [library] = resolved.libraries.as_slice() else {
        panic!("one library: {resolved:?}");
    };
    assert_eq!(library.name, "OpenSSL");
    let version = library.version.as_deref().unwrap();
    assert!(version.starts_with("3."), "{version}");
    assert!(resolved.build_id.is_some());
    if cfg!(target_arch = "x86_64") {
        let reads: Vec<&str> = resolved.points().map(|point| point.symbol.as_str()).collect();
        assert!(reads.contains(&"ssl_read_internal"), "{resolved:#?}");
    }
}

/// Points are file offsets of code: what lies there must be what the symbol's address holds.
#[test]
fn offsets_are_places_in_the_file_where_functions_begin() {
    let path = system_libssl();
    let listing = Command::new("nm").arg("-D").arg(&path).output().expect("nm runs");
    let listing = String::from_utf8(listing.stdout).unwrap();
    let address = |symbol: &str| {
        listing
            .lines()
            .find(|line| {
                line.split_whitespace()
                    .nth(2)
                    .is_some_and(|name| name.split('@').next() == Some(symbol))
            })
            .and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok())
            .expect("nm names it")
    };
    let file = File::open(&path).unwrap();
    let cache = ReadCache::new(&file);
    let image = Image::parse(&file, &cache).unwrap();
    let resolved = resolve_path(&path).unwrap();
    for point in resolved.points() {
        if point.symbol.starts_with("SSL_") {
            let offset = image.code_offset(address(&point.symbol)).unwrap();
            assert!(point.offset == offset || point.offset == offset + 4, "{point:?}");
        }
    }
}

#[test]
fn node_carries_openssl_in_its_own_executable() {
    let Some(node) = find_program("node") else {
        eprintln!("NOT RUN: no node on this machine");
        return;
    };
    match resolve_path(&node) {
        Ok(resolved) => {
            assert_eq!(resolved.libraries[0].name, "OpenSSL");
            assert!(resolved.points().count() >= 5);
        }
        Err(Unresolved::NoTls) => eprintln!("NOT RUN: this node uses the system's libssl"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_program_that_only_imports_the_functions_gets_no_probes() {
    let curl = find_program("curl").expect("curl is installed");
    assert_eq!(resolve_path(&curl), Err(Unresolved::NoTls));
}

#[test]
fn a_copy_under_another_name_resolves_alike() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libssl-3e69114b.so.1.1");
    fs::copy(system_libssl(), &copy).unwrap();
    let (original, copied) = (
        resolve_path(&system_libssl()).unwrap(),
        resolve_path(&copy).unwrap(),
    );
    assert_eq!(roles(&original), roles(&copied));
    let offsets = |resolved: &Resolved| resolved.points().map(|point| point.offset).collect::<Vec<_>>();
    assert_eq!(offsets(&original), offsets(&copied));
}

#[test]
fn files_that_are_no_library_say_why() {
    assert!(matches!(resolve_bytes(b""), Err(Unresolved::Malformed(_))));
    assert!(matches!(
        resolve_bytes(b"#!/bin/sh\nexec python3 app.py\n"),
        Err(Unresolved::Malformed(_))
    ));
    let mut foreign = fs::read(system_libssl()).unwrap();
    foreign[4] = 1;
    foreign[18] = 3;
    assert_eq!(
        resolve_bytes(&foreign),
        Err(Unresolved::Architecture("32-bit x86".to_owned()))
    );
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// A libssl that a wheel of a well-known package brings along, for versions that this system does not have. It stays as
/// long as the folder.
pub(super) fn bundled_libssl(folder: &Path, release: &str) -> Option<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("NOT RUN: the wheels are for x86-64");
        return None;
    }
    let target = folder.join(release);
    let installed = Command::new("python3")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"])
        .args(["--only-binary", ":all:", "--python-version", "3.11"])
        .args(["--platform", "manylinux2014_x86_64", "--target"])
        .arg(&target)
        .arg(format!("psycopg2-binary=={release}"))
        .status();
    if !installed.is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: pip could not fetch psycopg2-binary {release}");
        return None;
    }
    fs::read_dir(target.join("psycopg2_binary.libs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("libssl-"))
}

#[test]
fn bundled_openssl_of_1_1_1_and_3_5_is_proven_too() {
    let folder = tempfile::tempdir().unwrap();
    for (release, version, write_count) in [("2.9.5", "1.1.1", 3), ("2.9.13", "3.5", 4)] {
        let Some(libssl) = bundled_libssl(folder.path(), release) else {
            continue;
        };
        let resolved = resolve_path(&libssl).unwrap();
        assert_eq!(roles(&resolved), internal(write_count), "{libssl:?}");
        let found = resolved.libraries[0].version.as_deref().unwrap();
        assert!(found.starts_with(version), "{found}");
    }
}

/// A library with wrappers like OpenSSL's, compiled from a few lines of C.
fn compiled(internals: &str) -> Resolved {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("library.c");
    let library = folder.path().join("libssl.so");
    let common = "
        #include <stddef.h>
        typedef struct ssl SSL;
        extern void report(int, int, int, const char *);
        void *SSL_new(void *c) { return c; }
        void SSL_free(void *s) { report(1, 2, 3, \"free\"); }
        long SSL_ctrl(void *s, int c, long l, void *p) { return l; }
    ";
    fs::write(&source, format!("{common}{internals}")).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wl,-Bsymbolic", "-w", "-o"])
        .arg(&library)
        .arg(&source)
        .status()
        .expect("cc runs");
    assert!(status.success());
    resolve_path(&library).unwrap()
}

const INTERNALS: &str = "
    extern int move(SSL *, const void *, size_t, size_t *);
    __attribute__((noinline, visibility(\"hidden\")))
    int ssl_read_internal(SSL *s, void *b, size_t n, size_t *o) {
        int first = move(s, b, n, o); int second = move(s, b, n, o);
        if (first + second < 0) { report(20, 523, first, \"ssl_read_internal\"); return -1; }
        return first * second;
    }
    __attribute__((noinline, visibility(\"hidden\")))
    int ssl_write_internal(SSL *s, const void *b, size_t n, size_t *o) {
        int first = move(s, b, n, o); int second = move(s, b, n, o);
        if (first + second < 0) { report(20, 524, second, \"ssl_write_internal\"); return -1; }
        return first - second;
    }
    int SSL_write(SSL *s, const void *b, int n) {
        size_t o; int r; if (n < 0) return -1;
        r = ssl_write_internal(s, b, (size_t)n, &o); return r > 0 ? (int)o : r;
    }
    int SSL_write_ex(SSL *s, const void *b, size_t n, size_t *o) {
        int r = ssl_write_internal(s, b, n, o); return r < 0 ? 0 : r;
    }
";

#[test]
fn wrappers_that_agree_are_probed_at_the_function_they_share() {
    let resolved = compiled(&format!(
        "{INTERNALS}
        int SSL_read(SSL *s, void *b, int n) {{
            size_t o; int r; if (n < 0) return -1;
            r = ssl_read_internal(s, b, (size_t)n, &o); return r > 0 ? (int)o : r;
        }}
        int SSL_read_ex(SSL *s, void *b, size_t n, size_t *o) {{
            int r = ssl_read_internal(s, b, n, o); return r < 0 ? 0 : r;
        }}"
    ));
    if cfg!(target_arch = "x86_64") {
        assert_eq!(roles(&resolved), internal(3));
    } else {
        assert_eq!(roles(&resolved), EXPORTS);
    }
}

#[test]
fn wrappers_that_differ_are_probed_themselves() {
    let resolved = compiled(&format!(
        "{INTERNALS}
        int SSL_read(SSL *s, void *b, int n) {{
            size_t o; int r; if (n < 0) return -1;
            r = ssl_read_internal(s, b, (size_t)n, &o); return r > 0 ? (int)o : r;
        }}
        int SSL_read_ex(SSL *s, void *b, size_t n, size_t *o) {{
            int r = ssl_write_internal(s, b, n, o); return r < 0 ? 0 : r;
        }}"
    ));
    assert_eq!(roles(&resolved), EXPORTS);
}

#[test]
fn an_internal_function_that_was_inlined_is_never_mistaken_for_what_it_calls() {
    let resolved = compiled(&format!(
        "{INTERNALS}
        struct ssl {{ int (*method)(SSL *, void *, size_t, size_t *); int quic; }};
        extern int quic_read(SSL *, void *, size_t, size_t *);
        int SSL_read(SSL *s, void *b, int n) {{
            size_t o; int r; if (n < 0) return -1;
            r = s->quic ? quic_read(s, b, n, &o) : s->method(s, b, n, &o); return r > 0 ? (int)o : r;
        }}
        int SSL_read_ex(SSL *s, void *b, size_t n, size_t *o) {{
            int r = s->quic ? quic_read(s, b, n, o) : s->method(s, b, n, o); return r < 0 ? 0 : r;
        }}"
    ));
    assert_eq!(roles(&resolved), EXPORTS);
}

#[test]
fn a_shared_function_that_does_not_give_its_name_is_refused() {
    let resolved = compiled(&format!(
        "{INTERNALS}
        extern int other(SSL *, void *, size_t, size_t *);
        int SSL_read(SSL *s, void *b, int n) {{
            size_t o; int r; if (n < 0) return -1;
            r = other(s, b, (size_t)n, &o); return r > 0 ? (int)o : r;
        }}
        int SSL_read_ex(SSL *s, void *b, size_t n, size_t *o) {{
            int r = other(s, b, n, o); return r < 0 ? 0 : r;
        }}"
    ));
    assert_eq!(roles(&resolved), EXPORTS);
}

#[test]
fn a_shim_in_front_of_the_real_library_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("shim.c");
    let library = folder.path().join("shim.so");
    fs::write(&source, "int SSL_read(void *s, void *b, int n) { return n; } int SSL_write(void *s, void *b, int n) { return n; }").unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    assert!(status.unwrap().success());
    assert_eq!(resolve_path(&library), Err(Unresolved::NoTls));
}

fn library_bytes() -> &'static [u8] {
    static BYTES: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| fs::read(system_libssl()).unwrap());
    &BYTES
}

fn place_of_read_ex() -> usize {
    let file = File::open(system_libssl()).unwrap();
    let cache = ReadCache::new(&file);
    let image = Image::parse(&file, &cache).unwrap();
    let [function] = image.functions(["SSL_read_ex"]);
    let offset = image.code_offset(function.unwrap().address).unwrap();
    usize::try_from(offset).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_library_cut_short_gives_a_value_and_never_a_panic(length in 0_usize..700_000) {
        let bytes = library_bytes();
        let _value = resolve_bytes(&bytes[..length.min(bytes.len())]);
    }

    #[test]
    fn a_damaged_library_gives_a_value_and_never_a_panic(
        damage in proptest::collection::vec((0_usize..4096, any::<u8>()), 1..40),
        tail in proptest::collection::vec((1_usize..4096, any::<u8>()), 0..40),
    ) {
        // Headers are at the start, section headers at the end.
        let mut bytes = library_bytes().to_vec();
        for (place, value) in damage {
            // The mark itself stays, or nothing of the rest is reached.
            bytes[20 + place] = value;
        }
        for (place, value) in tail {
            let end = bytes.len();
            bytes[end - place] = value;
        }
        let _value = resolve_bytes(&bytes);
    }

    #[test]
    fn any_bytes_as_code_are_followed_without_a_panic(code in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut bytes = library_bytes().to_vec();
        let begin = place_of_read_ex();
        bytes[begin..begin + code.len()].copy_from_slice(&code);
        let _value = resolve_bytes(&bytes);
    }
}

#[test]
fn the_systems_gnutls_is_probed_at_one_level() {
    let Some(path) = system_libssl()
        .parent()
        .map(|folder| folder.join("libgnutls.so.30"))
        .filter(|path| path.exists())
    else {
        eprintln!("NOT RUN: no GnuTLS on this machine");
        return;
    };
    let resolved = resolve_path(&path).unwrap();
    assert_eq!(resolved.to_string(), "GnuTLS (by symbols)");
    assert_eq!(
        roles(&resolved),
        [
            (Role::Read(BY_RESULT), "gnutls_record_recv"),
            (Role::Write(BY_RESULT), "gnutls_record_send2"),
            (Role::Free, "gnutls_deinit"),
        ]
    );
}

/// A library with these functions.
fn exporting(names: &[&str]) -> Result<Resolved, Unresolved> {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("library.c"), folder.path().join("library.so"));
    let functions: Vec<String> = names
        .iter()
        .map(|name| format!("int {name}(void *c, void *b, int n) {{ return n; }}\n"))
        .collect();
    fs::write(&source, functions.concat()).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    assert!(status.expect("cc runs").success());
    resolve_path(&library).map_err(|reason| match reason {
        Unresolved::NoTls => explain(&File::open(&library).unwrap()),
        other => other,
    })
}

#[test]
fn an_old_gnutls_is_probed_where_it_sends() {
    let resolved = exporting(&["gnutls_record_send", "gnutls_record_recv"]).unwrap();
    assert_eq!(
        roles(&resolved),
        [
            (Role::Read(BY_RESULT), "gnutls_record_recv"),
            (Role::Write(BY_RESULT), "gnutls_record_send"),
        ]
    );
}

#[test]
fn s2n_is_probed_from_the_beginning_of_a_connection_to_its_end() {
    let names = [
        "s2n_recv",
        "s2n_send",
        "s2n_connection_new",
        "s2n_connection_free",
    ];
    let resolved = exporting(&names).unwrap();
    assert_eq!(resolved.to_string(), "s2n-tls (by symbols)");
    assert_eq!(
        roles(&resolved),
        [
            (Role::Read(BY_RESULT), "s2n_recv"),
            (Role::Write(BY_RESULT), "s2n_send"),
            (Role::New, "s2n_connection_new"),
            (Role::Free, "s2n_connection_free"),
        ]
    );
    assert_eq!(exporting(&names[..3]), Err(Unresolved::NoTls));
}

#[test]
fn java_is_told_why_it_is_not_traced() {
    let reason = exporting(&["JNI_CreateJavaVM"]).unwrap_err();
    assert_eq!(reason, Unresolved::Unsupported(Known::Java));
    assert!(reason.to_string().contains("bytecode"), "{reason}");
}
