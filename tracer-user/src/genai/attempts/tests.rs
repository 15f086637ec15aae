//! Attempts of calls as SDKs make them.

use proptest::prelude::*;

use super::*;
use crate::bedrock::call::Timings;
use crate::bedrock::failure::Failure;
use crate::bedrock::tests::Play;
use crate::event::Monotonic;
use crate::http::{Completion, Phase};

const SECOND: u64 = 1_000_000_000;

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fine,
    Refused(u16, &'static str),
    /// The connection was closed before an answer came.
    NoAnswer,
}

const THROTTLED: End = End::Refused(429, "ThrottlingException");

/// An attempt over a connection of its own, as Node's SDK makes them.
fn attempt(pid: u32, series: &Series, resends: u64, max: Option<u64>, start: u64, end: End) -> Call {
    let mut call = Play::converse()
        .request("{}")
        .response(200, &[])
        .answer("{}")
        .call();
    call.connection.process.pid = pid;
    call.connection.address = start;
    call.attempt.resends = resends;
    call.attempt.max = max;
    match series {
        Series::Invocation(id) => call.attempt.invocation_id = Some(id.clone()),
        Series::Request(digest) => call.attempt.digest = Some(*digest),
    }
    call.timings = Timings {
        request: Monotonic(start),
        request_end: Some(Monotonic(start)),
        response: None,
        first_chunk: None,
        end: Monotonic(start + SECOND),
    };
    call.request_id = Some(format!("r-{resends}"));
    match end {
        End::Fine => {}
        End::Refused(status, code) => {
            call.status = Some(status);
            call.failure = Some(Failure {
                code: code.into(),
                message: None,
                in_stream: None,
            });
        }
        End::NoAnswer => {
            call.status = None;
            call.completion = Completion::Closed(Phase::Waiting);
        }
    }
    call
}

fn named(id: &str) -> Series {
    Series::Invocation(id.into())
}

fn same_request() -> Series {
    Series::Request(crate::bedrock::attempt::RequestDigest([7; 32]))
}

#[derive(Default)]
struct Run {
    attempts: Attempts,
    told: Vec<Call>,
    counted: Vec<Counter>,
}

impl Run {
    fn begin(&mut self, call: &Call) {
        if let Some(series) = call.attempt.series() {
            self.attempts.begun(Begun {
                connection: call.connection,
                exchange: call.exchange,
                series,
                resends: call.attempt.resends,
            });
        }
    }

    fn end(&mut self, call: &Call) -> usize {
        self.attempts.call(Box::new(call.clone()));
        self.collect()
    }

    fn collect(&mut self) -> usize {
        let before = self.told.len();
        for output in self.attempts.outputs() {
            match output {
                Output::Call(call) => self.told.push(*call),
                Output::Count(counter, _) => self.counted.push(counter),
            }
        }
        self.told.len() - before
    }

    /// One after the other.
    fn play(&mut self, calls: &[Call]) -> usize {
        calls
            .iter()
            .map(|call| {
                self.begin(call);
                self.end(call)
            })
            .sum()
    }

    fn is_empty(&self) -> bool {
        let Attempts {
            logical,
            next: _,
            of_series,
            of_place,
            waiting,
            held,
            outputs,
        } = &self.attempts;
        logical.is_empty()
            && of_series.is_empty()
            && of_place.is_empty()
            && waiting.is_empty()
            && *held == 0
            && outputs.is_empty()
    }
}

/// What the attempts came to: how many came before, status, error, throttled.
fn outcomes(call: &Call) -> Vec<(u64, Option<u16>, Option<&str>, bool)> {
    call.attempts
        .iter()
        .map(|outcome| {
            (
                outcome.resends,
                outcome.status,
                outcome.error.as_deref(),
                outcome.throttled,
            )
        })
        .collect()
}

