//! A geophone that traces what is measured.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use tracer_tests::program::{Program, Signal};

/// `geophone attach`, its spans thrown away.
#[derive(Debug)]
pub(crate) struct Agent {
    program: Program,
}

/// What its last line says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Spans it gave.
    pub(crate) spans: u64,
    /// Records that the kernel side dropped and spans that the outlets dropped.
    pub(crate) lost: u64,
}

impl Agent {
    /// Attaches and waits until the probes are in place.
    pub(crate) fn attach(geophone: &Path, pids: &[u32]) -> Result<Self> {
        let mut command = Command::new(geophone);
        command.args(["attach", "--format", "otlp-json", "--output", "/dev/null"]);
        for pid in pids {
            command.args(["--pid", &pid.to_string()]);
        }
        let program = Program::start("geophone", &mut command)?;
        program.wait_for_stderr("tracing")?;
        Ok(Self { program })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Stops it and reads its summary.
    pub(crate) fn stop(mut self) -> Result<Outcome> {
        self.program.signal(Signal::TERM)?;
        let summary = self.program.wait_for_stderr("connection")?;
        self.program.succeed()?;
        Ok(Outcome::read(&summary))
    }
}

impl Outcome {
    fn read(line: &str) -> Self {
        let words = || line.split([' ', ',', ';']);
        let spans = words().find_map(|word| word.parse().ok()).unwrap_or(0);
        let lost = words()
            .filter_map(|word| word.split_once('='))
            .filter(|(name, _)| name.starts_with("lost_") || name.starts_with("spans_dropped_"))
            .filter_map(|(_, count)| count.parse::<u64>().ok())
            .sum();
        Self { spans, lost }
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn the_summary_tells_spans_and_losses() {
        let line = "geophone: 12 spans from 3 connections, 2 of them to Bedrock; not seen in full: \
                    lost_records_ring_full=4 exchanges_incomplete=1 spans_dropped_export=2";
        let Outcome { spans, lost } = Outcome::read(line);
        assert_eq!((spans, lost), (12, 6));
    }
}
