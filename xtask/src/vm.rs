//! `cargo xtask vm`: does the kernel side load and work on an older kernel? Boots one under software emulation.
//!
//! The virtual machine is a Debian kernel and an initial file system of two programs: geophone, and a first process
//! that makes one Bedrock call under it (`tests/vm/init.c`). The span on the serial console is the proof.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::command::{cargo, root, run, say, target};

/// Debian's package of the oldest kernel that this Debian offers; a cloud kernel is small and boots quickly.
const KERNEL: &str = "linux-image-cloud-amd64";
const EMULATOR: &str = "qemu-system-x86_64";
/// Seconds; emulated kernels take their time.
const PATIENCE: &str = "300";
/// What the span of the call in `tests/vm/init.c` must say.
const EXPECTED: [&str; 4] = [
    "chat amazon.nova-micro-v1:0",
    "gen_ai.usage.input_tokens",
    "\"stop\"",
    "geophone ended with 0",
];

/// Boots the kernel and checks what geophone says in it.
pub(crate) fn run_it() -> Result<()> {
    let directory = target().join("vm");
    std::fs::create_dir_all(&directory)?;
    if Command::new(EMULATOR)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        run(Command::new("apt-get").args([
            "install",
            "--yes",
            "--no-install-recommends",
            "qemu-system-x86",
        ]))?;
    }
    let kernel = kernel(&directory)?;
    let system = initial_file_system(&directory)?;
    say(&format!("booting {}", kernel.display()));
    let output = Command::new("timeout")
        .args([
            PATIENCE,
            EMULATOR,
            "-nographic",
            "-no-reboot",
            "-m",
            "1G",
            "-smp",
            "2",
            "-net",
            "none",
        ])
        .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
        .arg("-kernel")
        .arg(&kernel)
        .arg("-initrd")
        .arg(&system)
        .stdin(Stdio::null())
        .output()
        .context("cannot start the emulator")?;
    let console = String::from_utf8_lossy(&output.stdout);
    for expected in EXPECTED {
        if !console.contains(expected) {
            bail!("the console does not say `{expected}`:\n{console}");
        }
    }
    say("one Bedrock call was traced in the virtual machine");
    Ok(())
}

/// Fetches the kernel package and takes the kernel out of it.
fn kernel(directory: &Path) -> Result<PathBuf> {
    let depends = Command::new("apt-cache")
        .args(["depends", KERNEL])
        .output()
        .context("cannot run apt-cache")?;
    let depends = String::from_utf8_lossy(&depends.stdout).into_owned();
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: linux-image-"))
        .with_context(|| format!("apt knows no {KERNEL}; run apt-get update"))?;
    let version = package.trim();
    let image = directory.join(format!("boot/vmlinuz-{version}"));
    if !image.exists() {
        let name = format!("linux-image-{version}");
        run(Command::new("apt-get")
            .args(["download", &name])
            .current_dir(directory))?;
        let archive = std::fs::read_dir(directory)?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|file| file.to_string_lossy().starts_with(&name))
            })
            .context("apt-get downloaded nothing")?;
        run(Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&archive)
            .arg(directory))?;
        std::fs::remove_file(&archive)?;
    }
    Ok(image)
}

/// Builds the two programs and packs them with the libraries they need.
fn initial_file_system(directory: &Path) -> Result<PathBuf> {
    run(cargo().args(["build", "--package", "tracer-user", "--bin", "geophone"]))?;
    let init = directory.join("init");
    run(Command::new("cc")
        .args(["-O1", "-Wall", "-rdynamic", "-o"])
        .arg(&init)
        .arg(root().join("tests/vm/init.c")))?;
    let geophone = target().join("debug/geophone");

    let mut files = BTreeMap::new();
    for library in libraries(&geophone)?.into_iter().chain(libraries(&init)?) {
        files.insert(library.clone(), library);
    }
    files.insert("/init".into(), init);
    files.insert("/geophone".into(), geophone);

    let mut archive = Vec::new();
    let folders: BTreeSet<&Path> = files.keys().flat_map(|file| file.ancestors().skip(1)).collect();
    for folder in folders.into_iter().filter(|folder| *folder != Path::new("/")) {
        entry(&mut archive, folder, 0o040_755, &[])?;
    }
    entry(&mut archive, Path::new("/dev"), 0o040_755, &[])?;
    for (name, file) in &files {
        let data = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        entry(&mut archive, name, 0o100_755, &data)?;
    }
    entry(&mut archive, Path::new("TRAILER!!!"), 0, &[])?;
    let path = directory.join("initramfs.cpio");
    std::fs::write(&path, archive)?;
    Ok(path)
}

/// The shared libraries of a program and its loader, as `ldd` finds them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot run ldd")?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// One file of a `newc` archive (kernel documentation, `driver-api/early-userspace/buffer-format`).
fn entry(archive: &mut Vec<u8>, path: &Path, mode: u32, data: &[u8]) -> Result<()> {
    let name = path.to_string_lossy();
    let name = name.trim_start_matches('/');
    ensure!(
        u32::try_from(data.len()).is_ok(),
        "{name} is too large for an initial file system"
    );
    let fields = [
        0,
        mode as usize,
        0,
        0,
        1,
        0,
        data.len(),
        0,
        0,
        0,
        0,
        name.len() + 1,
        0,
    ]
    .map(|field: usize| format!("{field:08x}"));
    archive.extend_from_slice(b"070701");
    archive.extend_from_slice(fields.concat().as_bytes());
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    align(archive);
    archive.extend_from_slice(data);
    align(archive);
    Ok(())
}

fn align(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
