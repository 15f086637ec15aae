//! What was seen and what was dropped, by name: nothing is lost silently.
//!
//! Every stage counts here; the outlets read. Names are stable, since people alert on them.

/// Counts one thing that can happen. A closed list: a new way to drop something needs a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum Counter {
    /// Probe events taken in.
    Events,
    /// Plaintext bytes taken in.
    Bytes,
    /// Spans handed to the outlets.
    Spans,
    /// Attempts of calls that Bedrock refused since too much was asked for.
    Throttles,
    /// Attempts told on the span of a later attempt of the same call.
    AttemptsJoined,
    /// Calls told before all attempts were seen, to make room.
    RetriesEvicted,
    /// Tool loops told before they were over, to make room.
    ToolLoopsEvicted,
    /// Connections seen.
    Connections,
    /// Connections recognised as Bedrock.
    ConnectionsWanted,
    /// Connections recognised as something else.
    ConnectionsIgnored,
    /// Connections that speak HTTP/2.
    ConnectionsHttp2,
    /// Directions of HTTP/2 connections whose header table is not known in full: joined late, cut by a hole, or broken.
    HpackDesynchronised,
    /// Bytes of HTTP/2 connections, blanked whole since it was not known where frames begin.
    Http2BytesHidden,
    /// Connections dropped to make room for others.
    ConnectionsEvicted,
    /// Exchanges ended before they were complete.
    ExchangesIncomplete,
    /// Holes in the byte streams of connections.
    Holes,
    /// Bytes in those holes.
    HoleBytes,
    /// Bytes handed over a second time.
    DuplicateBytes,
    /// Bytes passed over while looking for the next start of an HTTP message.
    UnsynchronisedBytes,
    /// Records the kernel side dropped since the ring buffer was full.
    LostRingFull,
    /// Records the kernel side dropped since the process's memory could not be read.
    LostReadFault,
    /// Records left out beyond the per-call cap.
    LostCallCap,
    /// Calls not followed since a kernel map was full.
    LostMapFull,
    /// TLS records that passed without being seen.
    LostUnseen,
    /// Records the kernel side left out since their process held more than its share of the ring buffer.
    LostProcessShare,
    /// Event-stream frames with a broken prelude, checksum or length.
    FramesBroken,
    /// HTTP bodies whose content coding was broken, unknown, cut by a hole, or expanded beyond the cap.
    BodiesUndecodable,
    /// Bodies of Bedrock calls that were not valid for their operation.
    BodiesUnreadable,
    /// Body bytes beyond a cap, not looked into.
    BodyBytesBeyondCap,
    /// Events of an agent's trace that told of more steps than are kept of one call.
    StepsBeyondCap,
    /// Spans dropped since an outlet's queue was full.
    SpansDroppedQueueFull,
    /// Spans dropped since the backend refused them or could not be reached in time.
    SpansDroppedExport,
    /// Log records dropped since the queue was full.
    LogsDroppedQueueFull,
    /// Log records dropped since the backend refused them or could not be reached in time.
    LogsDroppedExport,
    /// Requests with metrics that the backend did not take.
    MetricExportsFailed,
    /// Calls whose attributes were too many to be metered apart.
    MetricsOverflowed,
    /// Sets of attributes whose metrics were forgotten to make room for another process.
    MetricsForgotten,
    /// Damaged or unknown parts of a capture file that were skipped.
    CaptureBlocksSkipped,
    /// Calls under way of processes that are left alone from then on, as their pods or the operator's rules ask.
    CallsLeftAlone,
    /// Events dropped since it was not known yet, or could not be known, whether their process is to be left alone.
    HeldEventsDropped,
    /// Pods of this node that are not kept by name since there are too many.
    PodsBeyondCap,
    /// Times that the API server did not tell of pods or namespaces: refused, away, or broken off.
    PodWatchFailures,
}

