//! What the recordings make geophone say stands in `docs/signals.md`.

#[path = "../signals/page.rs"]
mod page;

use std::collections::BTreeSet;

use tracer_user::genai::{Capture, Convention};
use tracer_user::pipeline::Settings;

use crate::serving::{Protocol, trace_with};
use crate::{RECORD, recordings};

#[test]
fn what_recordings_make_it_say_is_told() {
    let Some(recordings) = recordings() else {
        return;
    };
    let page = page::Page::read();
    let mut untold = BTreeSet::new();
    for recording in &recordings {
        for convention in [Convention::V1_41, Convention::Both] {
            let settings = Settings {
                convention,
                content: Capture::SpanAndEvent,
                ..Settings::default()
            };
            let spans = trace_with(settings, &Protocol::Http1.serve(recording), RECORD, &[]);
            untold.extend(spans.iter().flat_map(|span| page.untold(span)));
        }
    }
    assert!(untold.is_empty(), "docs/signals.md does not tell: {untold:#?}");
}
