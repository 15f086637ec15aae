//! What geophone costs, measured; `cargo xtask bench` builds and runs it. Every figure stands beside the one it is compared
//! with, taken in the same run, since absolute times on a shared machine mean little.
//!
//! - [`calls`]: one TLS call in the traced process
//! - [`clients`]: one Bedrock call in a boto3 program, against instrumentation inside that program
//! - [`detach`]: hundreds of probes, in place and gone
//! - [`hpack`]: one header block of HTTP/2, against h2
//! - [`replay`]: bytes through the whole pipeline
//! - [`resolve`]: finding TLS in a program
//! - [`streams`]: memory and loss with many streams at once

#![allow(clippy::cast_precision_loss, reason = "figures for people, far below 2^52")]

mod agent;
mod calls;
mod client;
mod clients;
mod detach;
mod hpack;
mod replay;
mod report;
mod resolve;
mod streams;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Measures what geophone costs.
#[derive(Debug, Parser)]
#[command(name = "geophone-bench")]
struct Arguments {
    #[command(flatten)]
    setup: Setup,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measure these only.
    #[arg(long, value_enum)]
    only: Vec<Section>,
}

/// What the measurements need to know.
#[derive(Debug, Clone, clap::Args)]
struct Setup {
    /// The geophone binary, built with optimisation.
    #[arg(long)]
    geophone: PathBuf,
    /// The compiled programs to compare with.
    #[arg(long)]
    programs: PathBuf,
    /// The compiled stand-in for a TLS program.
    #[arg(long)]
    standin: PathBuf,
    /// Python with boto3 and the instrumentation to compare with.
    #[arg(long)]
    python: PathBuf,
    /// Folder for big temporary files.
    #[arg(long)]
    scratch: PathBuf,
    /// Fewer repetitions: for a look, not for a record.
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Calls,
    Clients,
    Detach,
    Hpack,
    Replay,
    Resolve,
    Streams,
}

fn main() -> Result<()> {
    let Arguments { setup, json, only } = Arguments::parse();
    let mut report = Report::default();
    for section in Section::value_variants() {
        if !only.is_empty() && !only.contains(section) {
            continue;
        }
        match section {
            Section::Calls => calls::measure(&setup, &mut report)?,
            Section::Clients => clients::measure(&setup, &mut report)?,
            Section::Detach => detach::measure(&setup, &mut report)?,
            Section::Hpack => hpack::measure(&setup, &mut report)?,
            Section::Replay => replay::measure(&setup, &mut report)?,
            Section::Resolve => resolve::measure(&setup, &mut report)?,
            Section::Streams => streams::measure(&setup, &mut report)?,
        }
    }
    if let Some(path) = json {
        let file =
            std::fs::File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        serde_json::to_writer_pretty(file, &report)?;
    }
    std::io::stdout().lock().write_all(report.table().as_bytes())?;
    Ok(())
}
