//! The tree that a person reads at a terminal, one block a span as it finishes.

use std::io::{self, Write};

use super::Finished;

/// Writes the tree.
#[derive(Debug)]
pub(super) struct Console {
    colour: bool,
    /// The process whose spans were written last.
    process: Option<u32>,
}

impl Console {
    pub(super) fn new(colour: bool) -> Self {
        Self {
            colour,
            process: None,
        }
    }

    /// Writes one span.
    pub(super) fn write(&mut self, finished: &Finished, output: &mut dyn Write) -> io::Result<()> {
        let Finished {
            resource,
            span,
            weight: _,
        } = finished;
        let (strong, plain) = if self.colour {
            ("\u{1b}[1m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        if self.process.replace(resource.pid) != Some(resource.pid) {
            writeln!(
                output,
                "{strong}{}{plain}  pid {}",
                resource.service_name, resource.pid
            )?;
        }
        let duration = span.end_unix_ns.saturating_sub(span.start_unix_ns) / 1_000_000;
        writeln!(output, "├─ {}  {duration} ms", span.name)
    }
}
