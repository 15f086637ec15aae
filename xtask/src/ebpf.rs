//! `cargo xtask ebpf`: builds the programs for the kernel, or proves that the committed ones come from the sources beside
//! them.
//!
//! The compiler is Debian's `rustc-web` with its ready-made `core` for `bpfel-unknown-none`, so neither nightly nor the
//! standard library's sources are needed; bpf-linker borrows the LLVM of the pinned stable toolchain. Paths are mapped
//! away: the same sources give the same bytes in any directory.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::command::{cargo, root, run, say, target};

const COMPILER: &str = "/usr/bin/rustc";
const COMPILER_VERSION: &str = "1.96.0";
const COMPILER_PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];
const CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none";
const LINKER_VERSION: &str = "0.10.3";
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
const TARGET: &str = "bpfel-unknown-none";

/// What the programs are made from; everything else has no say in their bytes.
const SOURCES: [&str; 5] = [
    "tracer-ebpf/Cargo.toml",
    "tracer-ebpf/Cargo.lock",
    "tracer-ebpf/src",
    "tracer-common/Cargo.toml",
    "tracer-common/src",
];

const SUMS: &str = "SHA256SUMS";
const TOOLCHAIN: &str = "TOOLCHAIN";

/// Builds the objects and writes them, their sums and the toolchain.
pub(crate) fn build() -> Result<()> {
    let toolchain = Toolchain::set_up()?;
    let directory = objects();
    std::fs::create_dir_all(&directory)?;
    let mut sums = String::new();
    for architecture in ARCHITECTURES {
        let object = toolchain.compile(architecture)?;
        let name = file_name(architecture);
        writeln!(sums, "{}  {name}", hash(&object))?;
        say(&format!("{name}: {} bytes", object.len()));
        write(&directory.join(name), &object)?;
    }
    write(&directory.join(SUMS), sums.as_bytes())?;
    write(
        &directory.join(TOOLCHAIN),
        toolchain.describe(&source_hash()?).as_bytes(),
    )
}

/// Checks that the committed objects are what the sources give.
pub(crate) fn check() -> Result<()> {
    let directory = objects();
    let sums = read(&directory.join(SUMS))?;
    for architecture in ARCHITECTURES {
        let name = file_name(architecture);
        let line = format!("{}  {name}", hash(&read(&directory.join(&name))?));
        ensure!(
            String::from_utf8_lossy(&sums).lines().any(|known| known == line),
            "{name} is not the file that {SUMS} lists; run `cargo xtask ebpf`"
        );
    }
    let committed = String::from_utf8_lossy(&read(&directory.join(TOOLCHAIN))?).into_owned();
    let sources = format!("sources sha256:{}", source_hash()?);
    ensure!(
        committed.lines().any(|line| line == sources),
        "tracer-ebpf or tracer-common changed after the objects were built; run `cargo xtask ebpf` and commit tracer-user/bpf"
    );
    let toolchain = match Toolchain::set_up() {
        Ok(toolchain) => toolchain,
        Err(error) => {
            say(&format!(
                "NOT REBUILT, only the hash of the sources was compared: {error:#}"
            ));
            return Ok(());
        }
    };
    let described = toolchain.describe(&source_hash()?);
    if committed != described {
        say(&format!(
            "NOT REBUILT, only the hash of the sources was compared: the toolchain here is another one\ncommitted:\n{committed}here:\n{described}"
        ));
        return Ok(());
    }
    for architecture in ARCHITECTURES {
        let name = file_name(architecture);
        Toolchain::forget(architecture)?;
        ensure!(
            toolchain.compile(architecture)? == read(&directory.join(&name))?,
            "{name} differs from what its sources give; run `cargo xtask ebpf` and commit tracer-user/bpf"
        );
        say(&format!("{name}: built again, the same to the byte"));
    }
    Ok(())
}

/// Builds the programs that the benchmark compares geophone with; they are not committed.
pub(crate) fn benchmark_programs() -> Result<PathBuf> {
    let directory = target().join("bpf/bench");
    let built = Toolchain::set_up()?.build("tracer-ebpf/bench", std::env::consts::ARCH, &directory)?;
    Ok(built.join("bench"))
}

