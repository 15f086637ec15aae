//! Holds every span against what was served, life by life.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::crowd::{CONTAINER, Fate, Life};
use crate::expect;
use crate::fake::Served;
use crate::span::Span;

/// What a span says of what is missing in it.
const INCOMPLETE: &str = "geophone.incomplete";

/// How the spans of a round stand against what was served.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// Everything that is wrong.
    pub(super) findings: Vec<String>,
    /// Responses that were served.
    pub(super) served: usize,
    /// Spans of processes that were killed, marked incomplete.
    pub(super) cut: usize,
}

/// One span for each response and no other; right in every value, or, where the process was killed, as far as it came.
pub(super) fn judge(lives: &[Life], served: &[Served], spans: Vec<Span>, parent: u32) -> Judgement {
    let mut judgement = Judgement {
        served: served.len(),
        ..Judgement::default()
    };
    let mut spans_of = by_life(spans, |span| {
        span.attributes.get("gen_ai.request.max_tokens")?.as_u64()
    });
    let mut served_of = by_life(served, |served| served.parameters.max_tokens);
    for life in lives {
        let of_life = Of {
            life,
            served: served_of.remove(&Some(life.number)).unwrap_or_default(),
            spans: spans_of.remove(&Some(life.number)).unwrap_or_default(),
            parent,
        };
        of_life.judge(&mut judgement);
    }
    for (number, spans) in spans_of {
        let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
        judgement.findings.push(format!(
            "spans of nobody who lived in this round ({number:?}): {ids:?}"
        ));
    }
    if !served_of.is_empty() {
        let numbers: Vec<_> = served_of.keys().collect();
        judgement.findings.push(format!(
            "responses to nobody who lived in this round: {numbers:?}"
        ));
    }
    judgement
}

fn by_life<T>(
    all: impl IntoIterator<Item = T>,
    number: impl Fn(&T) -> Option<u64>,
) -> BTreeMap<Option<u64>, Vec<T>> {
    let mut lives: BTreeMap<Option<u64>, Vec<T>> = BTreeMap::new();
    for one in all {
        lives.entry(number(&one)).or_default().push(one);
    }
    lives
}

/// What is known of one life.
struct Of<'a> {
    life: &'a Life,
    served: Vec<&'a Served>,
    spans: Vec<Span>,
    parent: u32,
}

impl Of<'_> {
    fn judge(mut self, judgement: &mut Judgement) {
        let Life {
            number,
            kind,
            fate,
            pid,
            calls,
            ..
        } = self.life;
        let about = format!("life {number}, pid {pid}, {kind:?}, {fate:?}");
        let mut find = |finding: String| judgement.findings.push(format!("{about}: {finding}"));
        if self.served.len() != *calls {
            find(format!("{calls} calls, {} of them served", self.served.len()));
        }
        for span in &self.spans {
            self.names(span).into_iter().for_each(&mut find);
        }
        for served in std::mem::take(&mut self.served) {
            let id = Some(served.request_id.as_str());
            let mut own = take(&mut self.spans, |span| span.text("aws.request_id") == id);
            if own.is_empty() && *fate == Fate::Killed {
                // Nobody heard which response it was: its head had not been read.
                own = take(&mut self.spans, |span| {
                    span.text("aws.request_id").is_none() && span.attributes.contains_key(INCOMPLETE)
                })
                .into_iter()
                .take(1)
                .collect();
            }
            match own.as_slice() {
                [span] => {
                    let cut = *fate == Fate::Killed && span.attributes.contains_key(INCOMPLETE);
                    judgement.cut += usize::from(cut);
                    // Attempts that never came to TLS, as on a machine too busy to connect in time, are said to be unseen.
                    let repeated = served.attempt > 1 && span.attributes.contains_key(INCOMPLETE);
                    let wrong = if cut || repeated {
                        expect::partial_findings(span, served)
                    } else {
                        expect::findings(span, &[], served)
                    };
                    wrong
                        .into_iter()
                        .map(|wrong| format!("{}: {wrong}", served.request_id))
                        .for_each(&mut find);
                }
                several => find(format!("{} spans for {}", several.len(), served.told())),
            }
        }
        for span in &self.spans {
            find(format!("a span too many: {span:?}"));
        }
    }

    /// What is wrong with who the process is said to be. It is gone by now, and some were when their span ended.
    fn names(&self, span: &Span) -> Vec<String> {
        let Life {
            fate, pid, program, ..
        } = self.life;
        let mut expected = vec![
            ("process.pid", json!(pid)),
            ("process.parent_pid", json!(self.parent)),
            ("process.command", json!(program)),
        ];
        if *fate == Fate::Brief {
            expected.push(("container.id", json!(CONTAINER)));
        }
        let mut wrong: Vec<String> = expected
            .into_iter()
            .filter_map(|(key, should)| {
                let is = span.resource.get(key).cloned().unwrap_or(Value::Null);
                (is != should).then(|| format!("{key} is {is}, should be {should}"))
            })
            .collect();
        for key in [
            "process.executable.path",
            "process.executable.name",
            "service.name",
        ] {
            if span
                .resource
                .get(key)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                wrong.push(format!("{key} is missing"));
            }
        }
        wrong
    }
}

/// Takes out what fits.
fn take(spans: &mut Vec<Span>, fits: impl Fn(&Span) -> bool) -> Vec<Span> {
    let (own, others) = std::mem::take(spans).into_iter().partition(|span| fits(span));
    *spans = others;
    own
}
