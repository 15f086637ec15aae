//! The thread that writes spans for people and for files.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::console::Console;
use super::logs::Details;
use super::metrics::{Collected, table};
use super::queue::{Batching, Limits, Queue, count};
use super::{Colour, Finished, Format, OpenError, Output, Report, WhenFull, otlp_json, spans};
use crate::counters::Counter;
use crate::rights::{self, Rights};

/// What waits for a slow terminal, pipe or disk.
const QUEUE: Limits = Limits {
    spans: 16_384,
    bytes: 64 << 20,
};

/// What is written before the output is flushed: whatever is there, at once.
const BATCHING: Batching = Batching {
    limits: Limits {
        spans: 256,
        bytes: 1 << 20,
    },
    linger: Duration::ZERO,
};

/// Hands spans to the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    ended: Receiver<io::Result<()>>,
    /// What is written to, for people.
    name: String,
}

#[derive(Debug)]
struct Shared {
    queue: Queue,
    accepted: AtomicU64,
    written: AtomicU64,
    open: AtomicBool,
    /// Metrics to be written behind the last span.
    metrics: Mutex<Option<Arc<Collected>>>,
}

impl Shared {
    /// Spans that were handed in, and neither written nor dropped for want of room.
    fn lost(&self) -> u64 {
        let gone = self.written.load(Ordering::Relaxed) + self.queue.dropped();
        self.accepted.load(Ordering::Relaxed).saturating_sub(gone)
    }
}

impl Writer {
    /// Opens the output and starts the thread; `None` when nothing is to be written. `details`: where they are told in OTLP
    /// JSON; people have them with the span.
    pub(super) fn open(
        format: Format,
        output: Output,
        colour: Colour,
        details: Details,
        when_full: WhenFull,
    ) -> Result<Option<Self>, OpenError> {
        let pretty = match format {
            Format::None => return Ok(None),
            Format::Pretty => true,
            Format::OtlpJson => false,
        };
        let is_terminal = output.is_terminal();
        let (output, name): (Box<dyn Write + Send>, _) = match output {
            Output::File(path) => {
                let name = path.display().to_string();
                let file = create(&path).map_err(|source| OpenError::Output { path, source })?;
                (Box::new(file), name)
            }
            Output::Stdout => (Box::new(io::stdout()), "the standard output".to_owned()),
            Output::Stderr => (Box::new(io::stderr()), "the standard error output".to_owned()),
        };
        let form = if pretty {
            let colour = colour.decide(is_terminal, |name| std::env::var(name).ok());
            Form::Pretty(Console::new(colour))
        } else {
            Form::OtlpJson(details)
        };
        Self::start(form, output, name, when_full).map(Some)
    }

    fn start(
        form: Form,
        output: Box<dyn Write + Send>,
        name: String,
        when_full: WhenFull,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            queue: Queue::new(QUEUE, when_full),
            accepted: AtomicU64::new(0),
            written: AtomicU64::new(0),
            open: AtomicBool::new(true),
            metrics: Mutex::default(),
        });
        let (sender, ended) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(OpenError::Thread)?;
        let (worker, place) = (Arc::clone(&shared), name.clone());
        rights::spawn("spans-writer", Rights::NONE, move || {
            let result = runtime.block_on(write_all(&worker, form, BufWriter::new(output)));
            if let Err(error) = &result
                && error.kind() != io::ErrorKind::BrokenPipe
            {
                tracing::error!(
                    "spans are no longer written to {place}: {error}; make room, or choose another place with --output, \
                     and start geophone anew"
                );
            }
            worker.open.store(false, Ordering::Release);
            // Spans that come from now on are lost.
            worker.queue.close();
            // Nobody waits any more when the time for shutting down was over.
            sender.send(result).ok();
        })
        .map_err(OpenError::Thread)?;
        Ok(Self { shared, ended, name })
    }

    pub(super) fn span(&self, finished: Finished) {
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        self.shared.queue.push(finished);
    }

    /// Has metrics written behind the last span.
    pub(super) fn last_metrics(&self, collected: Arc<Collected>) {
        *self.shared.metrics.lock().unwrap_or_else(PoisonError::into_inner) = Some(collected);
    }

    /// How many spans wait.
    pub(super) fn waiting(&self) -> u64 {
        self.shared.queue.waiting()
    }

    /// Whether what is written still goes anywhere.
    pub(super) fn is_open(&self) -> bool {
        self.shared.open.load(Ordering::Acquire)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.shared.queue.dropped()
    }

    /// How many spans came after nothing could be written any more, or were under way then.
    pub(super) fn lost(&self) -> u64 {
        if self.is_open() { 0 } else { self.shared.lost() }
    }

    /// Writes what is left, until the deadline.
    pub(super) fn shutdown(self, deadline: Instant, report: &mut Report) {
        self.shared.queue.close();
        let patience = deadline.saturating_duration_since(Instant::now());
        let result = self.ended.recv_timeout(patience);
        let Self { shared, name, .. } = self;
        let lost = shared.lost();
        let dropped = shared.queue.dropped();
        report.written += shared.written.load(Ordering::Relaxed);
        report.counters.add(Counter::SpansDroppedQueueFull, dropped);
        report.counters.add(Counter::SpansDroppedExport, lost);
        match result {
            Ok(Ok(())) => {}
            // The reader took what it wanted and left (`| head`): that is how pipes end.
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Ok(Err(error)) => {
                report.broken = true;
                report.problems.push(format!(
                    "{} not written to {name}: {error}; make room, or write to another place with --output",
                    spans(lost)
                ));
            }
            Err(_) => report.problems.push(format!(
                "{} not written in time: {name} took no more; is a terminal paused, or a reader stuck?",
                spans(lost)
            )),
        }
        if dropped > 0 {
            report.problems.push(format!(
                "{} dropped since {name} did not take them as fast as they came; write to a file with --output",
                spans(dropped)
            ));
        }
    }
}

