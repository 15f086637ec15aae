//! Recorded Bedrock exchanges, sent through the whole pipeline, say what the recordings are known to say, however they are
//! served.
//!
//! `GEOPHONE_RECORDED` names a file of JSON lines: `{"id", "request": {method, host, path, headers, body_b64}, "response":
//! {status, headers, body_b64}, "expected": {…}}`. Without it there is nothing to compare, and the tests say so.

mod agents;
mod compare;
mod holed;
mod recording;
mod serving;
mod told;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tracer_user::event::Direction;
use tracer_user::genai::span::Span;

use compare::compare;
use recording::Recording;
use serving::{Hole, Passed, Protocol, trace};

/// Bytes of a TLS record as servers like to write them.
const RECORD: usize = 1_400;

/// The recordings, if there are any.
fn recordings() -> Option<Vec<Recording>> {
    let Some(path) = std::env::var_os("GEOPHONE_RECORDED") else {
        eprintln!(
            "NOT RUN: no recordings to compare with; set GEOPHONE_RECORDED to a file of recorded exchanges (JSON lines)"
        );
        return None;
    };
    let text = std::fs::read_to_string(&path).expect("the file of GEOPHONE_RECORDED can be read");
    let recordings = Recording::all(&text);
    assert!(!recordings.is_empty(), "the file holds no exchange");
    Some(recordings)
}

#[test]
fn recorded_exchanges_say_what_they_are_known_to_say() {
    let Some(recordings) = recordings() else {
        return;
    };
    let mut compared = BTreeMap::<String, usize>::new();
    let mut wrong = String::new();
    for recording in &recordings {
        let Recording { id, api, .. } = recording;
        let spans = trace(&Protocol::Http1.serve(recording), RECORD, &[]);
        if !recording.asks_for_inference() {
            if spans.is_empty() {
                *compared.entry("no inference".to_owned()).or_default() += 1;
            } else {
                writeln!(wrong, "{id}: {} span(s) of management", spans.len())
                    .expect("a string takes everything");
            }
            continue;
        }
        let differences = differences(recording, &spans);
        if differences.is_empty() {
            *compared.entry(api.clone()).or_default() += 1;
        }
        for difference in differences {
            writeln!(wrong, "{id}: {difference}").expect("a string takes everything");
        }
    }
    eprintln!("agree: {compared:?}");
    assert!(wrong.is_empty(), "recordings and spans differ:\n{wrong}");
    assert!(
        !compared.is_empty(),
        "the file holds no exchange that can be compared"
    );
}

/// What the spans of a recording get wrong.
fn differences(recording: &Recording, spans: &[Span]) -> Vec<String> {
    match spans {
        _ if recording.is_of_an_agent() => agents::compare(recording, spans),
        [span] => compare(&recording.expected, span),
        spans => vec![format!("{} spans instead of one", spans.len())],
    }
}

#[test]
fn they_say_the_same_over_any_http_in_pieces_of_any_size() {
    over_any_http(|protocol, recording, wrong| {
        let passed = protocol.serve(recording);
        for piece in [RECORD, 1] {
            for difference in differences(recording, &trace(&passed, piece, &[])) {
                wrong.push(format!("pieces of {piece}: {difference}"));
            }
        }
    });
}

/// How far apart bytes go missing.
const HOLES_APART: usize = 1_024;

/// How many go missing: one, some of a frame, a record with most of what is before the next hole.
const HOLES: [usize; 3] = [1, 64, 900];

#[test]
fn with_a_hole_at_any_kibibyte_they_say_less_and_nothing_wrong() {
    over_any_http(|protocol, recording, wrong| {
        let passed = protocol.serve(recording);
        let whole = trace(&passed, RECORD, &[]);
        for length in HOLES {
            let holes = holes(&passed, length);
            let alone = holes.iter().map(std::slice::from_ref);
            let together = Some(holes.as_slice()).filter(|holes| holes.len() > 1);
            for holes in alone.chain(together) {
                let spans = trace(&passed, RECORD, holes);
                let asked = holes.iter().all(|hole| hole.direction == Direction::Read);
                if asked && spans.is_empty() {
                    wrong.push(format!("{holes:?}: a call without a span"));
                }
                for finding in holed::findings(&whole, &spans) {
                    wrong.push(match holes {
                        [hole] => format!("{hole:?}: {finding}"),
                        _ => format!("holes of {length} at every KiB: {finding}"),
                    });
                }
            }
        }
    });
}

/// A hole at every KiB of each direction, but at its end: what is missing there is as if it had never been sent.
fn holes(passed: &Passed, length: usize) -> Vec<Hole> {
    [Direction::Write, Direction::Read]
        .into_iter()
        .flat_map(|direction| {
            let of_direction = passed.iter().filter(|(one, _)| *one == direction);
            let end: usize = of_direction.map(|(_, bytes)| bytes.len()).sum();
            let places = (0..end).step_by(HOLES_APART);
            places.filter(move |at| at + length < end).map(move |at| Hole {
                direction,
                at,
                length,
            })
        })
        .collect()
}

/// Serves every recording over each HTTP, and fails with what was found wrong.
fn over_any_http(look: impl Fn(Protocol, &Recording, &mut Vec<String>) + Sync) {
    let Some(recordings) = recordings() else {
        return;
    };
    let wrong = std::thread::scope(|scope| {
        let (look, recordings) = (&look, &recordings);
        let threads = Protocol::ALL.map(|protocol| {
            scope.spawn(move || {
                let mut wrong = String::new();
                for recording in recordings
                    .iter()
                    .filter(|recording| recording.asks_for_inference())
                {
                    let mut found = Vec::new();
                    look(protocol, recording, &mut found);
                    for finding in found {
                        writeln!(wrong, "{} over {protocol}, {finding}", recording.id)
                            .expect("a string takes everything");
                    }
                }
                wrong
            })
        });
        threads.map(|thread| thread.join().expect("no panic")).concat()
    });
    assert!(wrong.is_empty(), "recordings and spans differ:\n{wrong}");
}
