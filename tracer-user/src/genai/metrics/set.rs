//! What is kept for one set of attributes.

use crate::bedrock::Call;
use crate::bedrock::histogram::{Buckets, Histogram};
use crate::genai::cost::{Charge, Cost, Unpriced};
use crate::genai::semconv;
use crate::genai::span::{Attribute, Value};

/// A set of attributes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Of these calls.
    Of(Labels),
    /// Of all calls for which there was no room.
    Overflow,
}

/// The attributes that all metrics have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels {
    pub(super) operation: &'static str,
    model: Option<String>,
    response_model: Option<String>,
    server: Option<(String, u16)>,
    error: Option<String>,
}

impl Key {
    pub(super) fn of(call: &Call, operation: &'static str, error: Option<String>) -> Self {
        let server = call.route.server.as_ref();
        Self::Of(Labels {
            operation,
            model: call.route.resource.model.clone(),
            response_model: call.response_model.clone(),
            server: server.map(|server| (server.address.clone(), server.port)),
            error,
        })
    }

    /// The same, whatever failed.
    pub(super) fn without_error(&self) -> Self {
        match self {
            Self::Of(labels) => Self::Of(Labels {
                error: None,
                ..labels.clone()
            }),
            Self::Overflow => Self::Overflow,
        }
    }

    /// As attributes; of the overflow nothing else is told.
    pub(super) fn attributes(&self, more: Option<(&'static str, &'static str)>) -> Vec<Attribute> {
        let Self::Of(labels) = self else {
            return vec![Attribute {
                key: semconv::OVERFLOW,
                value: Value::Bool(true),
            }];
        };
        let Labels {
            operation,
            model,
            response_model,
            server,
            error,
        } = labels;
        let text = |text: &String| Value::String(text.clone().into());
        let (address, port) = server
            .as_ref()
            .map(|(address, port)| (text(address), Value::Int((*port).into())))
            .unzip();
        let list = [
            (semconv::OPERATION_NAME, Some(Value::String((*operation).into()))),
            (
                semconv::PROVIDER_NAME,
                Some(Value::String(semconv::PROVIDER.into())),
            ),
            (semconv::REQUEST_MODEL, model.as_ref().map(text)),
            (semconv::RESPONSE_MODEL, response_model.as_ref().map(text)),
            (semconv::SERVER_ADDRESS, address),
            (semconv::SERVER_PORT, port),
            (semconv::ERROR_TYPE, error.as_ref().map(text)),
        ];
        let more = more.map(|(key, value)| (key, Some(Value::String(value.into()))));
        list.into_iter()
            .chain(more)
            .filter_map(|(key, value)| Some(Attribute { key, value: value? }))
            .collect()
    }
}

/// Everything counted of the calls with one set of attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) duration: Histogram,
    pub(super) first_chunk: Histogram,
    pub(super) chunk: Histogram,
    pub(super) input: Histogram,
    pub(super) output: Histogram,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) reasoning: Option<u64>,
    /// Pico-dollars: input, output, cache reads, cache writes.
    pub(super) cost: Option<[u128; 4]>,
    /// Calls by the reason for which they have no price, in the order of [`Unpriced::ALL`].
    pub(super) unpriced: [u64; Unpriced::ALL.len()],
}

impl Default for Set {
    fn default() -> Self {
        let duration = Histogram::new(Buckets::DURATION);
        let tokens = Histogram::new(Buckets::TOKENS);
        Self {
            duration,
            first_chunk: duration,
            chunk: duration,
            input: tokens,
            output: tokens,
            cache_read: None,
            cache_write: None,
            reasoning: None,
            cost: None,
            unpriced: [0; Unpriced::ALL.len()],
        }
    }
}

impl Set {
    pub(super) fn record(&mut self, call: &Call, charge: Option<Charge>) {
        let timings = call.timings;
        let since_request = |time: u64| time.saturating_sub(timings.request.0);
        // Of a call whose request was not seen, the beginning is not known.
        if !call.gaps.request_unseen {
            self.duration.record(since_request(timings.end.0));
        }
        if call.streaming {
            if let Some(time) = timings.first_chunk {
                self.first_chunk.record(since_request(time.0));
            }
            self.chunk.merge(call.pace.gaps());
        }
        let usage = call.usage;
        if let Some(input) = usage.input_with_cache() {
            self.input.record(input);
        }
        if let Some(output) = usage.output {
            self.output.record(output);
        }
        add(&mut self.cache_read, usage.cache_read);
        add(&mut self.cache_write, usage.cache_write);
        add(&mut self.reasoning, usage.reasoning);
        match charge {
            Some(Charge::Priced(cost)) => self.pay(cost),
            Some(Charge::Refused(reason)) => {
                let place = Unpriced::ALL.iter().position(|known| *known == reason);
                if let Some(count) = place.and_then(|place| self.unpriced.get_mut(place)) {
                    *count = count.saturating_add(1);
                }
            }
            Some(Charge::Nothing) | None => {}
        }
    }

    fn pay(&mut self, cost: Cost) {
        let Cost {
            input,
            output,
            cache_read,
            cache_write,
        } = cost;
        let sums = self.cost.get_or_insert_default();
        for (sum, more) in sums.iter_mut().zip([input, output, cache_read, cache_write]) {
            *sum = sum.saturating_add(more.into());
        }
    }
}

/// A count that was told, even if it is zero, is told.
fn add(sum: &mut Option<u64>, count: Option<u64>) {
    if let Some(count) = count {
        *sum = Some(sum.unwrap_or(0).saturating_add(count));
    }
}
