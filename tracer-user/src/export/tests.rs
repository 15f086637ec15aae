//! The outlets as a whole, and the spans that all tests of this stage write.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Format, MetricSettings, OpenError, OutletSettings, Outlets, Output};
use crate::counters::Counter;
use crate::event::{Host, Process, ProcessKey};
use crate::genai::span::{Attribute, Parent, Span, SpanEvent, SpanId, SpanKind, SpanStatus, TraceId, Value};

/// Long enough for a loaded machine, short enough for a test that fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn process(pid: u32, name: &str) -> Arc<Process> {
    Arc::new(Process {
        key: ProcessKey { pid, start_ns: 1 },
        parent_pid: 1,
        executable: "/usr/bin/python3.13".to_owned(),
        command_line: vec!["python3".to_owned(), format!("/srv/{name}.py")],
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    })
}

pub(super) fn span(process: &Arc<Process>, number: u8) -> Span {
    Span {
        process: Arc::clone(process),
        trace_id: TraceId([number; 16]),
        span_id: SpanId([number; 8]),
        parent: None,
        name: "chat amazon.nova-lite-v1:0".to_owned(),
        kind: SpanKind::Client,
        start_unix_ns: 1_763_683_200_123_456_789,
        end_unix_ns: 1_763_683_200_965_456_789,
        status: SpanStatus::Unset,
        attributes: vec![Attribute {
            key: "gen_ai.usage.input_tokens",
            value: Value::Int(12),
        }],
        events: Vec::new(),
        links: Vec::new(),
    }
}

fn host() -> Host {
    Host {
        boot_id: "boot".to_owned(),
        name: "node-3".to_owned(),
        wall_offset_ns: 0,
    }
}

#[test]
fn spans_are_written_to_a_file_as_the_file_exporter_writes_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("spans.jsonl");
    let mut outlets = Outlets::open(OutletSettings {
        format: Format::OtlpJson,
        output: Output::File(path.clone()),
        ..OutletSettings::default()
    })
    .expect("the file can be made");
    outlets.host(&host());
    let process = process(4242, "worker");
    let mut failed = span(&process, 2);
    failed.parent = Some(Parent {
        span_id: SpanId([9; 8]),
        flags: 1,
        trace_state: "vendor=1".to_owned(),
    });
    failed.status = SpanStatus::Error {
        description: "Too many requests".to_owned(),
    };
    failed.attributes = vec![
        Attribute {
            key: "t",
            value: Value::String(Cow::Borrowed("text")),
        },
        Attribute {
            key: "d",
            value: Value::Double(0.5),
        },
        Attribute {
            key: "b",
            value: Value::Bool(true),
        },
        Attribute {
            key: "l",
            value: Value::Strings(vec!["stop".to_owned()]),
        },
    ];
    failed.events = vec![SpanEvent {
        name: "attempt",
        time_unix_ns: 1_763_683_200_200_000_000,
        attributes: vec![Attribute {
            key: "n",
            value: Value::Int(1),
        }],
    }];
    outlets.span(span(&process, 1));
    outlets.span(failed);
    let report = outlets.shutdown(PATIENCE);
    assert_eq!((report.written, report.problems.len()), (2, 0), "{report:?}");

    let text = std::fs::read_to_string(path).expect("written");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
        .collect();
    insta::assert_json_snapshot!(lines, { ".**.value.stringValue" => insta::dynamic_redaction(|value, _| {
        match value.as_str() {
            Some(env!("CARGO_PKG_VERSION")) => "[version]".into(),
            _ => value,
        }
    }), ".**.scope.version" => "[version]" });
}

#[test]
fn a_new_file_of_spans_is_for_its_owner_only_and_one_that_is_there_keeps_its_rights() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("spans.jsonl");
    let mode_after_writing = || {
        let settings = OutletSettings {
            format: Format::OtlpJson,
            output: Output::File(path.clone()),
            ..OutletSettings::default()
        };
        let mut outlets = Outlets::open(settings).expect("the file can be made");
        outlets.span(span(&process(4242, "worker"), 1));
        assert_eq!(outlets.shutdown(PATIENCE).written, 1);
        let metadata = std::fs::metadata(&path).expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode_after_writing(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    assert_eq!(mode_after_writing(), 0o644);
}

#[test]
fn an_output_that_cannot_be_made_is_said_with_its_remedy() {
    let error = Outlets::open(OutletSettings {
        output: Output::File("/no/such/directory/spans.jsonl".into()),
        ..OutletSettings::default()
    })
    .expect_err("there is no such directory");
    assert!(matches!(error, OpenError::Output { .. }));
    let text = error.to_string();
    assert!(
        text.contains("/no/such/directory/spans.jsonl") && text.contains("--output"),
        "{text}"
    );
}

/// The disk is full, or who read the pipe is gone: spans go on to the backend, and metrics are still served.
#[test]
fn an_output_that_takes_no_more_is_the_end_only_where_nothing_else_is_left() {
    for prometheus in [None, Some(([127, 0, 0, 1], 0).into())] {
        let mut outlets = Outlets::open(OutletSettings {
            format: Format::OtlpJson,
            output: Output::File("/dev/full".into()),
            metrics: MetricSettings {
                prometheus,
                ..MetricSettings::default()
            },
            ..OutletSettings::default()
        })
        .expect("it opens");
        assert!(outlets.is_open());
        outlets.span(span(&process(1, "worker"), 1));
        let deadline = Instant::now() + PATIENCE;
        while outlets.counters().get(Counter::SpansDroppedExport) == 0 {
            assert!(Instant::now() < deadline, "the loss is counted while it lasts");
            std::thread::yield_now();
        }
        assert_eq!(outlets.is_open(), prometheus.is_some());
        let report = outlets.shutdown(PATIENCE);
        assert_eq!(report.counters.get(Counter::SpansDroppedExport), 1);
    }
}
