//! Sorting, filtering, choosing and counting.

use std::sync::Arc;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{MILLISECOND, NOVA, NOW, SONNET, TITAN, api, busy, call, live, press, route, under_way, worker};
use crate::event::pod::Pod;
use crate::event::{Monotonic, Process};
use crate::top::columns::{CallColumn, Column, GroupColumn};
use crate::top::{Flow, Group, Model};

fn models(model: &Model) -> Vec<String> {
    let rows = model.call_rows();
    rows.iter().map(|(_, row)| row.model().to_owned()).collect()
}

fn names(model: &Model, group: Group) -> Vec<String> {
    let rows = model.group_rows(group);
    rows.into_iter().map(|(_, row)| row.name).collect()
}

#[test]
fn calls_in_flight_come_first_then_the_newest() {
    assert_eq!(
        models(&busy()),
        [
            NOVA,
            SONNET,
            "AGENT12345",
            TITAN,
            NOVA,
            SONNET,
            NOVA,
            NOVA,
            SONNET
        ]
    );
}

#[test]
fn every_column_sorts_both_ways_and_what_is_unknown_comes_last() {
    let mut model = busy();
    for column in CallColumn::ALL {
        model.looking.calls.column = *column;
        for descending in [true, false] {
            model.looking.calls.descending = descending;
            let rows = model.call_rows();
            let measures: Vec<_> = rows.iter().map(|(_, row)| column.measure(row)).collect();
            if *column == CallColumn::Start {
                continue;
            }
            assert!(
                measures.is_sorted_by(|left, right| left.order(right, descending).is_le()),
                "{measures:?}"
            );
        }
    }
    for column in GroupColumn::ALL {
        model.looking.groups.column = *column;
        for descending in [true, false] {
            model.looking.groups.descending = descending;
            let rows = model.group_rows(Group::Model);
            let measures: Vec<_> = rows.iter().map(|(_, row)| column.measure(row)).collect();
            assert!(
                measures.is_sorted_by(|left, right| left.order(right, descending).is_le()),
                "{measures:?}"
            );
        }
    }
}

#[test]
fn keys_choose_the_column_and_turn_the_order_round() {
    let mut model = busy();
    press(&mut model, "2");
    assert_eq!(
        names(&model, Group::Model),
        [NOVA, SONNET, "AGENT12345", TITAN],
        "by calls"
    );
    press(&mut model, ">>>");
    assert_eq!(
        names(&model, Group::Model).first().map(String::as_str),
        Some(TITAN),
        "by input tokens"
    );
    press(&mut model, "<<<<<");
    assert_eq!(model.looking.groups.column, GroupColumn::Name);
    assert_eq!(names(&model, Group::Model), ["AGENT12345", NOVA, TITAN, SONNET]);
    press(&mut model, "r");
    assert_eq!(names(&model, Group::Model), [SONNET, TITAN, NOVA, "AGENT12345"]);
}

#[test]
fn a_filter_holds_while_it_is_typed_and_can_be_taken_back() {
    let mut model = busy();
    press(&mut model, "/titan");
    assert_eq!(models(&model), [TITAN]);
    press(&mut model, "\u{1b}");
    assert_eq!(models(&model).len(), 9, "taken back");
    press(&mut model, "/failed !throttl\n");
    assert_eq!(models(&model), [NOVA]);
    press(
        &mut model,
        "/\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\u{8}\n",
    );
    assert_eq!(
        models(&model),
        [NOVA],
        "failed, which throttled calls are named otherwise"
    );
    press(&mut model, "\u{1b}");
    assert_eq!(models(&model).len(), 9);
    for (typed, count) in [
        ("4242", 5),
        ("checkout", 4),
        ("node-3 nova", 4),
        ("node-3 flight", 2),
        ("sess-7f3a", 1),
        ("flight", 2),
        ("incomplete", 1),
    ] {
        press(&mut model, &format!("/{typed}\n"));
        assert_eq!(models(&model).len(), count, "{typed}");
        press(&mut model, "\u{1b}");
    }
}

