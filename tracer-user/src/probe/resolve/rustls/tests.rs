//! Resolving rustls in this very test program, and without its symbols.

use std::fs::File;
use std::process::Command;

use super::super::{Resolved, Role, RustlsLayout, Unresolved, resolve};

fn resolve_path(path: &std::path::Path) -> Result<Resolved, Unresolved> {
    resolve(&File::open(path).unwrap(), &|_| None)
}

#[test]
fn a_program_built_without_optimisation_is_traced_by_its_symbols() {
    let resolved = resolve_path(std::path::Path::new("/proc/self/exe")).unwrap();
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
fn without_symbols_and_without_optimisation_it_is_refused_and_the_reason_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("stripped");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(std::env::current_exe().unwrap())
        .status();
    assert!(status.expect("strip runs").success());
    let reason = resolve_path(&stripped).unwrap_err().to_string();
    assert!(reason.starts_with("rustls 0.23."), "{reason}");
    assert!(reason.contains("without symbols"), "{reason}");
    assert!(reason.contains("a build without optimisation?"), "{reason}");
}
