//! `geophone replay`: the spans of a recording.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::arguments::Replay;
use super::failure::{FAILED, Failure};
use super::metrics::{self, When};
use super::settings::Settings;
use super::spans::{Stages, Standard};
use super::{keep_only, note, summary};
use crate::capture::{DamageReport, Item, OpenError, Reader};
use crate::counters::Counter;
use crate::export::Output;
use crate::rights::Rights;

/// Replays a file, or standard input when it is called `-`.
pub(super) fn replay(options: &Replay, settings: &Settings) -> Result<ExitCode, Failure> {
    metrics::refuse_serving(&options.spans.metrics)?;
    let path = options.file.as_path();
    if path == Path::new("-") {
        return replay_from(
            io::stdin().lock(),
            "standard input",
            &ProgressBar::hidden(),
            settings,
        );
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| cannot_replay(&name, &OpenError::Io(error)))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let progress = progress(length, settings);
    replay_from(file, &name, &progress, settings)
}

fn replay_from(
    source: impl Read,
    name: &str,
    progress: &ProgressBar,
    settings: &Settings,
) -> Result<ExitCode, Failure> {
    let mut reader = Reader::open(source).map_err(|error| cannot_replay(name, &error))?;
    let standard = Standard {
        output: Output::Stdout,
        unasked: true,
    };
    let mut stages = Stages::open(settings, standard, When::Replay)?;
    keep_only(Rights::NONE);
    let mut damage = DamageReport::default();
    let mut shown = 0;
    let ended = loop {
        match reader.read() {
            Ok(Some(Item::Event(event))) => stages.push(&event),
            Ok(Some(Item::Damaged(part))) => {
                tracing::info!(offset = part.offset, bytes = part.bytes, reason = ?part.reason, "skipped");
                damage.add(part);
            }
            Ok(Some(Item::Description)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        if reader.position() - shown >= PROGRESS_STEP {
            shown = reader.position();
            progress.set_position(shown);
            if !stages.is_open() {
                break Ok(());
            }
        }
    };
    progress.finish_and_clear();

    let mut outcome = stages.finish(None);
    outcome
        .counters
        .add(Counter::CaptureBlocksSkipped, damage.parts());
    if !damage.is_empty() {
        note(format_args!("left out of {name}: {damage}"));
    }
    summary::tell(&outcome);
    match ended {
        Ok(()) if outcome.report.broken => Ok(ExitCode::from(FAILED)),
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let what = format!(
                "{name} could not be read to its end; the spans before byte {} are complete",
                reader.position()
            );
            Err(Failure::new(
                what,
                error,
                "check the disk or the connection the file is on",
            ))
        }
    }
}

pub(super) fn cannot_replay(name: &str, error: &OpenError) -> Failure {
    Failure::new(format!("cannot replay {name}"), error, error.remedy())
}

/// A bar for files that take a while, unless spans are written to the same terminal: then they show how far it is.
fn progress(length: u64, settings: &Settings) -> ProgressBar {
    let spans_on_terminal = settings.spans.output.get().is_none() && io::stdout().is_terminal();
    if length < PROGRESS_FROM || spans_on_terminal {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let template = "replaying {wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Files that are replayed in the wink of an eye need no bar.
const PROGRESS_FROM: u64 = 64 << 20;
const PROGRESS_STEP: u64 = 1 << 20;
