//! What stands on the screen, to the character.

use super::{busy, live, press, screen};
use crate::top::{Model, Source};

/// Each page on a small screen and on a large one.
macro_rules! on_both {
    ($name:literal, $model:expr) => {
        insta::assert_snapshot!(concat!($name, "_80x24"), screen($model, 80, 24));
        insta::assert_snapshot!(concat!($name, "_140x40"), screen($model, 140, 40));
    };
}

#[test]
fn nothing_was_seen_yet() {
    on_both!("empty", &mut live());
}

#[test]
fn a_busy_afternoon() {
    on_both!("busy", &mut busy());
}

#[test]
fn figures_by_model_service_and_session() {
    let mut model = busy();
    press(&mut model, "2");
    on_both!("models", &mut model);
    press(&mut model, "3");
    on_both!("services", &mut model);
    press(&mut model, "4");
    on_both!("sessions", &mut model);
}

#[test]
fn the_calls_of_one_service_that_failed() {
    let mut model = busy();
    press(&mut model, "3↓\n/exception");
    on_both!("filtered", &mut model);
    press(&mut model, "\n");
    assert!(!screen(&mut model, 80, 24).contains("Enter keeps"));
}

#[test]
fn a_filter_that_nothing_passes_says_so() {
    let mut model = busy();
    press(&mut model, "/zebra\n");
    let shown = screen(&mut model, 80, 24);
    assert!(shown.contains("No row holds \"zebra\"."), "{shown}");
    assert!(shown.contains("Esc takes the filter away."), "{shown}");
}

#[test]
fn a_span_is_opened_and_a_step_within_it() {
    let mut model = busy();
    press(&mut model, "/agent12345\n\n");
    on_both!("opened", &mut model);
    press(&mut model, "↓↓↓↓↓↓↓↓↓\n");
    on_both!("opened_step", &mut model);
    press(&mut model, "\u{1b}");
    assert!(screen(&mut model, 80, 24).contains("Steps (2)"));
}

#[test]
fn a_call_in_flight_is_opened() {
    let mut model = busy();
    press(&mut model, "/sonnet flight\n\n");
    insta::assert_snapshot!("opened_flight_80x24", screen(&mut model, 80, 24));
    model.look(super::NOW, std::iter::empty());
    assert!(screen(&mut model, 80, 24).contains("This call has ended."));
}

#[test]
fn the_help_names_every_key() {
    let mut model = busy();
    press(&mut model, "?");
    insta::assert_snapshot!("help_80x24", screen(&mut model, 80, 24));
    press(&mut model, "x");
    assert!(screen(&mut model, 80, 24).contains("[1 Calls]"));
}

#[test]
fn a_narrow_terminal_keeps_what_matters_most() {
    insta::assert_snapshot!("narrow_40x12", screen(&mut busy(), 40, 12));
    insta::assert_snapshot!("tiny_20x5", screen(&mut busy(), 20, 5));
    let mut models = busy();
    press(&mut models, "2");
    insta::assert_snapshot!("tiny_models_30x7", screen(&mut models, 30, 7));
    let smaller = screen(&mut busy(), 20, 4);
    assert!(smaller.starts_with("terminal too small"), "{smaller}");
    for (width, height) in [(1, 1), (0, 0), (20, 5), (20, 7), (20, 8), (21, 200), (400, 6)] {
        let mut model = busy();
        model.losses([("holes", 1)].into_iter());
        model.warn("WARN something is odd".to_owned());
        for keys in ["1", "2", "1\n", "?"] {
            press(&mut model, keys);
            screen(&mut model, width, height);
        }
    }
}

#[test]
fn the_chosen_row_is_seen_on_the_smallest_terminal() {
    let mut model = busy();
    for _ in 0..12 {
        let shown = screen(&mut model, 20, 5);
        assert!(shown.contains('›'), "{shown}");
        press(&mut model, "↓");
    }
}

#[test]
fn losses_and_warnings_are_told() {
    let mut model = busy();
    model.losses([("lost_records_ring_full", 12), ("holes", 0)].into_iter());
    let shown = screen(&mut model, 80, 24);
    assert!(
        shown.contains("not seen in full: lost_records_ring_full=12\n"),
        "{shown}"
    );
    model.warn("WARN something is odd".to_owned());
    model.warn("WARN \u{1b}[2Jit is odder".to_owned());
    let shown = screen(&mut model, 80, 24);
    let told = "! WARN \u{fffd}[2Jit is odder (2 warnings in all, told again at the end)\n";
    assert!(shown.contains(told), "{shown}");
    assert!(
        shown.contains("not seen in full: lost_records_ring_full=12\n"),
        "{shown}"
    );
}

#[test]
fn a_recording_says_how_far_it_is() {
    let mut model = Model::new(Source::Recording {
        name: "monday.pcapng".to_owned(),
        percent: None,
        ended: false,
    });
    let title = |model: &mut Model| screen(model, 80, 24).lines().next().map(str::to_owned);
    model.read_to(Some(40), false);
    assert_eq!(
        title(&mut model).as_deref(),
        Some("geophone top · monday.pcapng · 40 % read")
    );
    model.read_to(None, true);
    assert_eq!(
        title(&mut model).as_deref(),
        Some("geophone top · monday.pcapng · read to its end")
    );
    assert!(screen(&mut model, 80, 24).contains("The recording holds no call to Bedrock."));
}

#[test]
fn nothing_in_the_traffic_can_steer_the_terminal() {
    let mut model = live();
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}\r\n";
    let mut span = super::call(&super::worker(), 1, hostile, 3, 10);
    span = super::failed(span, hostile, 500, hostile);
    span = super::with(span, crate::genai::semconv::CONVERSATION_ID, super::text(hostile));
    model.span(span);
    for keys in ["1", "2", "4", "1\n"] {
        press(&mut model, keys);
        let shown = screen(&mut model, 140, 40);
        let strange = shown
            .chars()
            .find(|character| (character.is_control() && *character != '\n') || *character == '\u{202e}');
        assert_eq!(strange, None, "{shown}");
    }
}
