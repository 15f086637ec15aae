//! Base images where no registry can be reached: a minimal Debian made of its packages and, for Rust's, the toolchain that
//! runs us. They get the names that the Dockerfiles ask for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::engine::Engine;
use crate::command::{run, say, target};

/// Where everybody's tools look for the authorities that a host trusts.
const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Makes each image that a Dockerfile begins with, unless it is there.
pub(super) fn bases(engine: &Engine, dockerfile: &Path) -> Result<()> {
    let text = std::fs::read_to_string(dockerfile)
        .with_context(|| format!("cannot read {}", dockerfile.display()))?;
    let bases = text
        .lines()
        .filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next())
        .filter(|base| *base != "scratch");
    for name in bases {
        if engine.inspect(name, ".Id").is_ok() {
            say(&format!("{name} is there"));
        } else {
            make(engine, name).with_context(|| format!("cannot make {name}"))?;
        }
    }
    Ok(())
}

fn make(engine: &Engine, name: &str) -> Result<()> {
    let (_, release) = name.rsplit_once('-').context("no release of Debian in its tag")?;
    // rust:1.95-slim-trixie, debian:trixie-slim
    let (is_rust, release) = match name.split_once(':') {
        Some(("rust", _)) => (true, release),
        Some(("debian", tag)) => (false, tag.trim_end_matches("-slim")),
        _ => bail!("only Debian and Rust can be made of packages"),
    };
    let directory = target().join("image-base");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let packages = if is_rust {
        "ca-certificates,gcc,libc6-dev"
    } else {
        "ca-certificates"
    };
    run(Command::new("mmdebstrap")
        .args(["--variant=minbase", "--quiet"])
        .arg(format!("--include={packages}"))
        .arg(release)
        .arg(&directory))
    .context("is mmdebstrap installed? (Debian: apt-get install mmdebstrap)")?;
    // The packages of the build come by the same network as those of this host.
    std::fs::copy(Path::new("/").join(AUTHORITIES), directory.join(AUTHORITIES)).ok();
    let mut path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
    if is_rust {
        let rust = directory.join("usr/local/rust");
        std::fs::create_dir_all(&rust)?;
        let toolchain = toolchain()?;
        for part in ["bin", "lib"] {
            run(Command::new("cp")
                .arg("--archive")
                .arg(toolchain.join(part))
                .arg(&rust))?;
        }
        path.insert_str(0, "/usr/local/rust/bin:");
    }
    let changes = [
        format!("ENV PATH={path}"),
        "ENV CARGO_HOME=/usr/local/cargo".to_owned(),
    ];
    engine.import(&directory, &changes.each_ref().map(String::as_str), name)?;
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

/// Where the toolchain is that runs us.
fn toolchain() -> Result<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output()?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
