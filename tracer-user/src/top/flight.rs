//! Calls in flight, and how fast their answers come.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::seen::{UNKNOWN, name};
use crate::bedrock::UnderWay;
use crate::enrich::{Resource, Resources};
use crate::event::{ConnectionKey, Monotonic, Process, ProcessKey};
use crate::http::{ExchangeNumber, Phase};

/// Most calls in flight that are shown one by one. All are counted.
pub const FLIGHTS_MAX: usize = 1_024;

/// A rate is taken anew after this time.
const RATE_WINDOW_NS: u64 = 1_000_000_000;

/// Identity of a call in flight.
pub(super) type FlightKey = (ConnectionKey, ExchangeNumber);

/// A call in flight.
#[derive(Debug, Clone)]
pub struct Flight {
    /// Identity.
    pub key: FlightKey,
    /// Model, else agent or knowledge base.
    pub model: Arc<str>,
    /// Name of the service.
    pub service: Arc<str>,
    /// Process.
    pub process: ProcessKey,
    /// What is known of the process.
    pub(super) resource: Arc<Resource>,
    /// Session, as far as it is known before the answer.
    pub session: Option<Arc<str>>,
    /// AWS's name of the operation.
    pub operation: &'static str,
    /// AWS region.
    pub region: Option<Arc<str>>,
    /// Whether the answer comes as a stream.
    pub streaming: bool,
    /// How far it has come.
    pub phase: Phase,
    /// When the request began.
    pub begun: Monotonic,
    /// When the first piece of the answer came.
    pub first_chunk: Option<Monotonic>,
    /// Pieces of a streamed answer so far.
    pub chunks: u64,
    /// Pieces a second, of late.
    pub rate: f64,
    /// Where the current rate began to be counted.
    mark: Option<(Monotonic, u64)>,
}

impl Flight {
    fn new(key: FlightKey, call: &UnderWay<'_>, process: &Arc<Process>, own: &Arc<Resource>) -> Self {
        let resource = &call.route.resource;
        let target = resource.model.as_deref().or(resource.agent.as_deref());
        let target = target.or(resource.knowledge_base.as_deref());
        Self {
            key,
            model: name(target.unwrap_or(UNKNOWN)),
            service: name(&own.service_name),
            process: process.key,
            resource: Arc::clone(own),
            session: None,
            operation: call.route.operation.name(),
            region: call.route.region.as_deref().map(name),
            streaming: false,
            phase: Phase::Request,
            begun: call.begun,
            first_chunk: None,
            chunks: 0,
            rate: 0.0,
            mark: None,
        }
    }

    fn update(&mut self, call: &UnderWay<'_>, own: &Arc<Resource>, now: Monotonic) {
        // Its pod may become known while a call is under way.
        if !Arc::ptr_eq(&self.resource, own) {
            self.service = name(&own.service_name);
            self.resource = Arc::clone(own);
        }
        self.streaming = call.streaming;
        self.phase = call.phase;
        self.first_chunk = call.first_chunk;
        self.chunks = call.chunks;
        if call.session != self.session.as_deref() {
            self.session = call.session.map(name);
        }
        self.measure(now);
    }

    /// Until a window has passed, the rate is that since the first piece.
    #[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
    fn measure(&mut self, now: Monotonic) {
        if self.chunks == 0 {
            return;
        }
        // The first piece may not have been seen.
        let first = self.first_chunk.unwrap_or(now);
        let (since, before) = *self.mark.get_or_insert((first, 1));
        let passed = now.0.saturating_sub(since.0);
        let is_first_window = since == first;
        if passed >= RATE_WINDOW_NS || (is_first_window && passed > 0) {
            self.rate = self.chunks.saturating_sub(before) as f64 * 1e9 / passed as f64;
        }
        if passed >= RATE_WINDOW_NS {
            self.mark = Some((now, self.chunks));
        }
    }

    /// How long it has been under way.
    pub fn age_ns(&self, now: Monotonic) -> u64 {
        now.0.saturating_sub(self.begun.0)
    }

    /// When the first piece of the answer came, counted from the start.
    pub fn first_chunk_ns(&self) -> Option<u64> {
        Some(self.first_chunk?.0.saturating_sub(self.begun.0))
    }
}

/// The calls in flight as they were when last looked at.
#[derive(Debug, Default)]
pub struct Flights {
    shown: BTreeMap<FlightKey, Flight>,
    total: usize,
    now: Monotonic,
}

impl Flights {
    pub(super) fn look<'a>(
        &mut self,
        now: Monotonic,
        calls: impl Iterator<Item = (Arc<Process>, UnderWay<'a>)>,
        resources: &mut Resources,
    ) {
        let mut before = std::mem::take(&mut self.shown);
        self.now = now;
        self.total = 0;
        for (process, call) in calls {
            self.total += 1;
            if self.shown.len() >= FLIGHTS_MAX {
                continue;
            }
            let key = (call.connection, call.exchange);
            let own = resources.of(&process);
            let mut flight = before
                .remove(&key)
                .unwrap_or_else(|| Flight::new(key, &call, &process, &own));
            flight.update(&call, &own, now);
            self.shown.insert(key, flight);
        }
    }

    /// Those that are shown one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.shown.values()
    }

    /// A call in flight.
    pub fn get(&self, key: FlightKey) -> Option<&Flight> {
        self.shown.get(&key)
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Pieces a second of all that are shown.
    pub fn rate(&self) -> f64 {
        // Not `sum`, which begins with a negative zero.
        self.iter().fold(0.0, |rate, flight| rate + flight.rate)
    }

    /// When it was looked at.
    pub fn now(&self) -> Monotonic {
        self.now
    }
}
