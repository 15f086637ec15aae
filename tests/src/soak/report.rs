//! The figures of a soak, and what they must be.

use super::readings::Reading;
use super::tracer::{Remains, excess};

/// How much more memory the tracer may have at the end than after its first round, in KiB: allocators keep pages in no order.
const MEMORY_SLACK_KIB: u64 = 8 << 10;

/// And for each process that has ended lately, whose metrics are still told to whoever asks: with the text of an answer.
const MEMORY_OF_METRICS_KIB: u64 = 192;

/// Findings that are shown of each round.
const SHOWN: usize = 10;

/// One round.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) seconds: f64,
    /// Processes that lived in it…
    pub(super) processes: usize,
    /// …of them killed in the middle of a call…
    pub(super) killed: usize,
    /// …and gone right after one.
    pub(super) brief: usize,
    /// Responses that were served, each with its span.
    pub(super) streams: usize,
    /// Spans of killed processes, marked incomplete.
    pub(super) cut: usize,
    /// Time of the tracer on a processor.
    pub(super) cpu_seconds: f64,
    /// Time of its programs in the kernel.
    pub(super) kernel_seconds: f64,
    /// What it held when all had ended.
    pub(super) reading: Reading,
    /// What is wrong.
    pub(super) findings: Vec<String>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    pub(super) first: Reading,
    pub(super) rounds: Vec<Round>,
    pub(super) last: Option<Reading>,
    findings: Vec<String>,
    said: String,
}

impl Report {
    pub(super) fn new(first: Reading) -> Self {
        Self {
            first,
            rounds: Vec::new(),
            last: None,
            findings: Vec::new(),
            said: String::new(),
        }
    }

    /// What a round left behind.
    pub(super) fn left_behind(&self, reading: &Reading) -> Vec<String> {
        excess(&self.first, reading)
    }

    /// The tracer has ended.
    pub(super) fn ended(&mut self, remains: Remains) {
        let Remains { said, files } = remains;
        if !files.is_empty() {
            self.findings.push(format!("files are left: {files:?}"));
        }
        for loss in ["lost_", "holes=", "_dropped", "evicted="] {
            if said.contains(loss) {
                self.findings
                    .push(format!("the tracer tells of something that it lost:\n{said}"));
                break;
            }
        }
        if let (Some(one), Some(last)) = (self.rounds.first(), self.rounds.last()) {
            let metered = |round: &Round| round.reading.tables.get("metered_processes").copied();
            let more = metered(last)
                .unwrap_or(0)
                .saturating_sub(metered(one).unwrap_or(0));
            let (one, last) = (one.reading.memory_kib, last.reading.memory_kib);
            if last > one + MEMORY_SLACK_KIB + more * MEMORY_OF_METRICS_KIB {
                self.findings.push(format!(
                    "memory grew from {one} KiB to {last} KiB, with {more} more processes that have metrics"
                ));
            }
        }
        self.said = said;
    }

    /// Everything that is wrong; nothing if all is well.
    pub fn findings(&self) -> Vec<String> {
        let of_rounds = self.rounds.iter().enumerate().flat_map(|(index, round)| {
            let findings = round.findings().into_iter();
            findings.map(move |finding| format!("round {}: {finding}", index + 1))
        });
        of_rounds.chain(self.findings.iter().cloned()).collect()
    }

    /// What the tracer said on standard error.
    pub fn said(&self) -> &str {
        &self.said
    }

    pub(super) fn head() -> String {
        format!(
            "{:>5} {:>8} {:>9} {:>6} {:>6} {:>8} {:>5} {:>6} {:>9} {:>8} {:>6} {:>7} {:>4} {:>8}",
            "round",
            "seconds",
            "processes",
            "brief",
            "killed",
            "streams",
            "cut",
            "CPU %",
            "s/1000",
            "RSS MiB",
            "files",
            "threads",
            "BPF",
            "findings"
        )
    }

    /// The figures in words.
    pub fn summary(&self) -> String {
        let sum = |of: fn(&Round) -> usize| self.rounds.iter().map(of).sum::<usize>();
        let seconds: f64 = self.rounds.iter().map(|round| round.seconds).sum();
        let cpu: f64 = self.rounds.iter().map(|round| round.cpu_seconds).sum();
        let kernel: f64 = self.rounds.iter().map(|round| round.kernel_seconds).sum();
        let memory = |reading: Option<&Reading>| reading.map_or(0.0, |reading| mebibytes(reading.memory_kib));
        let peak = self
            .last
            .as_ref()
            .map_or(0.0, |reading| mebibytes(reading.peak_kib));
        let mut lines = vec![
            format!(
                "{} processes in {seconds:.0} s, {} of them gone after one call, {} killed in the middle of calls",
                sum(|round| round.processes),
                sum(|round| round.brief),
                sum(|round| round.killed)
            ),
            format!(
                "{} streams, each with its span; {} cut by a kill and marked incomplete",
                sum(|round| round.streams),
                sum(|round| round.cut)
            ),
            format!(
                "CPU of the tracer: {:.1} % of one core, {:.2} s for 1000 streams",
                100.0 * cpu / seconds,
                1000.0 * cpu / count(sum(|round| round.streams))
            ),
            format!(
                "CPU of its programs in the kernel: {:.2} s for 1000 streams",
                1000.0 * kernel / count(sum(|round| round.streams))
            ),
            format!(
                "memory of the tracer: {:.1} MiB before the first round, {:.1} after it, {:.1} after the last, {peak:.1} at most",
                memory(Some(&self.first)),
                memory(self.rounds.first().map(|round| &round.reading)),
                memory(self.rounds.last().map(|round| &round.reading)),
            ),
        ];
        if let Some(last) = &self.last {
            lines.push(format!(
                "when everybody was gone: {} probes, {} objects of BPF, {} open files, {} threads",
                last.probes, last.kernel_objects, last.files, last.threads
            ));
            for (name, entries) in &last.tables {
                let before = self.first.tables.get(name).copied().unwrap_or(0);
                lines.push(format!(
                    "  {name:<24} {entries:>6} entries, {before} before the first round"
                ));
            }
        }
        lines.join("\n")
    }
}

impl Round {
    /// The first findings, and how many there are beyond.
    pub(super) fn findings(&self) -> Vec<String> {
        let hidden = self.findings.len().saturating_sub(SHOWN);
        let more = (hidden > 0).then(|| format!("and {hidden} more"));
        self.findings.iter().take(SHOWN).cloned().chain(more).collect()
    }

    pub(super) fn line(&self, report: &Report) -> String {
        let Self {
            seconds,
            processes,
            killed,
            brief,
            streams,
            cut,
            cpu_seconds,
            kernel_seconds: _,
            reading,
            findings,
        } = self;
        format!(
            "{:>5} {seconds:>8.0} {processes:>9} {brief:>6} {killed:>6} {streams:>8} {cut:>5} {:>6.1} {:>9.2} {:>8.1} {:>6} {:>7} {:>4} {:>8}",
            report.rounds.len() + 1,
            100.0 * cpu_seconds / seconds,
            1000.0 * cpu_seconds / count(*streams),
            mebibytes(reading.memory_kib),
            reading.files,
            reading.threads,
            reading.kernel_objects,
            findings.len(),
        )
    }
}

fn mebibytes(kibibytes: u64) -> f64 {
    count(usize::try_from(kibibytes).unwrap_or(usize::MAX)) / 1024.0
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn count(number: usize) -> f64 {
    number as f64
}