#[test]
fn boto3_is_throttled_three_times_and_then_answered() {
    let series = named("9f0a");
    let calls: Vec<Call> = [THROTTLED, THROTTLED, THROTTLED, End::Fine]
        .into_iter()
        .zip(0..)
        .map(|(end, resends)| attempt(1, &series, resends, Some(5), 10 * SECOND * (resends + 1), end))
        .collect();
    let mut run = Run::default();
    assert_eq!(run.play(&calls), 1);
    let whole = &run.told[0];
    assert_eq!(
        outcomes(whole),
        [
            (0, Some(429), Some("ThrottlingException"), true),
            (1, Some(429), Some("ThrottlingException"), true),
            (2, Some(429), Some("ThrottlingException"), true),
            (3, Some(200), None, false),
        ]
    );
    assert_eq!(whole.status, Some(200));
    assert_eq!(whole.timings.request, Monotonic(10 * SECOND));
    assert_eq!(whole.timings.end, Monotonic(41 * SECOND));
    assert_eq!(whole.connection, calls[0].connection, "the identity of the first");
    assert_eq!(whole.attempt.resends, 3);
    assert!(!whole.gaps.attempts_unseen);
    assert_eq!(
        run.counted,
        [
            Counter::Throttles,
            Counter::Throttles,
            Counter::Throttles,
            Counter::AttemptsJoined
        ]
    );
    assert!(run.is_empty());
}

#[test]
fn a_call_that_goes_well_at_first_is_told_at_once_and_unchanged() {
    let call = attempt(1, &named("a"), 0, Some(3), 0, End::Fine);
    let mut run = Run::default();
    assert_eq!(run.play(std::slice::from_ref(&call)), 1);
    assert_eq!(run.told, [call]);
    assert!(run.is_empty());
}

#[test]
fn a_failure_that_nobody_repeats_is_told_at_once() {
    for end in [
        End::Refused(400, "ValidationException"),
        End::Refused(403, "ExpiredTokenException"),
        End::Refused(424, "ModelErrorException"),
    ] {
        assert_eq!(
            Run::default().play(&[attempt(1, &named("a"), 0, Some(3), 0, end)]),
            1
        );
    }
    // Node says that it makes one attempt.
    assert_eq!(
        Run::default().play(&[attempt(1, &named("a"), 0, Some(1), 0, THROTTLED)]),
        1
    );
    // The last of three.
    let last = attempt(1, &named("a"), 2, Some(3), 0, THROTTLED);
    assert_eq!(Run::default().play(&[last]), 1);
}

#[test]
fn a_stream_that_fails_in_the_middle_is_not_repeated() {
    let mut call = attempt(1, &named("a"), 0, Some(3), 0, THROTTLED);
    call.status = Some(200);
    call.streaming = true;
    if let Some(failure) = &mut call.failure {
        failure.in_stream = Some(Monotonic(1));
    }
    assert_eq!(Run::default().play(&[call]), 1);
}

#[test]
fn a_client_that_gives_up_is_told_of_when_patience_ends() {
    let call = attempt(1, &named("a"), 0, None, 0, THROTTLED);
    let mut run = Run::default();
    assert_eq!(run.play(std::slice::from_ref(&call)), 0);
    run.attempts.tick(Monotonic(SECOND + PATIENCE_NS - 1));
    assert_eq!(run.collect(), 0);
    run.attempts.tick(Monotonic(SECOND + PATIENCE_NS));
    assert_eq!(run.collect(), 1);
    assert_eq!(run.told, [call], "nothing of it is changed");
    assert!(run.is_empty());
}

#[test]
fn the_end_of_the_process_or_of_tracing_ends_the_waiting() {
    let call = attempt(1, &named("a"), 0, None, 0, End::NoAnswer);
    let mut run = Run::default();
    run.play(std::slice::from_ref(&call));
    let mut other = call.connection.process;
    other.pid += 1;
    run.attempts.process_exit(other);
    assert_eq!(run.collect(), 0);
    run.attempts.process_exit(call.connection.process);
    assert_eq!(run.collect(), 1);
    run.play(std::slice::from_ref(&call));
    run.attempts.finish();
    assert_eq!(run.collect(), 1);
    assert!(run.is_empty());
}

