//! Client programs of the end-to-end tests that must be built or fetched first: JavaScript, Go, Python's frameworks, Rust.
//!
//! Each set is made once into a cache outside the clone, in a directory named after everything it is made of, and linked
//! from `target/clients`. The cache is `GEOPHONE_CACHE`, else `~/.cache/geophone`; all of it may be deleted at any time.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::python_packages;
use crate::command::{cargo, root, run, say, target};

/// Builds or fetches what is not in the cache yet, and links all of it.
pub(super) fn clients() -> Result<()> {
    // The JavaScript programs themselves run from where they are.
    Set::new("node", "package*.json", &["node", "--version"])?.make(node)?;
    Set::new("go", ".", &["go", "version"])?.make(go)?;
    Set::new("frameworks", "requirements.txt", &["python3", "--version"])?.make(frameworks)?;
    Set::new("rust", ".", &["rustc", "--version"])?.make(rust)
}

/// Client programs that are made together.
struct Set {
    name: &'static str,
    sources: PathBuf,
    /// Where it is once it is made.
    directory: PathBuf,
}

impl Set {
    /// The set made of these files in `tests/clients/NAME` by a tool that tells its version so.
    fn new(name: &'static str, made_of: &str, version: &[&str]) -> Result<Self> {
        let sources = root().join("tests/clients").join(name);
        let mut digest = Sha256::new();
        digest.update(output(version)?);
        for file in files(&sources, made_of)? {
            let path = sources.join(&file);
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            digest.update(file.as_os_str().as_encoded_bytes());
            digest.update(text.len().to_le_bytes());
            digest.update(text);
        }
        let digest = digest.finalize();
        let (first, _) = digest
            .split_first_chunk()
            .context("a digest has more than 8 bytes")?;
        let directory = cache()?.join(format!("{name}-{:016x}", u64::from_be_bytes(*first)));
        Ok(Self {
            name,
            sources,
            directory,
        })
    }

    /// Makes it unless it is there. Only a whole set gets its name, so that an interrupted one is made again.
    fn make(&self, make: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
        let Self {
            name,
            sources,
            directory,
        } = self;
        if !directory.exists() {
            let partial = directory.with_extension(format!("partial-{}", std::process::id()));
            std::fs::create_dir_all(&partial)
                .with_context(|| format!("cannot create {}", partial.display()))?;
            make(sources, &partial).with_context(|| format!("the {name} clients cannot be made"))?;
            // Somebody else may have been faster; then theirs is as good.
            if let Err(error) = std::fs::rename(&partial, directory)
                && !directory.exists()
            {
                bail!("cannot keep {}: {error}", directory.display());
            }
        }
        let link = target().join("clients").join(name);
        std::fs::create_dir_all(target().join("clients"))?;
        if std::fs::read_link(&link).ok().as_ref() != Some(directory) {
            // There may be none yet.
            std::fs::remove_file(&link).ok();
            symlink(directory, &link).with_context(|| format!("cannot link {}", link.display()))?;
        }
        Ok(())
    }
}

/// The packages of package-lock.json; no script of theirs is run.
fn node(sources: &Path, into: &Path) -> Result<()> {
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(sources.join(file), into.join(file))?;
    }
    run(Command::new("npm")
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ])
        .current_dir(into))
    .context("can npm reach a package registry?")
}

/// An environment with the packages of requirements.txt; the programs themselves run from where they are.
fn frameworks(sources: &Path, into: &Path) -> Result<()> {
    python_packages(into, &sources.join("requirements.txt"))
}

/// One program as it is built by default, and without symbols and debugging information.
fn go(sources: &Path, into: &Path) -> Result<()> {
    for (program, flags) in [("client", ""), ("client-stripped", "-s -w")] {
        run(Command::new("go")
            .args(["build", "-o"])
            .arg(into.join(program))
            .args(["-ldflags", flags, "."])
            // The standard library is all it takes.
            .env("GOPROXY", "off")
            .env("GOFLAGS", "")
            .current_dir(sources))?;
    }
    Ok(())
}

/// A client with hyper and rustls in every way that programs are built, and one with AWS's own SDK.
fn rust(sources: &Path, into: &Path) -> Result<()> {
    say("building the Rust clients: some ten minutes the first time, then they are kept");
    let built = cache()?.join("target");
    let build = |profile: &str, package: &str, features: &str| -> Result<PathBuf> {
        run(cargo()
            .args(["build", "--quiet", "--locked", "--profile", profile])
            .args(["--package", package, "--features", features, "--target-dir"])
            .arg(&built)
            .current_dir(sources))?;
        let directory = if profile == "dev" { "debug" } else { profile };
        Ok(built.join(directory).join(package))
    };
    for provider in ["ring", "aws-lc"] {
        for (profile, name) in [("dev", "debug"), ("release", "release"), ("fat", "fat")] {
            let program = into.join(format!("hyper-{provider}-{name}"));
            std::fs::copy(build(profile, "hyper-client", provider)?, &program)?;
        }
        strip(into, &format!("hyper-{provider}-fat"))?;
    }
    std::fs::copy(build("release", "sdk-client", "")?, into.join("sdk-release"))?;
    strip(into, "sdk-release")
}

/// Puts a copy without any symbols beside a program.
fn strip(directory: &Path, program: &str) -> Result<()> {
    run(Command::new("strip")
        .arg("--strip-all")
        .arg("-o")
        .arg(directory.join(format!("{program}-stripped")))
        .arg(directory.join(program)))
}

fn cache() -> Result<PathBuf> {
    let root = match std::env::var_os("GEOPHONE_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("neither GEOPHONE_CACHE nor HOME is set")?)
            .join(".cache/geophone"),
    };
    Ok(root.join("clients"))
}

/// Files below a directory that match a pattern of git, in order.
fn files(directory: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
            "--",
            pattern,
        ])
        .current_dir(directory)
        .output()
        .context("cannot start git")?;
    let mut files: Vec<PathBuf> = String::from_utf8_lossy(&listing.stdout)
        .split('\0')
        .filter(|name| !name.is_empty())
        .map(PathBuf::from)
        .collect();
    files.sort();
    files.dedup();
    if files.is_empty() {
        bail!("git knows no {pattern} in {}", directory.display());
    }
    Ok(files)
}

fn output(command: &[&str]) -> Result<Vec<u8>> {
    let [program, arguments @ ..] = command else {
        bail!("no command");
    };
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    Ok(output.stdout)
}
