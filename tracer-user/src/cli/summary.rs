//! The last line: what was seen, and everything that was dropped by its name.

use std::fmt;

use super::note;
use super::spans::Outcome;
use crate::counters::{Counter, Counters};

/// Says how it went.
pub(super) fn tell(outcome: &Outcome) {
    for problem in &outcome.report.problems {
        note(format_args!("{problem}"));
    }
    note(format_args!(
        "{}",
        Summary {
            spans: outcome.spans,
            counters: &outcome.counters
        }
    ));
}

struct Summary<'a> {
    spans: u64,
    counters: &'a Counters,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spans, counters } = self;
        let connections = counters.get(Counter::Connections);
        let wanted = counters.get(Counter::ConnectionsWanted);
        write!(f, "{spans} {}", noun(*spans, "span", "spans"))?;
        write!(
            f,
            " from {connections} {}",
            noun(connections, "connection", "connections")
        )?;
        write!(f, ", {wanted} of them to Bedrock")?;
        let mut dropped = counters
            .iter()
            .filter(|(counter, count)| is_loss(*counter) && *count > 0);
        if let Some((counter, count)) = dropped.next() {
            write!(f, "; not seen in full: {}={count}", counter.name())?;
        }
        dropped.try_for_each(|(counter, count)| write!(f, " {}={count}", counter.name()))
    }
}

fn noun(count: u64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// Whether a counter counts what a user would miss.
pub(super) fn is_loss(counter: Counter) -> bool {
    match counter {
        Counter::Events
        | Counter::Bytes
        | Counter::Spans
        | Counter::Throttles
        | Counter::AttemptsJoined
        | Counter::Connections
        | Counter::ConnectionsWanted
        | Counter::ConnectionsIgnored
        | Counter::ConnectionsHttp2
        | Counter::DuplicateBytes
        | Counter::CallsLeftAlone => false,
        Counter::HpackDesynchronised
        | Counter::Http2BytesHidden
        | Counter::UnsynchronisedBytes
        | Counter::BodiesUndecodable
        | Counter::ConnectionsEvicted
        | Counter::RetriesEvicted
        | Counter::ToolLoopsEvicted
        | Counter::ExchangesIncomplete
        | Counter::Holes
        | Counter::HoleBytes
        | Counter::LostRingFull
        | Counter::LostReadFault
        | Counter::LostCallCap
        | Counter::LostMapFull
        | Counter::LostUnseen
        | Counter::LostProcessShare
        | Counter::FramesBroken
        | Counter::BodiesUnreadable
        | Counter::BodyBytesBeyondCap
        | Counter::StepsBeyondCap
        | Counter::SpansDroppedQueueFull
        | Counter::SpansDroppedExport
        | Counter::LogsDroppedQueueFull
        | Counter::LogsDroppedExport
        | Counter::MetricExportsFailed
        | Counter::MetricsOverflowed
        | Counter::MetricsForgotten
        | Counter::CaptureBlocksSkipped
        | Counter::HeldEventsDropped
        | Counter::PodsBeyondCap
        | Counter::PodWatchFailures => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_loss_says_no_word_of_it() {
        let mut counters = Counters::default();
        counters.add(Counter::Connections, 3);
        counters.add(Counter::ConnectionsWanted, 2);
        counters.add(Counter::Bytes, 4096);
        let summary = Summary {
            spans: 1,
            counters: &counters,
        };
        assert_eq!(
            summary.to_string(),
            "1 span from 3 connections, 2 of them to Bedrock"
        );
    }

    #[test]
    fn every_loss_is_named() {
        let mut counters = Counters::default();
        counters.add(Counter::LostRingFull, 12);
        counters.add(Counter::SpansDroppedExport, 5);
        let summary = Summary {
            spans: 0,
            counters: &counters,
        };
        assert_eq!(
            summary.to_string(),
            "0 spans from 0 connections, 0 of them to Bedrock; \
             not seen in full: lost_records_ring_full=12 spans_dropped_export=5"
        );
    }
}
