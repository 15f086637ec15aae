//! From what is kept to metrics with points.

use std::collections::BTreeMap;

use crate::bedrock::histogram::Histogram;
use crate::genai::convention::Convention;
use crate::genai::cost::{Unpriced, dollars};
use crate::genai::semconv::{self, operation, token};

use super::data::{Data, Metric, Number, Point};
use super::instrument::{self, Instrument};
use super::set::{Key, Set};

/// Nanoseconds to a second.
const PER_SECOND: f64 = 1e9;

/// An attribute that only some metrics have.
type More = Option<(&'static str, &'static str)>;

/// Which family of metrics a set belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inference,
    Embeddings,
    Other,
}

/// The metrics of one process.
pub(super) fn metrics(sets: &BTreeMap<Key, Set>, start_unix_ns: u64, convention: Convention) -> Vec<Metric> {
    let mut collection = Collection {
        sets,
        start_unix_ns,
        metrics: Vec::new(),
    };
    let old = convention.old_names();
    let new = convention.new_names();
    let all = |_: Kind| true;
    let inference = |kind| kind == Kind::Inference;
    let embeddings = |kind| kind == Kind::Embeddings;
    if old {
        collection.histogram(instrument::TOKEN_USAGE, 1.0, all, |set| {
            vec![
                (Some((semconv::TOKEN_TYPE, token::INPUT)), &set.input),
                (Some((semconv::TOKEN_TYPE, token::OUTPUT)), &set.output),
            ]
        });
    }
    // What has no name of its own after v1.41 keeps the old one.
    let by_old_name = |kind| old || kind == Kind::Other;
    collection.seconds(instrument::OPERATION_DURATION, by_old_name, |set| &set.duration);
    collection.seconds(instrument::OPERATION_FIRST_CHUNK, by_old_name, |set| {
        &set.first_chunk
    });
    collection.seconds(instrument::OPERATION_CHUNK, by_old_name, |set| &set.chunk);
    if new {
        collection.seconds(instrument::INFERENCE_DURATION, inference, |set| &set.duration);
        collection.seconds(instrument::INFERENCE_FIRST_CHUNK, inference, |set| {
            &set.first_chunk
        });
        collection.seconds(instrument::INFERENCE_CHUNK, inference, |set| &set.chunk);
        // A call without counts is told as zero tokens, says the convention.
        collection.tokens(instrument::INFERENCE_INPUT, |set| Some(set.input.sum()));
        collection.tokens(instrument::INFERENCE_OUTPUT, |set| Some(set.output.sum()));
        collection.tokens(instrument::INFERENCE_CACHE_READ, |set| set.cache_read);
        collection.tokens(instrument::INFERENCE_CACHE_WRITE, |set| set.cache_write);
        collection.tokens(instrument::INFERENCE_REASONING, |set| set.reasoning);
        collection.histogram(instrument::INFERENCE_CALL_INPUT, 1.0, inference, |set| {
            vec![(None, &set.input)]
        });
        collection.histogram(instrument::INFERENCE_CALL_OUTPUT, 1.0, inference, |set| {
            vec![(None, &set.output)]
        });
        collection.seconds(instrument::EMBEDDINGS_DURATION, embeddings, |set| &set.duration);
        collection.histogram(instrument::EMBEDDINGS_CALL_INPUT, 1.0, embeddings, |set| {
            vec![(None, &set.input)]
        });
    }
    collection.cost();
    collection.unpriced();
    collection.metrics
}

fn kind(key: &Key) -> Kind {
    match key {
        Key::Of(labels) => match labels.operation {
            operation::CHAT | operation::TEXT_COMPLETION | operation::GENERATE_CONTENT => Kind::Inference,
            operation::EMBEDDINGS => Kind::Embeddings,
            _ => Kind::Other,
        },
        // What did not fit is inference for the most part.
        Key::Overflow => Kind::Inference,
    }
}

struct Collection<'s> {
    sets: &'s BTreeMap<Key, Set>,
    start_unix_ns: u64,
    metrics: Vec<Metric>,
}

