//! Whatever comes, the model stays within its bounds and on its feet.

use std::sync::Arc;

use proptest::prelude::*;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{NOVA, NOW, call, live, route, screen, text, under_way, with, worker};
use crate::genai::semconv;
use crate::genai::span::{Parent, Span, SpanId, SpanKind, TraceId, Value};
use crate::top::{BYTES_MAX, FLIGHTS_MAX, Flow, Group, Model, ROWS_MAX, SPANS_MAX};

const GROUPS: [Group; 3] = [Group::Model, Group::Service, Group::Session];

fn within_bounds(model: &Model) {
    for group in GROUPS {
        assert!(model.table(group).rows().count() <= ROWS_MAX);
    }
    assert!(model.recent().len() <= SPANS_MAX);
    assert!(model.recent().bytes() <= BYTES_MAX);
    assert!(model.flights().iter().count() <= FLIGHTS_MAX);
}

/// Rows and what had to make room hold every call.
fn nothing_is_lost(model: &Model) {
    for group in [Group::Model, Group::Service] {
        let table = model.table(group);
        let kept: u64 = table.rows().map(|(_, figures)| figures.calls).sum();
        let merged = table.others().map_or(0, |(_, figures)| figures.calls);
        assert_eq!(kept + merged, model.totals().calls, "{group:?}");
    }
}

#[test]
fn more_models_than_there_is_room_for_are_put_together() {
    let mut model = live();
    let many = ROWS_MAX + 40;
    for number in 0..many {
        model.span(call(&worker(), 1, &format!("model-{number}"), 1, 10));
        // Used again and again, so that it never has to make room.
        model.span(call(&worker(), 2, NOVA, 1, 10));
    }
    within_bounds(&model);
    nothing_is_lost(&model);
    let rows = model.group_rows(Group::Model);
    let (_, others) = rows.last().expect("rows");
    assert_eq!(others.name, "41 others");
    let nova = rows.iter().find(|(_, row)| row.name == NOVA).expect("kept");
    assert_eq!(
        nova.1.figures.map(|figures| figures.calls),
        Some(many as u64),
        "the busiest is whole"
    );
}

#[test]
fn spans_beyond_the_bytes_there_are_for_them_make_room() {
    let mut model = live();
    for number in 0..50 {
        let long = "x".repeat(1 << 20);
        model.span(with(
            call(&worker(), number, NOVA, 1, 10),
            semconv::RESPONSE_ID,
            text(&long),
        ));
    }
    within_bounds(&model);
    let forgotten = model.recent().forgotten();
    assert!(forgotten > 0);
    let told = format!("{forgotten} older spans gone");
    assert!(screen(&mut model, 100, 24).contains(&told));
    assert_eq!(model.totals().calls, 50);
}

#[test]
fn of_more_calls_in_flight_than_are_shown_all_are_counted() {
    let mut model = live();
    let (worker, nova) = (worker(), route(NOVA));
    let calls = (0..3_000).map(|number| (Arc::clone(&worker), under_way(&worker, number, &nova, 10, 1)));
    model.look(NOW, calls);
    within_bounds(&model);
    assert_eq!(model.flights().total(), 3_000);
}

fn any_span() -> impl Strategy<Value = Span> {
    let value = prop_oneof![
        any::<String>().prop_map(|text| Value::String(text.into())),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Double),
        proptest::collection::vec(any::<String>(), 0..3).prop_map(Value::Strings),
    ];
    let key = proptest::sample::select(semconv::ATTRIBUTES);
    let attributes = proptest::collection::vec((key, value), 0..12);
    (
        any::<[u8; 3]>(),
        any::<[u64; 2]>(),
        any::<bool>(),
        any::<String>(),
        attributes,
    )
        .prop_map(|([pid, id, parent], [start, end], is_call, name, attributes)| {
            let process = super::process(u32::from(pid), "any");
            let mut span = Span {
                process,
                trace_id: TraceId([1; 16]),
                span_id: SpanId([id; 8]),
                parent: Some(Parent {
                    span_id: SpanId([parent; 8]),
                    flags: 0,
                    trace_state: String::new(),
                }),
                name,
                kind: if is_call {
                    SpanKind::Client
                } else {
                    SpanKind::Internal
                },
                start_unix_ns: start,
                end_unix_ns: end,
                ..call(&worker(), 1, NOVA, 0, 0)
            };
            span.attributes.clear();
            for (key, value) in attributes {
                span = with(span, key, value);
            }
            span
        })
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        proptest::char::range(' ', '~').prop_map(KeyCode::Char),
        proptest::sample::select(vec![
            KeyCode::Enter,
            KeyCode::Esc,
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::Tab,
            KeyCode::BackTab,
            KeyCode::Backspace,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_spans_any_keys_and_any_size_are_endured(
        spans in proptest::collection::vec(any_span(), 0..40),
        keys in proptest::collection::vec(any_key(), 0..60),
        width in 0_u16..160,
        height in 0_u16..50,
    ) {
        let mut model = live();
        let mut keys = keys.into_iter();
        for span in spans {
            model.span(span);
            if let Some(code) = keys.next() {
                model.key(KeyEvent::new(code, KeyModifiers::NONE));
            }
        }
        screen(&mut model, width, height);
        for code in keys {
            let flow = model.key(KeyEvent::new(code, KeyModifiers::NONE));
            prop_assert!(flow == Flow::Stay || code == KeyCode::Char('q'));
        }
        let shown = screen(&mut model, width, height);
        prop_assert!(!shown.chars().any(|character| character == '\x1b'));
        within_bounds(&model);
        nothing_is_lost(&model);
    }
}