impl Counter {
    /// Every counter in the order of the enum.
    pub const ALL: [Counter; 42] = [
        Counter::Events,
        Counter::Bytes,
        Counter::Spans,
        Counter::Throttles,
        Counter::AttemptsJoined,
        Counter::RetriesEvicted,
        Counter::ToolLoopsEvicted,
        Counter::Connections,
        Counter::ConnectionsWanted,
        Counter::ConnectionsIgnored,
        Counter::ConnectionsHttp2,
        Counter::HpackDesynchronised,
        Counter::Http2BytesHidden,
        Counter::ConnectionsEvicted,
        Counter::ExchangesIncomplete,
        Counter::Holes,
        Counter::HoleBytes,
        Counter::DuplicateBytes,
        Counter::UnsynchronisedBytes,
        Counter::LostRingFull,
        Counter::LostReadFault,
        Counter::LostCallCap,
        Counter::LostMapFull,
        Counter::LostUnseen,
        Counter::LostProcessShare,
        Counter::FramesBroken,
        Counter::BodiesUndecodable,
        Counter::BodiesUnreadable,
        Counter::BodyBytesBeyondCap,
        Counter::StepsBeyondCap,
        Counter::SpansDroppedQueueFull,
        Counter::SpansDroppedExport,
        Counter::LogsDroppedQueueFull,
        Counter::LogsDroppedExport,
        Counter::MetricExportsFailed,
        Counter::MetricsOverflowed,
        Counter::MetricsForgotten,
        Counter::CaptureBlocksSkipped,
        Counter::CallsLeftAlone,
        Counter::HeldEventsDropped,
        Counter::PodsBeyondCap,
        Counter::PodWatchFailures,
    ];

