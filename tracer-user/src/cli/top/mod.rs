//! `geophone top`: the terminal, the clock and the source of events around [`crate::top`].

mod feed;
mod held;
mod keys;
pub(super) mod screen;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::Event;

use super::arguments::Top;
use super::failure::Failure;
use super::live::hint;
use super::signals::{HangUp, Meant, Signals};
use super::spans::Outcome;
use super::{note, prices, settings, summary};
use crate::counters::{Counter, Counters};
use crate::event::{ConnectionKey, ProbeEvent, Verdict};
use crate::export::Report;
use crate::genai::span::Span;
use crate::pipeline::{Pipeline, Settings, Sink};
use crate::probe::Verdicts;
use crate::top::{Flow, Model};
use feed::{Feed, State};
pub(super) use held::HeldLog;
use keys::Keys;
use screen::Screen;

/// Shows what is under way until the user leaves.
pub(super) fn watch(options: &Top, told: &settings::Settings, log: &HeldLog) -> Result<ExitCode, Failure> {
    let keys = screen::check()?;
    let settings = Settings {
        session_headers: told.sessions.headers.get().cloned().unwrap_or_default(),
        prices: Some(prices::load(told.prices.file.get().map(|file| file.0.as_path()))?),
        ..Settings::default()
    };
    let signals = Signals::listen(Meant::Us, HangUp::Ends).map_err(|error| {
        let remedy = "check the limits on threads and open files (ulimit -a)";
        Failure::new("cannot listen for signals", error, remedy)
    })?;
    if options.file.is_none() {
        hint("putting probes in place…");
    }
    let feed = Feed::open(options, told)?;
    let mut watch = Watch {
        pipeline: Pipeline::new(settings),
        sink: ModelSink {
            model: Model::new(feed.source()),
            verdicts: feed.verdicts(),
            spans: 0,
        },
        feed,
        keys,
        is_over: false,
    };
    let shown = Screen::open().and_then(|mut screen| watch.run(&mut screen, &signals, log));
    signals.draining(None);
    // Whatever happened, the terminal is itself again.
    for line in log.take() {
        note(format_args!("{line}"));
    }
    let outcome = watch.finish();
    shown?;
    summary::tell(&outcome);
    Ok(ExitCode::SUCCESS)
}

struct Watch {
    feed: Feed,
    pipeline: Pipeline,
    sink: ModelSink,
    keys: Keys,
    /// Nothing more comes.
    is_over: bool,
}

struct ModelSink {
    model: Model,
    verdicts: Option<Verdicts>,
    spans: u64,
}

impl Sink for ModelSink {
    fn span(&mut self, span: Span) {
        self.spans += 1;
        self.model.span(span);
    }

    fn verdict(&mut self, connection: ConnectionKey, verdict: Verdict) {
        if let Some(verdicts) = &self.verdicts
            && let Err(error) = verdicts.set(connection, verdict)
        {
            // The kernel side then goes on with what it hands over to undecided connections.
            tracing::warn!(%error, ?connection, ?verdict, "the kernel side was not told what a connection is");
        }
    }
}

impl Watch {
    fn run(&mut self, screen: &mut Screen, signals: &Signals, log: &HeldLog) -> Result<(), Failure> {
        let mut warnings = 0;
        // Something has changed since the screen was drawn, and when it may be drawn anew.
        let mut is_stale = true;
        let mut due = Instant::now();
        loop {
            if !self.is_over {
                self.take_events()?;
                is_stale = true;
            }
            let wait = if self.is_over { SLICE } else { Duration::ZERO };
            match self.take_keys(wait)? {
                Some(Flow::Leave) => return Ok(()),
                Some(Flow::Stop) => {
                    screen.stop()?;
                    is_stale = true;
                    due = Instant::now();
                }
                Some(Flow::Stay) => {
                    is_stale = true;
                    due = Instant::now();
                }
                None => {}
            }
            if signals.asked_to_end() {
                return Ok(());
            }
            if signals.went_on() {
                screen.take_again()?;
                is_stale = true;
                due = Instant::now();
            }
            for line in log.since(&mut warnings) {
                self.sink.model.warn(line);
                is_stale = true;
            }
            let now = Instant::now();
            if is_stale && now >= due {
                self.look();
                screen.draw(&mut self.sink.model)?;
                is_stale = false;
                // Events go before pictures.
                due = now + FRAME.max(now.elapsed() * DRAWING_PART);
            }
        }
    }

    fn take_events(&mut self) -> Result<(), Failure> {
        let Self {
            feed,
            pipeline,
            sink,
            is_over,
            keys: _,
        } = self;
        let state = feed.poll(SLICE, &mut |event| {
            if let ProbeEvent::Host(host) = event {
                sink.model.host(host);
            }
            pipeline.push(event, sink);
        })?;
        match state {
            State::Goes { percent } => sink.model.read_to(percent, false),
            State::Over { warning } => {
                *is_over = true;
                pipeline.finish(sink);
                sink.model.read_to(None, true);
                if let Some(warning) = warning {
                    sink.model.warn(warning);
                }
            }
        }
        Ok(())
    }

    /// What the keys that were pressed ask for; `None` if there were none.
    fn take_keys(&mut self, wait: Duration) -> Result<Option<Flow>, Failure> {
        let mut flow = None;
        let mut wait = wait;
        while let Some(event) = self.keys.next(wait).map_err(|error| screen::lost(&error))? {
            wait = Duration::ZERO;
            let asked = match event {
                Event::Key(key) => self.sink.model.key(key),
                _ => Flow::Stay,
            };
            flow = Some(asked);
            if asked != Flow::Stay {
                break;
            }
        }
        Ok(flow)
    }

    /// Tells the model what is under way now and what was lost so far.
    fn look(&mut self) {
        let Self {
            feed, pipeline, sink, ..
        } = self;
        sink.model.look(feed.now(), pipeline.under_way());
        let mut counters = pipeline.counters().clone();
        counters.merge(&feed.counters());
        let lost = counters.iter().filter(|(counter, _)| summary::is_loss(*counter));
        sink.model
            .losses(lost.map(|(counter, count)| (counter.name(), count)));
    }

    fn finish(self) -> Outcome {
        let Self {
            feed,
            mut pipeline,
            mut sink,
            is_over,
            keys: _,
        } = self;
        if !is_over {
            pipeline.finish(&mut sink);
        }
        let mut counters: Counters = pipeline.counters().clone();
        counters.merge(&feed.counters());
        feed.close();
        Outcome {
            spans: sink.spans.max(counters.get(Counter::Spans)),
            counters,
            report: Report::default(),
        }
    }
}

/// Keys are looked at after this time at the latest.
const SLICE: Duration = Duration::from_millis(50);

/// The screen is drawn anew after this time at the soonest, and at once when a key was pressed.
const FRAME: Duration = Duration::from_millis(100);

/// At most this part of the time goes into drawing: one in so many.
const DRAWING_PART: u32 = 8;
