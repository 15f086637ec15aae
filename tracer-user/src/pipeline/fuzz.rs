//! Entry for the fuzzer; the tests call it too, on inputs of their own.

use std::sync::Arc;

use super::{Pipeline, Settings, Sink};
use crate::counters::Counter;
use crate::event::script::{Call, PROCESS, events};
use crate::event::{ConnectionKey, Host, ProbeEvent, Process, Verdict};
use crate::genai::Capture;
use crate::genai::span::Span;
use crate::scrub::Scrubber;

/// A script of calls in one piece and in pieces, from the scrubber to the spans: the same spans and verdicts. The first byte
/// chooses the size of the pieces and whether content is wanted.
pub fn fuzz(data: &[u8]) {
    let Some((&control, script)) = data.split_first() else {
        return;
    };
    let content = control & 1 == 1;
    let calls = Call::parse(script);
    let whole = trace(&calls, usize::MAX, content);
    for size in [1, usize::from(control / 2).max(1)] {
        assert_eq!(
            trace(&calls, size, content),
            whole,
            "pieces of {size} bytes change the outcome"
        );
    }
}

/// Spans and verdicts in order, and what was counted.
fn trace(calls: &[Call<'_>], size: usize, content: bool) -> Vec<String> {
    let mut log = Log::default();
    let mut scrubber = Scrubber::new();
    let mut pipeline = Pipeline::new(Settings {
        content: if content { Capture::Span } else { Capture::Nothing },
        tool_loop: content,
        ..Settings::default()
    });
    let host = Host {
        boot_id: "boot".to_owned(),
        name: "host".to_owned(),
        wall_offset_ns: 0,
    };
    let process = Process {
        key: PROCESS,
        parent_pid: 0,
        executable: "/usr/bin/python3".to_owned(),
        command_line: Vec::new(),
        environment: Vec::new(),
        cgroup: String::new(),
        pod: None,
        withheld: crate::event::pod::Wishes::default(),
    };
    let beginning = [ProbeEvent::Host(host), ProbeEvent::Process(Arc::new(process))];
    let events = events(calls, size).into_iter().map(|(_, event)| event);
    for event in beginning.into_iter().chain(events) {
        pipeline.push(&scrubber.scrub(event), &mut log);
    }
    pipeline.finish(&mut log);
    let foreign = log.lines.iter().any(|line| line.ends_with("Ignore"));
    for (counter, count) in pipeline.counters().iter() {
        let by_piece = counter == Counter::Events || counter == Counter::UnsynchronisedBytes && foreign;
        if count > 0 && !by_piece {
            log.lines.push(format!("{} {count}", counter.name()));
        }
    }
    log.lines
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
}

impl Sink for Log {
    fn span(&mut self, span: Span) {
        self.lines.push(format!("{span:?}"));
    }

    fn verdict(&mut self, connection: ConnectionKey, verdict: Verdict) {
        self.lines.push(format!("{connection:?} {verdict:?}"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Call, fuzz, trace};

    const CONVERSE: &[u8] = b"POST /model/anthropic.claude-3-haiku-20240307-v1%3A0/converse HTTP/1.1\r\n\
        Host: bedrock-runtime.us-east-1.amazonaws.com\r\nAuthorization: Bearer canary\r\nContent-Length: 65\r\n\r\n\
        {\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hello, canary\"}]}]}";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 1\r\nContent-Type: application/json\r\nContent-Length: 167\r\n\r\n\
        {\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"canary\"}]}},\"stopReason\":\"end_turn\",\
        \"usage\":{\"inputTokens\":1,\"outputTokens\":2,\"totalTokens\":3},\"metrics\":{\"latencyMs\":4}}";

    #[test]
    fn a_call_is_a_span_without_content_or_credentials() {
        let calls = [Call::write(CONVERSE), Call::read(ANSWER)];
        let lines = trace(&calls, usize::MAX, false);
        assert!(lines.iter().any(|line| line == "spans 1"), "{lines:#?}");
        assert!(!lines.concat().contains("canary"), "{lines:#?}");
        let with_content = trace(&calls, usize::MAX, true).concat();
        assert!(with_content.contains("canary") && !with_content.contains("Bearer canary"));
    }

    #[test]
    fn known_conversations_hold() {
        for control in 0..8 {
            for hole in 0..3 {
                let calls = [
                    Call::write(CONVERSE),
                    Call::read(ANSWER).after_hole(hole),
                    Call::write(CONVERSE).after_hole(hole),
                    Call {
                        pause: true,
                        ..Call::read(ANSWER)
                    },
                ];
                fuzz(&[&[control], Call::script(&calls).as_slice()].concat());
            }
        }
        fuzz(b"");
    }

    /// A call that is given up when a day has passed, and another connection that comes with that day.
    #[test]
    fn a_span_comes_before_a_verdict_that_was_found_later() {
        let calls = [
            Call::write(CONVERSE),
            Call {
                pause: true,
                second_connection: true,
                ..Call::write(ANSWER)
            },
        ];
        fuzz(&[&[0], Call::script(&calls).as_slice()].concat());
    }

    proptest! {
        #[test]
        fn damage_is_survived(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            control in any::<u8>(),
        ) {
            let mut script = Call::script(&[Call::write(CONVERSE), Call::read(ANSWER)]);
            for (index, byte) in flips {
                let at = index.index(script.len());
                script.splice(at..=at, [byte]);
            }
            fuzz(&[&[control], script.as_slice()].concat());
        }
    }
}
