//! Programs that the installed Go builds; the symbols of those that keep them, and a disassembler, are the judges.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use object::read::ReadCache;

use super::super::image::Image;
use super::super::tests::resolve_bytes;
use super::super::{Resolved, Role, Unresolved, resolve};

const CLIENT: &str = r#"
package main

import "net/http"

func main() {
	answer, err := http.Get("https://localhost")
	if err != nil {
		panic(err)
	}
	println(answer.Status)
}
"#;

const WITHOUT_TLS: &str = r#"
package main

func main() { println("crypto/tls.(*Conn).Read") }
"#;

struct Build {
    folder: tempfile::TempDir,
}

impl Build {
    /// `None` without Go for x86-64.
    fn new(source: &str) -> Option<Self> {
        let is_there = Command::new("go")
            .arg("version")
            .output()
            .is_ok_and(|output| output.status.success());
        if !is_there || !cfg!(target_arch = "x86_64") {
            eprintln!("NOT RUN: no Go on this machine (Debian has it in golang-go), or another processor");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("go.mod"), "module client\n").unwrap();
        fs::write(folder.path().join("main.go"), source).unwrap();
        Some(Self { folder })
    }

    fn build(&self, options: &[&str]) -> PathBuf {
        let status = Command::new("go")
            .current_dir(self.folder.path())
            .args(["build", "-o", "client"])
            .args(options)
            .status();
        assert!(status.unwrap().success());
        self.folder.path().join("client")
    }
}

fn resolve_path(path: &Path) -> Result<Resolved, Unresolved> {
    resolve(&File::open(path).unwrap(), &|_| None)
}

fn offsets(resolved: &Resolved, role: Role) -> Vec<u64> {
    resolved
        .points()
        .filter(|point| point.role == role)
        .map(|point| point.offset)
        .collect()
}

/// Start and length of a function, as a file offset.
fn function(path: &Path, symbol: &str) -> (u64, u64) {
    let file = File::open(path).unwrap();
    let cache = ReadCache::new(&file);
    let image = Image::parse(&file, &cache).unwrap();
    let [function] = image.functions([symbol]);
    let function = function.expect("the symbol is there");
    (image.code_offset(function.address).unwrap(), function.size)
}

/// What `objdump` takes for a return in a function.
fn returns(path: &Path, symbol: &str) -> usize {
    let output = Command::new("objdump")
        .arg(format!("--disassemble={symbol}"))
        .arg(path)
        .output()
        .expect("objdump runs");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| line.split('\t').nth(2).is_some_and(|code| code.trim() == "ret"))
        .count()
}

#[test]
fn a_program_is_found_however_it_is_linked_and_stripped_or_not() {
    let Some(build) = Build::new(CLIENT) else { return };
    for options in [
        &["-buildmode=exe"][..],
        &["-buildmode=pie"],
        &["-buildmode=pie", "-ldflags=-linkmode=external"],
    ] {
        let program = build.build(options);
        let resolved = resolve_path(&program).unwrap();
        assert_eq!(resolved.libraries[0].name, "Go crypto/tls");
        for (role, symbol) in [
            (Role::GoRead, super::READ),
            (Role::GoWrite, super::WRITE),
            (Role::GoHandshake, super::HANDSHAKE),
            (Role::GoClose, super::CLOSE),
        ] {
            let (start, _) = function(&program, symbol);
            let found = offsets(&resolved, role);
            assert!(
                matches!(found.as_slice(), [place] if *place > start && *place < start + 32),
                "{options:?} {symbol} at {start:#x}: {found:x?}"
            );
        }
        let found = offsets(&resolved, Role::GoReadReturn);
        let (start, size) = function(&program, super::READ);
        assert!(found.iter().all(|place| (start..start + size).contains(place)));
        assert_eq!(found.len(), returns(&program, super::READ), "{options:?}");

        let mut options = options.to_vec();
        options.push("-ldflags=-s -w");
        let bare = resolve_path(&build.build(&options)).unwrap();
        assert_eq!(
            offsets(&bare, Role::GoReadReturn).len(),
            found.len(),
            "{options:?}"
        );
        assert_eq!(bare.libraries[0].version, resolved.libraries[0].version);
    }
}