#[test]
fn a_model_may_take_its_time_on_the_second_attempt() {
    let series = named("a");
    let first = attempt(1, &series, 0, Some(3), 0, THROTTLED);
    let mut second = attempt(1, &series, 1, Some(3), 2 * SECOND, End::Fine);
    second.timings.end = Monotonic(20 * PATIENCE_NS);
    let mut run = Run::default();
    run.play(&[first]);
    run.begin(&second);
    run.attempts.tick(Monotonic(10 * PATIENCE_NS));
    assert_eq!(run.collect(), 0);
    assert_eq!(run.end(&second), 1);
    assert_eq!(run.told[0].attempts.len(), 2);
}

#[test]
fn an_attempt_given_up_on_a_timeout_is_told_with_the_one_that_followed() {
    // Python lets go of the first connection only after the second attempt is over.
    for series in [named("a"), same_request()] {
        let mut first = attempt(1, &series, 0, Some(3), 0, End::NoAnswer);
        first.timings.end = Monotonic(9 * SECOND);
        let second = attempt(1, &series, 1, Some(3), 5 * SECOND, End::Fine);
        let mut run = Run::default();
        run.begin(&first);
        run.begin(&second);
        assert_eq!(run.end(&second), 0, "the first is still under way");
        assert_eq!(run.end(&first), 1);
        assert_eq!(
            outcomes(&run.told[0]),
            [
                (0, None, Some("connection_closed"), false),
                (1, Some(200), None, false)
            ]
        );
        assert_eq!(run.told[0].timings.request, Monotonic(0));
        assert!(run.is_empty());
    }
}

#[test]
fn an_attempt_that_never_ends_does_not_hold_the_call_for_ever() {
    let series = named("a");
    let first = attempt(1, &series, 0, Some(3), 0, End::NoAnswer);
    let second = attempt(1, &series, 1, Some(3), SECOND, End::Fine);
    let mut run = Run::default();
    run.begin(&first);
    run.begin(&second);
    run.end(&second);
    run.attempts.tick(Monotonic(2 * SECOND + PATIENCE_NS));
    assert_eq!(run.collect(), 1);
    assert!(run.told[0].gaps.attempts_unseen);
    assert_eq!(run.end(&first), 1, "late, and on its own");
    assert!(run.is_empty());
}

#[test]
fn an_attempt_whose_predecessors_were_missed_says_so() {
    let series = named("a");
    for (seen, unseen) in [(vec![1], true), (vec![0, 2], true), (vec![0, 1], false)] {
        let mut run = Run::default();
        for resends in &seen {
            let end = if Some(resends) == seen.last() {
                End::Fine
            } else {
                THROTTLED
            };
            run.play(&[attempt(1, &series, *resends, Some(3), resends * 5 * SECOND, end)]);
        }
        assert_eq!(run.told.len(), 1);
        assert_eq!(run.told[0].gaps.attempts_unseen, unseen, "{seen:?}");
        assert_eq!(run.told[0].attempts.len(), seen.len());
    }
}

#[test]
fn the_anthropic_sdk_counts_and_sends_the_same_again() {
    let series = same_request();
    let calls = [
        attempt(1, &series, 0, None, 0, End::Refused(529, "overloaded_error")),
        attempt(
            1,
            &series,
            1,
            None,
            3 * SECOND,
            End::Refused(429, "rate_limit_error"),
        ),
        attempt(1, &series, 2, None, 6 * SECOND, End::Fine),
    ];
    let mut run = Run::default();
    assert_eq!(run.play(&calls), 1);
    assert_eq!(run.told[0].attempts.len(), 3);
    assert_eq!(run.counted, [Counter::Throttles, Counter::AttemptsJoined]);
}