/// How a span is put into bytes.
#[derive(Debug)]
enum Form {
    Pretty(Console),
    OtlpJson(Details),
}

impl Form {
    fn write(&mut self, finished: &Finished, output: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Pretty(console) => console.write(finished, output),
            Self::OtlpJson(details) => otlp_json::write(finished, *details, output),
        }
    }

    fn write_metrics(&self, collected: &Collected, output: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Pretty(_) => table(collected, output),
            Self::OtlpJson(_) => otlp_json::write_metrics(collected, output),
        }
    }
}

/// A file that only its owner may read: there may be content in it. One that is there already keeps its rights.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

async fn write_all(
    shared: &Shared,
    mut form: Form,
    mut output: BufWriter<Box<dyn Write + Send>>,
) -> io::Result<()> {
    while let Some(batch) = shared.queue.batch(BATCHING).await {
        for finished in &batch {
            form.write(finished, &mut output)?;
        }
        output.flush()?;
        shared.written.fetch_add(count(batch.len()), Ordering::Relaxed);
        shared.queue.done(&batch);
    }
    let metrics = shared
        .metrics
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(collected) = metrics {
        form.write_metrics(&collected, &mut output)?;
        output.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::{Duration, Instant};

    use super::{Form, Writer};
    use crate::counters::Counter;
    use crate::enrich::Resource;
    use crate::export::logs::Details;
    use crate::export::tests::{PATIENCE, process, span};
    use crate::export::{Colour, Finished, Format, Output, Report, WhenFull};

    fn finished(number: u8) -> Finished {
        let process = process(1, "worker");
        Finished::new(Arc::new(Resource::of(&process, None)), span(&process, number))
    }

    fn end(writer: Writer, patience: Duration) -> Report {
        let mut report = Report::default();
        writer.shutdown(Instant::now() + patience, &mut report);
        report
    }

    /// An output whose every write waits until it is let go, and says that it waits.
    struct Paused {
        waits: Sender<()>,
        go: Receiver<()>,
    }

    impl Write for Paused {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.waits.send(()).map_err(io::Error::other)?;
            self.go.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_paused_terminal_does_not_hold_up_tracing_and_costs_what_it_did_not_take() {
        let (waits, is_paused) = channel();
        let (_keep, go) = channel();
        let output = Box::new(Paused { waits, go });
        let writer = Writer::start(
            Form::OtlpJson(Details::OnSpan),
            output,
            "a terminal".to_owned(),
            WhenFull::DropOldest,
        );
        let writer = writer.expect("a thread");
        writer.span(finished(1));
        is_paused.recv_timeout(PATIENCE).expect("it writes");
        let started = Instant::now();
        for number in 2..=10 {
            writer.span(finished(number));
        }
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
        let report = end(writer, Duration::from_millis(50));
        assert_eq!(
            (report.written, report.counters.get(Counter::SpansDroppedExport)),
            (0, 10)
        );
        assert!(
            report.problems[0].contains("10 spans were not written in time: a terminal"),
            "{report:?}"
        );
    }

    /// The reader of a pipe that went away.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_the_end_but_no_problem() {
        let writer = Writer::start(
            Form::OtlpJson(Details::OnSpan),
            Box::new(Gone),
            "a pipe".to_owned(),
            WhenFull::Wait,
        );
        let writer = writer.expect("a thread");
        writer.span(finished(1));
        let deadline = Instant::now() + PATIENCE;
        while writer.is_open() {
            assert!(Instant::now() < deadline, "it notices");
            std::thread::yield_now();
        }
        writer.span(finished(2));
        assert_eq!(writer.lost(), 2, "told before the end");
        let report = end(writer, PATIENCE);
        assert_eq!((report.written, report.problems.len()), (0, 0), "{report:?}");
        assert_eq!(report.counters.get(Counter::SpansDroppedExport), 2);
    }

    #[test]
    fn a_full_disk_is_told() {
        let full = Output::File("/dev/full".into());
        let writer = Writer::open(
            Format::OtlpJson,
            full,
            Colour::Never,
            Details::OnSpan,
            WhenFull::Wait,
        );
        let writer = writer.expect("it opens");
        let writer = writer.expect("something is written");
        writer.span(finished(1));
        let report = end(writer, PATIENCE);
        assert_eq!(report.counters.get(Counter::SpansDroppedExport), 1);
        assert!(
            report.problems[0].contains("1 span was not written to /dev/full: No space left"),
            "{report:?}"
        );
    }
}