    /// Stable name, in the manner of a Prometheus counter without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Events => "events",
            Counter::Bytes => "bytes",
            Counter::Spans => "spans",
            Counter::Throttles => "throttles",
            Counter::AttemptsJoined => "attempts_joined",
            Counter::RetriesEvicted => "retries_evicted",
            Counter::ToolLoopsEvicted => "tool_loops_evicted",
            Counter::Connections => "connections",
            Counter::ConnectionsWanted => "connections_wanted",
            Counter::ConnectionsIgnored => "connections_ignored",
            Counter::ConnectionsHttp2 => "connections_http2",
            Counter::HpackDesynchronised => "hpack_desynchronised",
            Counter::Http2BytesHidden => "http2_bytes_hidden",
            Counter::ConnectionsEvicted => "connections_evicted",
            Counter::ExchangesIncomplete => "exchanges_incomplete",
            Counter::Holes => "holes",
            Counter::HoleBytes => "hole_bytes",
            Counter::DuplicateBytes => "duplicate_bytes",
            Counter::UnsynchronisedBytes => "unsynchronised_bytes",
            Counter::LostRingFull => "lost_records_ring_full",
            Counter::LostReadFault => "lost_records_read_fault",
            Counter::LostCallCap => "lost_records_call_cap",
            Counter::LostMapFull => "lost_calls_map_full",
            Counter::LostUnseen => "lost_records_unseen",
            Counter::LostProcessShare => "lost_records_process_share",
            Counter::FramesBroken => "frames_broken",
            Counter::BodiesUndecodable => "bodies_undecodable",
            Counter::BodiesUnreadable => "bodies_unreadable",
            Counter::BodyBytesBeyondCap => "body_bytes_beyond_cap",
            Counter::StepsBeyondCap => "steps_beyond_cap",
            Counter::SpansDroppedQueueFull => "spans_dropped_queue_full",
            Counter::SpansDroppedExport => "spans_dropped_export",
            Counter::LogsDroppedQueueFull => "logs_dropped_queue_full",
            Counter::LogsDroppedExport => "logs_dropped_export",
            Counter::MetricExportsFailed => "metric_exports_failed",
            Counter::MetricsOverflowed => "metrics_overflowed",
            Counter::MetricsForgotten => "metrics_forgotten",
            Counter::CaptureBlocksSkipped => "capture_blocks_skipped",
            Counter::CallsLeftAlone => "calls_left_alone",
            Counter::HeldEventsDropped => "held_events_dropped",
            Counter::PodsBeyondCap => "pods_beyond_cap",
            Counter::PodWatchFailures => "pod_watch_failures",
        }
    }

    /// What it counts, a sentence for who meets it among the metrics. Those that are one metric there say the same.
    pub fn meaning(self) -> &'static str {
        match self {
            Counter::Events => "Probe events taken in.",
            Counter::Bytes => "Plaintext bytes taken in.",
            Counter::Spans => "Spans handed to the outlets.",
            Counter::Throttles => "Attempts of calls that Bedrock refused since too much was asked for.",
            Counter::AttemptsJoined => "Attempts told on the span of a later attempt of the same call.",
            Counter::RetriesEvicted => "Calls told before all attempts were seen, to make room.",
            Counter::ToolLoopsEvicted => "Tool loops told before they were over, to make room.",
            Counter::Connections => "Connections with TLS that were seen.",
            Counter::ConnectionsWanted | Counter::ConnectionsIgnored => {
                "Connections of which it is known whether they lead to Bedrock."
            }
            Counter::ConnectionsHttp2 => "Connections that speak HTTP/2.",
            Counter::HpackDesynchronised => {
                "Directions of HTTP/2 connections whose header table is not known in full."
            }
            Counter::Http2BytesHidden => {
                "Bytes of HTTP/2 connections blanked whole since it was not known where frames begin."
            }
            Counter::ConnectionsEvicted => "Connections dropped to make room for others.",
            Counter::ExchangesIncomplete => "Exchanges ended before they were complete.",
            Counter::Holes => "Holes in the byte streams of connections.",
            Counter::HoleBytes => "Bytes in the holes of byte streams.",
            Counter::DuplicateBytes => "Bytes handed over a second time.",
            Counter::UnsynchronisedBytes => {
                "Bytes passed over while looking for the next start of an HTTP message."
            }
            Counter::LostRingFull
            | Counter::LostReadFault
            | Counter::LostCallCap
            | Counter::LostMapFull
            | Counter::LostUnseen
            | Counter::LostProcessShare => "Records that the kernel side could not hand over.",
            Counter::FramesBroken => "Event-stream frames with a broken prelude, checksum or length.",
            Counter::BodiesUndecodable => "HTTP bodies whose content coding could not be undone.",
            Counter::BodiesUnreadable => "Bodies of Bedrock calls that were not valid for their operation.",
            Counter::BodyBytesBeyondCap => "Body bytes beyond a cap, not looked into.",
            Counter::StepsBeyondCap => "Steps of agents beyond those that are kept of one call.",
            Counter::SpansDroppedQueueFull | Counter::SpansDroppedExport => {
                "Spans that reached no outlet: the queue was full, or the outlet did not take them."
            }
            Counter::LogsDroppedQueueFull | Counter::LogsDroppedExport => {
                "Log records that did not reach the backend: the queue was full, or it did not take them."
            }
            Counter::MetricExportsFailed => "Requests with metrics that the backend did not take.",
            Counter::MetricsOverflowed => "Calls whose attributes were too many to be metered apart.",
            Counter::MetricsForgotten => {
                "Sets of attributes whose metrics were forgotten to make room for another process."
            }
            Counter::CaptureBlocksSkipped => "Damaged or unknown parts of a capture file that were skipped.",
            Counter::CallsLeftAlone => "Calls of pods that are not to be traced.",
            Counter::PodsBeyondCap => "Pods of this node that are not kept by name since there are too many.",
            Counter::HeldEventsDropped => {
                "Events dropped since it was not known yet, or could not be known, whether their process is to be left alone."
            }
            Counter::PodWatchFailures => {
                "Times that the API server did not tell of pods: refused, away, or broken off."
            }
        }
    }
}

/// One number for every [`Counter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Counter::ALL.len()])
    }
}

impl Counters {
    /// Adds to one counter.
    pub fn add(&mut self, counter: Counter, count: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value = value.saturating_add(count);
        }
    }

    /// Reads one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or(0)
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: &Counters) {
        for counter in Counter::ALL {
            self.add(counter, other.get(counter));
        }
    }

    /// Every counter with its value, in a stable order.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL
            .into_iter()
            .map(|counter| (counter, self.get(counter)))
    }
}
