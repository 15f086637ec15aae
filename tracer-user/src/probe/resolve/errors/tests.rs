//! Libraries without symbols: compiled imitations, and real ones whose own symbols are the judge.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::super::fixtures::Fixture;
use super::super::{CountReturn, Resolved, Role, Unresolved, resolve};

fn resolve_path(path: &Path) -> Result<Resolved, Unresolved> {
    resolve(&File::open(path).unwrap(), &|_| None)
}

/// What `points` of these roles have in common between two builds: the places.
fn places(resolved: &Resolved) -> Vec<(Role, u64)> {
    let mut places: Vec<(Role, u64)> = resolved
        .points()
        .filter(|point| matches!(point.role, Role::Read(_) | Role::Write(_)))
        .map(|point| (point.role, point.offset))
        .collect();
    places.sort_by_key(|(_, offset)| *offset);
    places
}

fn stripped(path: &Path) -> PathBuf {
    let target = path.with_extension("stripped");
    let status = Command::new("strip")
        .args(["--strip-all", "-o"])
        .arg(&target)
        .arg(path)
        .status();
    assert!(status.expect("strip runs").success());
    target
}

/// A few functions of BoringSSL's `ssl_lib.cc`, as far as they report errors.
const BORINGSSL: &str = r#"
    typedef struct { int (*method)(void *); const char *pending; long left; int mode; } SSL;
    void ERR_put_error(int library, int unused, int reason, const char *file, unsigned line);
    #define ERROR(reason) ERR_put_error(16, 0, reason, "/build/boringssl/ssl/ssl_lib.cc", __LINE__)
    __attribute__((noipa)) void ERR_put_error(int l, int u, int reason, const char *f, unsigned line) {
        __asm__ volatile("" :: "r"(l), "r"(u), "r"(reason), "r"(f), "r"(line) : "memory");
    }
    __attribute__((noinline)) int ssl_read_impl(SSL *ssl) {
        if (!ssl->method) { ERROR(0xe2); return -1; }
        int done = ssl->method(ssl);
        if (done < 0) { ERROR(0xd7); return -1; }
        ssl->left = done;
        return 1;
    }
    __attribute__((noinline)) int SSL_peek(SSL *ssl, void *buf, int num) {
        if (ssl->mode) { ERROR(0x42); return -1; }
        int done = ssl_read_impl(ssl);
        if (done <= 0) return done;
        if (num > ssl->left) num = ssl->left;
        __builtin_memcpy(buf, ssl->pending, num);
        return num;
    }
    __attribute__((noinline)) int SSL_read(SSL *ssl, void *buf, int num) {
        if (ssl->mode) { ERROR(0x42); return -1; }
        int done = ssl_read_impl(ssl);
        if (done <= 0) return done;
        if (num > ssl->left) num = ssl->left;
        __builtin_memcpy(buf, ssl->pending, num);
        ssl->pending += num;
        ssl->left -= num;
        return num;
    }
    __attribute__((noinline)) int SSL_write(SSL *ssl, const void *buf, int num) {
        if (ssl->mode) { ERROR(0x42); return -1; }
        if (!ssl->method) { ERROR(0xe2); return -1; }
        if (ssl->method(ssl) < 0) { ERROR(0xd7); return -1; }
        if (num < 0) { ERROR(0x6f); return -1; }
        return ssl->method((void *)buf);
    }
    int main(int count, char **words) {
        SSL *ssl = (SSL *)words[0];
        return SSL_write(ssl, "x", count) + SSL_read(ssl, words[1], count) + PEEK;
    }
"#;

struct Build {
    folder: tempfile::TempDir,
}

impl Build {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn compile(&self, source: &str, options: &[&str]) -> Option<PathBuf> {
        let (input, output) = (self.folder.path().join("main.c"), self.folder.path().join("main"));
        fs::write(&input, source).unwrap();
        let status = Command::new("cc")
            .args(["-w", "-o"])
            .arg(&output)
            .arg(&input)
            .args(options)
            // What a static program may not do is of no interest here.
            .stderr(Stdio::null())
            .status();
        status.expect("cc runs").success().then_some(output)
    }
}

