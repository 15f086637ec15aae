//! The log while the screen is drawn: held back, shown on the screen, and written once the terminal is itself again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::top::WARNINGS_MAX;

/// Lines of the log that nobody has written yet.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct HeldLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    lines: VecDeque<String>,
    /// How many there were in all.
    total: usize,
}

impl HeldLog {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines that came since `seen`, which is brought up to date.
    pub(super) fn since(&self, seen: &mut usize) -> Vec<String> {
        let lines = self.lines();
        let news = lines.total.saturating_sub(*seen);
        *seen = lines.total;
        let skipped = lines.lines.len().saturating_sub(news);
        lines.lines.iter().skip(skipped).cloned().collect()
    }

    /// All lines, to be written.
    pub(super) fn take(&self) -> VecDeque<String> {
        std::mem::take(&mut self.lines().lines)
    }
}

impl Write for HeldLog {
    /// A line at a time, as the log writes them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end();
        if !text.is_empty() {
            let mut lines = self.lines();
            if lines.lines.len() >= WARNINGS_MAX {
                lines.lines.pop_front();
            }
            lines.lines.push_back(text.to_owned());
            lines.total += 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for HeldLog {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the log does: a line in one piece.
    fn write_all(log: &HeldLog, line: &str) {
        log.make_writer().write_all(line.as_bytes()).expect("memory");
    }

    #[test]
    fn each_line_is_told_once_and_the_oldest_make_room() {
        let log = HeldLog::default();
        let mut seen = 0;
        write_all(&log, "WARN a\n");
        assert_eq!(log.since(&mut seen), ["WARN a"]);
        assert!(log.since(&mut seen).is_empty());
        for number in 0..WARNINGS_MAX {
            write_all(&log, &format!("WARN {number}\n"));
        }
        assert_eq!(log.since(&mut seen).len(), WARNINGS_MAX);
        let lines = log.take();
        assert_eq!(lines.len(), WARNINGS_MAX);
        assert_eq!(lines.front().map(String::as_str), Some("WARN 0"));
    }
}