#[test]
fn a_call_in_flight_is_found_by_its_pod_once_that_is_known() {
    let mut model = live();
    let route = route(NOVA);
    let look = |model: &mut Model, process: &Arc<Process>| {
        let call = (Arc::clone(process), under_way(process, 1, &route, 300, 0));
        model.look(NOW, std::iter::once(call));
    };
    let process = worker();
    look(&mut model, &process);
    press(&mut model, "/agents\n");
    assert!(models(&model).is_empty());
    let pod = Pod {
        namespace: "agents".to_owned(),
        name: "chat-7d9f4-x2x7c".to_owned(),
        ..Pod::default()
    };
    let in_a_pod = Process {
        pod: Some(Arc::new(pod)),
        ..Process::clone(&process)
    };
    look(&mut model, &Arc::new(in_a_pod));
    assert_eq!(models(&model), [NOVA]);
    press(&mut model, "\n");
    let shown = super::screen(&mut model, 80, 24);
    assert!(shown.contains("k8s.pod.name"), "{shown}");
}

#[test]
fn the_row_of_a_model_opens_its_calls_and_back_again() {
    let mut model = busy();
    press(&mut model, "2↓\n");
    assert_eq!(models(&model), [SONNET; 3]);
    press(&mut model, "\u{1b}");
    assert_eq!(
        model.looking.page,
        crate::top::looking::Page::Groups(Group::Model)
    );
    press(&mut model, "\n");
    assert_eq!(models(&model), [SONNET; 3], "it is still chosen");
}

#[test]
fn a_chosen_row_stays_chosen_while_others_come() {
    let mut model = busy();
    press(&mut model, "↓↓↓");
    let chosen = model.looking.choice.pick.clone().expect("a row");
    model.span(call(&worker(), 50, NOVA, 0, 10));
    let picks = model.picks();
    let place = model.looking.choice.place_in(&picks);
    assert_eq!(picks.get(place), Some(&chosen));
    assert_eq!(place, 4, "it moved down");
    press(&mut model, "↑↑↑↑↑↑");
    model.span(call(&worker(), 51, NOVA, 0, 10));
    assert_eq!(
        model.looking.choice.place_in(&model.picks()),
        0,
        "the top is the top"
    );
}

#[test]
fn sums_count_calls_and_not_their_steps() {
    let model = busy();
    let totals = model.totals();
    assert_eq!((totals.calls, totals.errors, totals.throttles), (7, 2, 1));
    assert_eq!((totals.input, totals.output), (15_437, 346));
    let cost = totals.cost.expect("two calls have a price");
    assert!((cost - 0.010_988_9).abs() < 1e-9, "{cost}");
    let sonnet = model
        .group_rows(Group::Model)
        .into_iter()
        .find(|(_, row)| row.name == SONNET)
        .and_then(|(_, row)| row.figures)
        .expect("a row");
    assert_eq!((sonnet.calls, sonnet.errors), (2, 1));
    let first = sonnet.first_chunk.quantile(0.5).expect("one streamed");
    assert!(first.abs_diff(431 * MILLISECOND) < 5 * MILLISECOND, "{first}");
}

#[test]
fn a_rate_is_that_of_late() {
    let mut model = live();
    let (worker, nova) = (worker(), route(NOVA));
    let mut look = |after_ms: u64, chunks| {
        let now = Monotonic(NOW.0 + after_ms * MILLISECOND);
        let call = (Arc::clone(&worker), under_way(&worker, 1, &nova, 1_000, chunks));
        model.look(now, std::iter::once(call));
        model.flights().rate()
    };
    // The first piece came half a second before.
    let rates = [
        look(0, 0),
        look(0, 11),
        look(500, 21),
        look(1_000, 21),
        look(1_500, 81),
    ];
    let rates = rates.map(|rate| format!("{rate:.1}"));
    assert_eq!(rates, ["0.0", "20.0", "20.0", "20.0", "60.0"]);
}

#[test]
fn q_and_control_c_leave_also_while_typing_and_a_released_key_does_nothing() {
    let q = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut model = busy();
    let released = KeyEvent {
        kind: KeyEventKind::Release,
        ..q
    };
    assert_eq!(model.key(released), Flow::Stay);
    assert_eq!(model.key(q), Flow::Leave);
    press(&mut model, "/x");
    assert_eq!(model.key(q), Flow::Stay, "a letter of the filter");
    assert_eq!(model.key(control_c), Flow::Leave);
    press(&mut model, "\n?");
    assert_eq!(model.key(q), Flow::Leave, "also out of the help");
}

#[test]
fn services_of_one_name_are_told_apart_by_process() {
    let mut model = busy();
    model.span(call(&super::process(9_999, "worker"), 60, NOVA, 0, 10));
    let mut services = names(&model, Group::Service);
    services.sort();
    assert_eq!(
        services,
        [
            format!("checkout-api ({})", api().key.pid),
            "worker (4242)".to_owned(),
            "worker (9999)".to_owned()
        ]
    );
}