#[test]
fn the_version_is_the_one_that_go_tells() {
    let Some(build) = Build::new(CLIENT) else { return };
    let program = build.build(&["-ldflags=-s -w"]);
    let told = Command::new("go").arg("version").arg(&program).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let version = told.trim().rsplit_once(": go").unwrap().1;
    let resolved = resolve_path(&program).unwrap();
    assert_eq!(resolved.libraries[0].version.as_deref(), Some(version));
}

#[test]
fn without_section_headers_the_table_is_found_by_its_first_word() {
    let Some(build) = Build::new(CLIENT) else { return };
    for mode in ["-buildmode=exe", "-buildmode=pie"] {
        let program = build.build(&[mode, "-ldflags=-s -w"]);
        let whole = resolve_path(&program).unwrap();
        let mut bytes = fs::read(&program).unwrap();
        // `e_shoff`, and `e_shnum` with `e_shstrndx`.
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
        let bare = resolve_bytes(&bytes).unwrap();
        assert_eq!(bare.libraries[0].points, whole.libraries[0].points, "{mode}");
    }
}

#[test]
fn a_program_that_uses_no_tls_has_none() {
    let Some(build) = Build::new(WITHOUT_TLS) else {
        return;
    };
    assert_eq!(resolve_path(&build.build(&[])), Err(Unresolved::NoTls));
}

/// What is said of a program after some of it was changed.
fn refusal(damage: impl FnOnce(&Path, &mut Vec<u8>)) -> Option<String> {
    let program = Build::new(CLIENT)?;
    let program = program.build(&["-buildmode=exe"]);
    let mut bytes = fs::read(&program).unwrap();
    damage(&program, &mut bytes);
    match resolve_bytes(&bytes) {
        Err(reason) => Some(reason.to_string()),
        Ok(resolved) => panic!("still found: {}", resolved.listing()),
    }
}

fn place(path: &Path, symbol: &str) -> (usize, usize) {
    let (start, size) = function(path, symbol);
    (usize::try_from(start).unwrap(), usize::try_from(size).unwrap())
}

#[test]
fn a_table_of_another_form_is_refused_with_the_version() {
    for (word, expected) in [(0xfa, "before Go 1.18"), (0xf2, "not known yet")] {
        let reason = refusal(|path, bytes| {
            let file = File::open(path).unwrap();
            let cache = ReadCache::new(&file);
            let image = Image::parse(&file, &cache).unwrap();
            let table = image.place_of_section(".gopclntab").unwrap();
            bytes[usize::try_from(table.offset).unwrap()] = word;
        });
        let Some(reason) = reason else { return };
        assert!(
            reason.starts_with("Go 1.") && reason.contains(expected),
            "{reason}"
        );
    }
}

#[test]
fn arguments_on_the_stack_are_refused() {
    let reason = refusal(|path, bytes| {
        let (start, _) = place(path, super::WRITE);
        // `cmp rsp, [r14 + 16]` as `[r13 + 16]`; in front of it a large frame may be subtracted.
        let code = &mut bytes[start..start + 32];
        let compare = code
            .windows(4)
            .position(|code| code[1..] == [0x3b, 0x66, 0x10])
            .expect("the check of the stack");
        code[compare + 2] = 0x65;
    });
    let Some(reason) = reason else { return };
    assert!(reason.contains("may not be in registers"), "{reason}");
}

#[test]
fn code_that_cannot_be_decoded_to_its_end_is_refused() {
    let reason = refusal(|path, bytes| {
        let (start, size) = place(path, super::READ);
        // No instruction in 64-bit mode.
        bytes[start + size - 16..start + size].fill(0x06);
    });
    let Some(reason) = reason else { return };
    assert!(reason.contains("cannot be decoded to its end"), "{reason}");
}
