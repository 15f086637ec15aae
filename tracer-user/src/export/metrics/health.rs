//! How geophone itself is, as metrics of its own resource.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::counters::{Counter, Counters};
use crate::enrich::Resource;
use crate::event::Host;
use crate::genai::metrics::{Data, Metric, Number, Point};
use crate::genai::semconv;
use crate::genai::span::{Attribute, Value};

/// How tracing goes. What the outlets know themselves is added by them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Everything counted so far.
    pub counters: Counters,
    /// Processes of the host by how they stand: traced, or why not.
    pub processes: BTreeMap<&'static str, u64>,
    /// Traced processes by library.
    pub libraries: BTreeMap<&'static str, u64>,
    /// Probes in place.
    pub probes: u64,
    /// Entries of the tables that geophone and its programs in the kernel keep.
    pub tables: BTreeMap<&'static str, u64>,
}

/// A counter's place among the metrics: several of them are one metric, parted by reason.
struct Place {
    name: String,
    unit: &'static str,
    reason: Option<&'static str>,
}

fn place(counter: Counter) -> Place {
    let part = |name: &str, unit, reason| Place {
        name: format!("{}{name}", semconv::OWN_PREFIX),
        unit,
        reason: Some(reason),
    };
    match counter {
        Counter::LostRingFull => part("lost_records", "{record}", "ring_full"),
        Counter::LostReadFault => part("lost_records", "{record}", "read_fault"),
        Counter::LostCallCap => part("lost_records", "{record}", "call_cap"),
        Counter::LostUnseen => part("lost_records", "{record}", "unseen"),
        Counter::LostProcessShare => part("lost_records", "{record}", "process_share"),
        Counter::LostMapFull => part("lost_records", "{record}", "map_full"),
        Counter::SpansDroppedQueueFull => part("spans_dropped", "{span}", "queue_full"),
        Counter::SpansDroppedExport => part("spans_dropped", "{span}", "export"),
        Counter::LogsDroppedQueueFull => part("log_records_dropped", "{record}", "queue_full"),
        Counter::LogsDroppedExport => part("log_records_dropped", "{record}", "export"),
        Counter::ConnectionsWanted => part("connections_recognised", "{connection}", "bedrock"),
        Counter::ConnectionsIgnored => part("connections_recognised", "{connection}", "other"),
        Counter::Bytes => Place {
            name: format!("{}received", semconv::OWN_PREFIX),
            unit: "By",
            reason: None,
        },
        other => Place {
            name: format!("{}{}", semconv::OWN_PREFIX, other.name()),
            unit: "1",
            reason: None,
        },
    }
}

/// Names of the metrics that are not made of counters.
const PROCESSES: &str = "processes";
const LIBRARIES: &str = "traced_processes";
const PROBES: &str = "probes";
const QUEUE: &str = "queue_length";
const TABLES: &str = "table_entries";
const BUILD: &str = "build_info";

/// What tells one build from another.
const BUILT: [(&str, &str); 3] = [
    (semconv::BUILD_VERSION, env!("CARGO_PKG_VERSION")),
    (semconv::BUILD_ARCHITECTURE, std::env::consts::ARCH),
    (
        semconv::BUILD_FEATURES,
        if cfg!(feature = "k8s") { "k8s" } else { "" },
    ),
];

/// Every name that a metric of geophone's own health may have.
pub fn health_metric_names() -> Vec<String> {
    let counters = Counter::ALL.into_iter().map(|counter| place(counter).name);
    let others = [PROCESSES, LIBRARIES, PROBES, QUEUE, TABLES, BUILD]
        .into_iter()
        .map(own);
    let mut names: Vec<String> = counters.chain(others).collect();
    names.sort();
    names.dedup();
    names
}

fn own(name: &str) -> String {
    format!("{}{name}", semconv::OWN_PREFIX)
}

/// Health as metrics, with the resource of geophone. `queues`: how many spans wait, by outlet.
pub(in crate::export) fn metrics(
    health: &Health,
    queues: &[(&'static str, u64)],
    start_unix_ns: u64,
    host: Option<&Host>,
) -> (Arc<Resource>, Vec<Metric>) {
    let Health {
        counters,
        processes,
        libraries,
        probes,
        tables,
    } = health;
    let mut metrics = Vec::new();
    let point = |attribute: Option<(&'static str, &'static str)>, value: u64| Point {
        attributes: attribute
            .map(|(key, value)| Attribute {
                key,
                value: Value::String(value.into()),
            })
            .into_iter()
            .collect(),
        start_unix_ns,
        value: Number::Int(value),
    };
    let mut counted: BTreeMap<(String, &'static str, &'static str), Vec<Point<Number>>> = BTreeMap::new();
    for (counter, value) in counters.iter() {
        let Place { name, unit, reason } = place(counter);
        let attribute = reason.map(|reason| (semconv::REASON, reason));
        counted
            .entry((name, unit, counter.meaning()))
            .or_default()
            .push(point(attribute, value));
    }
    for ((name, unit, meaning), points) in counted {
        metrics.push(metric(name, unit, meaning, Data::Counter(points)));
    }
    let gauge = |name, unit, description, key, values: &mut dyn Iterator<Item = (&'static str, u64)>| {
        let points: Vec<_> = values
            .map(|(word, value)| point(Some((key, word)), value))
            .collect();
        metric(own(name), unit, description, Data::Gauge(points))
    };
    let pairs = |map: &BTreeMap<&'static str, u64>| map.clone().into_iter();
    metrics.push(gauge(
        PROCESSES,
        "{process}",
        "Processes by how they stand: traced, or why not.",
        semconv::VERDICT,
        &mut pairs(processes),
    ));
    metrics.push(gauge(
        LIBRARIES,
        "{process}",
        "Traced processes by TLS library.",
        semconv::LIBRARY,
        &mut pairs(libraries),
    ));
    metrics.push(gauge(
        QUEUE,
        "{span}",
        "Spans that wait for an outlet.",
        semconv::OUTLET,
        &mut queues.iter().copied(),
    ));
    metrics.push(gauge(
        TABLES,
        "{entry}",
        "Entries of tables: what is under way, and what is remembered.",
        semconv::TABLE,
        &mut pairs(tables),
    ));
    metrics.push(metric(
        own(PROBES),
        "{probe}",
        "Probes in place.",
        Data::Gauge(vec![point(None, *probes)]),
    ));
    let attributes = BUILT.map(|(key, value)| Attribute {
        key,
        value: Value::String(value.into()),
    });
    let build = Point {
        attributes: attributes.into(),
        ..point(None, 1)
    };
    metrics.push(metric(
        own(BUILD),
        "1",
        "Which geophone this is, always 1.",
        Data::Gauge(vec![build]),
    ));
    metrics.retain(|metric| match &metric.data {
        Data::Counter(points) | Data::Gauge(points) => !points.is_empty(),
        Data::Histogram { .. } => true,
    });
    (Arc::new(Resource::of_geophone(host)), metrics)
}

fn metric(name: String, unit: &'static str, description: &'static str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        description: description.into(),
        unit,
        data,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Health, metrics};

    #[test]
    fn every_metric_is_told_once_and_says_what_it_is() {
        let (_, metrics) = metrics(&Health::default(), &[], 0, None);
        let names: BTreeSet<_> = metrics.iter().map(|metric| &metric.name).collect();
        assert_eq!(names.len(), metrics.len());
        let meanings: BTreeSet<_> = metrics.iter().map(|metric| &metric.description).collect();
        assert_eq!(meanings.len(), metrics.len(), "no two are the same");
    }
}
