//! What builds and runs containers: docker or podman, whose command lines are the same as far as they go here.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, copy};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::command::run;

/// An engine that is installed and answers.
pub(crate) struct Engine(&'static str);

/// How large an image is.
pub(crate) struct Size {
    /// On a node.
    pub(crate) bytes: u64,
    /// On its way there: layers are compressed by gzip.
    pub(crate) compressed: u64,
}

impl Engine {
    /// The first that works.
    pub(crate) fn find() -> Result<Self> {
        let mut refusals = Vec::new();
        for name in ["docker", "podman"] {
            match Command::new(name).arg("info").output() {
                Ok(output) if output.status.success() => return Ok(Self(name)),
                Ok(output) => refusals.push(format!(
                    "{name}: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                )),
                Err(error) => refusals.push(format!("{name}: {error}")),
            }
        }
        bail!(
            "nothing here builds images. Install docker or podman (Debian: apt-get install podman)\n  {}",
            refusals.join("\n  ")
        )
    }

    /// A command of it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.0);
        command.args(words);
        command
    }

    /// Builds a Dockerfile over a context.
    pub(crate) fn build(&self, file: &Path, context: &Path, tag: &str) -> Result<()> {
        run(self
            .command(&["build", "--tag", tag, "--file"])
            .arg(file)
            .arg(context))
        .context(
            "where no registry can be reached, `cargo xtask image --bootstrap` makes the base images itself",
        )
    }

    /// Makes an image of a directory.
    pub(crate) fn import(&self, directory: &Path, changes: &[&str], name: &str) -> Result<()> {
        let mut pack = Command::new("tar")
            .arg("--directory")
            .arg(directory)
            .args(["--create", "--file=-", "."])
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start tar")?;
        let packed = pack.stdout.take().context("tar has no output")?;
        let mut import = self.command(&["import"]);
        for change in changes {
            import.args(["--change", change]);
        }
        run(import.args(["-", name]).stdin(packed))?;
        let status = pack.wait()?;
        if !status.success() {
            bail!("tar ended with {status}");
        }
        Ok(())
    }

    /// One field of what it knows about a container or image, by a template of Go.
    pub(crate) fn inspect(&self, name: impl AsRef<OsStr>, field: &str) -> Result<String> {
        let output = self
            .command(&["inspect", "--format", &format!("{{{{{field}}}}}")])
            .arg(name)
            .output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Weighs an image, with the help of a file that is gone afterwards.
    pub(crate) fn size(&self, image: &str, file: &Path) -> Result<Size> {
        let bytes = self.inspect(image, ".Size")?;
        let bytes = bytes.parse().with_context(|| format!("not a size: {bytes}"))?;
        run(self.command(&["save", "--output"]).arg(file).arg(image))?;
        let mut encoder = GzEncoder::new(Counter(0), Compression::default());
        let mut saved = BufReader::new(File::open(file)?);
        copy(&mut saved, &mut encoder).context("cannot read the saved image")?;
        std::fs::remove_file(file)?;
        Ok(Size {
            bytes,
            compressed: encoder.finish()?.0,
        })
    }
}

/// Counts what is written.
struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