/// The compiler and the linker, found to be the pinned ones.
struct Toolchain {
    /// `rustc --version` of the compiler.
    compiler: String,
    /// Directory with `bpf-linker`.
    tools: PathBuf,
    /// `rustc --version` of the toolchain whose LLVM the linker takes.
    linker_backend: String,
}

impl Toolchain {
    fn set_up() -> Result<Self> {
        if !Path::new(COMPILER).exists() || !Path::new(CORE).exists() {
            run(Command::new("apt-get")
                .args(["install", "--yes", "--no-install-recommends"])
                .args(COMPILER_PACKAGES))
            .context("cannot install the compiler for the kernel side (Debian's rustc-web)")?;
        }
        let compiler = output(Command::new(COMPILER).arg("--version"))?;
        ensure!(
            compiler.split(' ').nth(1) == Some(COMPILER_VERSION),
            "{COMPILER} is {compiler}, not {COMPILER_VERSION}; if Debian moved on, change xtask/src/ebpf.rs"
        );
        let tools = target().join("bpf-tools");
        let linker = tools.join("bin/bpf-linker");
        let wanted = format!("bpf-linker {LINKER_VERSION}");
        if output(Command::new(&linker).arg("--version")).ok() != Some(wanted) {
            run(cargo()
                .args([
                    "install",
                    "bpf-linker",
                    "--locked",
                    "--force",
                    "--version",
                    LINKER_VERSION,
                    "--root",
                ])
                .arg(&tools))
            .context("cannot install bpf-linker")?;
        }
        Ok(Self {
            compiler,
            tools: tools.join("bin"),
            linker_backend: output(Command::new("rustc").arg("--version").current_dir(root()))?,
        })
    }

    /// Builds the object of one architecture and gives its bytes.
    fn compile(&self, architecture: &str) -> Result<Vec<u8>> {
        let built = self.build(
            "tracer-ebpf",
            architecture,
            &target().join("bpf").join(architecture),
        )?;
        read(&built.join("tracer"))
    }

    /// Builds a crate of programs and gives the directory of what came out.
    fn build(&self, directory: &str, architecture: &str, target_directory: &Path) -> Result<PathBuf> {
        let crate_directory = root().join(directory);
        let home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
            .context("neither CARGO_HOME nor HOME is set")?;
        let flags = [
            format!("--cfg=bpf_target_arch=\"{architecture}\""),
            format!("--remap-path-prefix={}=.", crate_directory.display()),
            format!("--remap-path-prefix={}=/cargo", home.display()),
            "-Clinker=bpf-linker".to_owned(),
        ];
        let mut path = std::ffi::OsString::from(&self.tools);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        run(cargo()
            .current_dir(&crate_directory)
            .args([
                "build",
                "--release",
                "--locked",
                "--quiet",
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(target_directory)
            .env("PATH", path)
            .env("RUSTC", COMPILER)
            // aya-ebpf and the counters use inline assembly for BPF, which stable does not have.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env_remove("RUSTC_WRAPPER"))?;
        Ok(target_directory.join(TARGET).join("release"))
    }

    /// Makes the next build a real one.
    fn forget(architecture: &str) -> Result<()> {
        run(cargo()
            .current_dir(root().join("tracer-ebpf"))
            .args([
                "clean",
                "--quiet",
                "--package",
                "tracer-ebpf",
                "--release",
                "--target",
                TARGET,
                "--target-dir",
            ])
            .arg(target().join("bpf").join(architecture))
            .env("RUSTC", COMPILER))
    }

    fn describe(&self, sources: &str) -> String {
        let Self {
            compiler,
            tools: _,
            linker_backend,
        } = self;
        format!(
            "compiler {compiler} ({})\nlinker bpf-linker {LINKER_VERSION}, LLVM of {linker_backend}\nsources sha256:{sources}\n",
            COMPILER_PACKAGES.join(", ")
        )
    }
}

/// One hash over the names and contents of all sources, in the order of their names.
fn source_hash() -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&root().join(source), &mut files)?;
    }
    files.sort();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root())?.to_string_lossy().into_owned();
        let content = read(&file)?;
        hasher.update(format!("{name}\0{}\0", content.len()));
        hasher.update(content);
    }
    Ok(hex(&hasher.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_path_buf());
    }
    Ok(())
}

fn objects() -> PathBuf {
    root().join("tracer-user/bpf")
}

fn file_name(architecture: &str) -> String {
    format!("tracer.{architecture}.o")
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