impl<'s> Collection<'s> {
    fn seconds(
        &mut self,
        instrument: Instrument,
        wanted: impl Fn(Kind) -> bool,
        get: impl Fn(&'s Set) -> &'s Histogram,
    ) {
        self.histogram(instrument, PER_SECOND, wanted, |set| vec![(None, get(set))]);
    }

    fn histogram(
        &mut self,
        instrument: Instrument,
        per_unit: f64,
        wanted: impl Fn(Kind) -> bool,
        get: impl Fn(&'s Set) -> Vec<(More, &'s Histogram)>,
    ) {
        let points = self.merged(
            instrument,
            wanted,
            |set| {
                let pairs = get(set).into_iter();
                pairs
                    .filter(|(_, histogram)| histogram.count() > 0)
                    .map(|(more, histogram)| (more, *histogram))
                    .collect()
            },
            |merged, histogram| merged.merge(&histogram),
        );
        self.add(instrument, points, |points| Data::Histogram { per_unit, points });
    }

    fn tokens(&mut self, instrument: Instrument, get: impl Fn(&Set) -> Option<u64>) {
        let more = Some((semconv::TOKEN_MODALITY, token::UNKNOWN));
        let points = self.merged(
            instrument,
            |kind| kind == Kind::Inference,
            |set| get(set).into_iter().map(|count| (more, count)).collect(),
            |sum, count| *sum = sum.saturating_add(count),
        );
        self.counter(instrument, points, Number::Int);
    }

    fn cost(&mut self) {
        const COMPONENTS: [&str; 4] = [token::INPUT, token::OUTPUT, token::CACHE_READ, token::CACHE_WRITE];
        let points = self.merged(
            instrument::COST,
            |_| true,
            |set| {
                let sums = set.cost.iter().flatten().copied();
                let named = COMPONENTS.iter().zip(sums);
                named
                    .filter(|(_, sum)| *sum > 0)
                    .map(|(name, sum)| (Some((semconv::COST_COMPONENT, *name)), sum))
                    .collect()
            },
            |sum, cost| *sum = sum.saturating_add(cost),
        );
        self.counter(instrument::COST, points, |pico: u128| {
            Number::Double(dollars(pico))
        });
    }

    fn unpriced(&mut self) {
        let points = self.merged(
            instrument::UNPRICED,
            |_| true,
            |set| {
                let named = Unpriced::ALL.into_iter().zip(set.unpriced);
                named
                    .filter(|(_, count)| *count > 0)
                    .map(|(reason, count)| (Some((semconv::COST_UNPRICED, reason.name())), count))
                    .collect()
            },
            |sum, count| *sum = sum.saturating_add(count),
        );
        self.counter(instrument::UNPRICED, points, Number::Int);
    }

    /// Values of all sets that end up with the same attributes, merged.
    fn merged<V>(
        &self,
        instrument: Instrument,
        wanted: impl Fn(Kind) -> bool,
        values: impl Fn(&'s Set) -> Vec<(More, V)>,
        merge: impl Fn(&mut V, V),
    ) -> BTreeMap<(Key, More), V> {
        let mut merged: BTreeMap<(Key, More), V> = BTreeMap::new();
        for (key, set) in self.sets.iter().filter(|(key, _)| wanted(kind(key))) {
            let key = if instrument.by_error {
                key.clone()
            } else {
                key.without_error()
            };
            for (more, value) in values(set) {
                let more = more.filter(|_| key != Key::Overflow);
                let place = (key.clone(), more);
                match merged.get_mut(&place) {
                    Some(known) => merge(known, value),
                    None => {
                        merged.insert(place, value);
                    }
                }
            }
        }
        merged
    }

    fn counter<V>(
        &mut self,
        instrument: Instrument,
        points: BTreeMap<(Key, More), V>,
        number: impl Fn(V) -> Number,
    ) {
        let points = points.into_iter().map(|(place, value)| (place, number(value)));
        self.add(instrument, points.collect(), Data::Counter);
    }

    /// A metric without points is none.
    fn add<V>(
        &mut self,
        instrument: Instrument,
        points: BTreeMap<(Key, More), V>,
        data: impl Fn(Vec<Point<V>>) -> Data,
    ) {
        if points.is_empty() {
            return;
        }
        let start_unix_ns = self.start_unix_ns;
        let points = points.into_iter().map(|((key, more), value)| Point {
            attributes: key.attributes(more),
            start_unix_ns,
            value,
        });
        let Instrument {
            name,
            unit,
            description,
            by_error: _,
        } = instrument;
        self.metrics.push(Metric {
            name: name.into(),
            description: description.into(),
            unit,
            data: data(points.collect()),
        });
    }
}