fn offset(path: &Path, symbol: &str) -> u64 {
    let listing = Command::new("nm").arg(path).output().expect("nm runs");
    let listing = String::from_utf8(listing.stdout).unwrap();
    let address = listing
        .lines()
        .find_map(|line| line.strip_suffix(&format!(" T {symbol}")))
        .and_then(|address| u64::from_str_radix(address, 16).ok())
        .expect("nm names it");
    let file = File::open(path).unwrap();
    let cache = object::read::ReadCache::new(&file);
    super::Image::parse(&file, &cache)
        .unwrap()
        .code_offset(address)
        .unwrap()
}

#[test]
fn boringssl_is_found_without_symbols_however_it_was_built() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    for peek in ["0", "SSL_peek(ssl, words[1], count)"] {
        for level in ["-O0", "-O1", "-O2", "-Os"] {
            for kind in [
                "-fPIE -pie",
                "-fno-pie -no-pie",
                "-fPIE -pie -fno-omit-frame-pointer -fno-asynchronous-unwind-tables",
            ] {
                let build = Build::new();
                let define = format!("-DPEEK={peek}");
                let mut options = vec![level, "-ffunction-sections", "-Wl,--gc-sections", &define];
                options.extend(kind.split(' '));
                let program = build.compile(BORINGSSL, &options).unwrap();
                let resolved = resolve_path(&stripped(&program)).unwrap_or_else(|reason| {
                    panic!("{options:?}: {reason}");
                });
                assert_eq!(resolved.libraries[0].to_string(), "BoringSSL (by error sites)");
                let found = |wanted: Role| {
                    resolved
                        .points()
                        .find(|point| point.role == wanted)
                        .map(|point| point.offset)
                };
                let by_result = CountReturn::ReturnValue;
                for (role, symbol) in [
                    (Role::Read(by_result), "SSL_read"),
                    (Role::Write(by_result), "SSL_write"),
                ] {
                    let start = offset(&program, symbol);
                    // A mark for indirect branches may be stepped over.
                    assert!(
                        found(role).is_some_and(|found| found == start || found == start + 4),
                        "{options:?} {symbol} at {start:#x}: {resolved:?}"
                    );
                }
            }
        }
    }
}

/// What is said of the imitation after its source was changed.
fn refusal(change: impl FnOnce(String) -> String) -> String {
    let build = Build::new();
    let source = change(BORINGSSL.replace("PEEK", "SSL_peek(ssl, words[1], count)"));
    let program = build.compile(&source, &["-O2"]).unwrap();
    match resolve_path(&stripped(&program)) {
        Err(reason) => reason.to_string(),
        Ok(resolved) => panic!("still found: {resolved:?}"),
    }
}

#[test]
fn half_an_anchor_is_refused_with_the_half_that_is_missing() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let reason = refusal(|source| source.replace("if (num < 0) { ERROR(0x6f); return -1; }", ""));
    assert_eq!(
        reason,
        "BoringSSL: without symbols, and no function reports the errors of SSL_write"
    );
    let reason = refusal(|source| {
        source.replace(
            "ERROR(0xd7); return -1; }\n        ssl->left",
            "return -1; }\n        ssl->left",
        )
    });
    assert!(
        reason.ends_with("no function reports the errors of ssl_read_impl"),
        "{reason}"
    );
    // A reason that nobody has seen there.
    let reason = refusal(|source| source.replace("ERROR(0x6f)", "ERROR(0x6f); ERROR(0x70)"));
    assert!(
        reason.ends_with("no function reports the errors of SSL_write"),
        "{reason}"
    );
    let reason = refusal(|source| source.replace("ERR_put_error(16", "ERR_put_error(17"));
    assert!(reason.contains("no function reports"), "{reason}");
}

#[test]
fn two_functions_that_both_fit_are_refused() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let reason = refusal(|source| {
        let begin = source.find("__attribute__((noinline)) int SSL_write").unwrap();
        let end = source.find("int main").unwrap();
        let twin = source[begin..end]
            .replace("SSL_write", "SSL_other")
            .replace("method((void *)buf)", "method(ssl) + 1");
        source.replace("int main", &format!("{twin} int main")).replace(
            "return SSL_write",
            "return SSL_other(ssl, \"y\", count) + SSL_write",
        )
    });
    assert_eq!(
        reason,
        "BoringSSL: without symbols, and 2 functions report the errors of SSL_write"
    );
}