#[test]
fn the_same_request_asked_twice_is_two_calls() {
    let series = same_request();
    let one = attempt(1, &series, 0, None, 0, End::Fine);
    let two = attempt(1, &series, 0, None, 1, THROTTLED);
    let again = attempt(1, &series, 1, None, 5 * SECOND, End::Fine);
    let mut run = Run::default();
    run.begin(&one);
    run.begin(&two);
    assert_eq!(run.end(&two), 0);
    run.begin(&again);
    assert_eq!(run.end(&one), 1, "it has nothing to do with the retry");
    assert_eq!(run.told[0].attempts, []);
    assert_eq!(run.end(&again), 1);
    assert_eq!(run.told[1].connection, two.connection);
    assert!(run.is_empty());
}

#[test]
fn what_waits_is_bounded_and_the_oldest_comes_out() {
    let mut run = Run::default();
    for number in 0..=MAX_WAITING as u64 {
        run.play(&[attempt(
            1,
            &named(&number.to_string()),
            0,
            None,
            number,
            THROTTLED,
        )]);
    }
    assert_eq!(run.told.len(), 1);
    assert_eq!(run.told[0].attempt.invocation_id.as_deref(), Some("0"));
    assert!(run.counted.contains(&Counter::RetriesEvicted));
}

#[test]
fn more_attempts_than_are_kept_keep_the_first_and_the_last() {
    let series = named("a");
    let mut run = Run::default();
    for resends in 0..100 {
        let end = if resends == 99 { End::Fine } else { THROTTLED };
        run.play(&[attempt(1, &series, resends, None, resends * 3 * SECOND, end)]);
    }
    let attempts = &run.told[0].attempts;
    assert_eq!(attempts.len(), series::MAX_OUTCOMES);
    assert_eq!((attempts[0].resends, attempts[63].resends), (0, 99));
    assert!(!run.told[0].gaps.attempts_unseen);
}

proptest! {
    /// Attempts of several calls in several processes, in any interleaving that keeps the order within each call.
    #[test]
    fn interleaving_changes_nothing_but_the_order(
        calls in prop::collection::vec((1_u32..4, 1_usize..4), 1..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 64),
    ) {
        let mut steps: Vec<std::collections::VecDeque<(bool, Call)>> = calls
            .iter()
            .enumerate()
            .map(|(number, (pid, attempts))| {
                // Every process names its calls alike: it is the process that tells them apart.
                let of_process = calls[..number].iter().filter(|(other, _)| other == pid).count();
                (0..*attempts)
                    .flat_map(|resends| {
                        let end = if resends + 1 == *attempts { End::Fine } else { THROTTLED };
                        let start = (number as u64) * 100 * SECOND + resends as u64 * 2 * SECOND;
                        let series = named(&of_process.to_string());
                        let call = attempt(*pid, &series, resends as u64, Some(4), start, end);
                        [(true, call.clone()), (false, call)]
                    })
                    .collect()
            })
            .collect();
        let whole: usize = calls.len();
        let mut run = Run::default();
        for pick in picks {
            let left: Vec<usize> = (0..steps.len()).filter(|index| !steps[*index].is_empty()).collect();
            if left.is_empty() {
                break;
            }
            if let Some((begins, call)) = steps[left[pick.index(left.len())]].pop_front() {
                if begins {
                    run.begin(&call);
                } else {
                    run.end(&call);
                }
            }
        }
        prop_assert_eq!(run.told.len(), whole);
        for (pid, attempts) in &calls {
            let told = if *attempts == 1 { 0 } else { *attempts };
            let found = run
                .told
                .iter()
                .any(|call| call.connection.process.pid == *pid && call.attempts.len() == told);
            prop_assert!(found);
        }
        prop_assert!(run.is_empty());
    }
}