#[test]
fn a_start_that_does_not_keep_its_stack_in_order_is_refused() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let reason = refusal(|source| {
        source.replace(
            "if (num < 0) { ERROR(0x6f)",
            "__asm__ volatile(\"pushq $0\" ::: \"memory\"); if (num < 0) { ERROR(0x6f)",
        )
    });
    assert!(reason.contains("is not safe to probe"), "{reason}");
}

#[test]
fn a_text_about_a_library_is_not_the_library() {
    let build = Build::new();
    let source = r#"
        const char *texts[] = { "third_party/boringssl/ssl/ssl_lib.cc", "ssl_read_internal", "ssl_write_internal" };
        int main(int count, char **words) { return texts[count][0]; }
    "#;
    let program = build.compile(source, &["-O2"]).unwrap();
    assert_eq!(resolve_path(&stripped(&program)), Err(Unresolved::NoTls));
}

const CLIENT: &str = "
    #include <openssl/ssl.h>
    int main(int count, char **words) {
        SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
        char text[100];
        size_t moved;
        int done = SSL_connect(ssl) + SSL_write(ssl, text, 2) + SSL_read(ssl, text, 100);
        if (count > 1) done += SSL_write_ex(ssl, text, 2, &moved) + SSL_read_ex(ssl, text, 100, &moved);
        SSL_free(ssl);
        return done;
    }
";

/// With symbols the flow of arguments proves the places; without, the errors have to lead to the same.
#[test]
fn static_openssl_gives_the_same_places_with_symbols_and_without() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    for kind in [["-fPIE", "-pie"], ["-no-pie", "-static"]] {
        let build = Build::new();
        let mut options = kind.to_vec();
        options.extend(["-O2", "-l:libssl.a", "-l:libcrypto.a", "-ldl", "-lpthread"]);
        let Some(program) = build.compile(CLIENT, &options) else {
            eprintln!("NOT RUN: no static libssl to link with (Debian has it in libssl-dev)");
            return;
        };
        let (named, bare) = (
            resolve_path(&program).unwrap(),
            resolve_path(&stripped(&program)).unwrap(),
        );
        assert_eq!(bare.libraries[0].resolver, "error sites");
        assert_eq!(named.libraries[0].resolver, "proven internal functions");
        assert_eq!(places(&named), places(&bare), "{kind:?}");
    }
}

/// A wheel with BoringSSL in it.
fn wheel(folder: &Path, name: &str, file: &str) -> Option<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("NOT RUN: the wheels are for x86-64");
        return None;
    }
    let installed = Command::new("python3")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"])
        .args(["--only-binary", ":all:", "--python-version", "3.11"])
        .args(["--platform", "manylinux2014_x86_64", "--target"])
        .args([folder, Path::new(name)])
        .status();
    if !installed.is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: pip could not fetch {name}");
        return None;
    }
    Some(folder.join(file))
}

#[test]
fn the_boringssl_of_curl_cffi_gives_the_same_places_with_symbols_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = wheel(folder.path(), "curl_cffi==0.13.0", "curl_cffi/_wrapper.abi3.so") else {
        return;
    };
    let named = resolve_path(&library).unwrap();
    assert_eq!(named.libraries[0].to_string(), "BoringSSL (by symbols)");
    let bare = resolve_path(&stripped(&library)).unwrap();
    assert_eq!(bare.libraries[0].to_string(), "BoringSSL (by error sites)");
    assert_eq!(places(&named), places(&bare));
}

#[test]
fn one_reason_more_or_less_in_a_real_program_and_it_is_refused() {
    for name in ["bun", "claude", "grpc"] {
        let whole = Fixture::read(name);
        assert_eq!(
            whole.resolve().unwrap().libraries[0].resolver,
            "error sites",
            "{name}"
        );
        // `mov edx, 0x6f`, or where link-time optimisation dropped an argument, `mov esi, 0x6f`.
        let places: Vec<u64> = [0xba, 0xbe]
            .iter()
            .flat_map(|load| whole.find(&[*load, 0x6f, 0, 0, 0]))
            .collect();
        assert!(!places.is_empty(), "{name}");
        let mut damaged = whole.clone();
        for place in places {
            damaged.patch(place + 1, &[0x70]);
        }
        let reason = damaged.resolve().unwrap_err().to_string();
        assert_eq!(
            reason, "BoringSSL: without symbols, and no function reports the errors of SSL_write",
            "{name}"
        );
    }
}
