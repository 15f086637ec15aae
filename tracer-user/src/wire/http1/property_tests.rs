//! What holds for any conversation: pieces do not matter, exchanges end, memory is bounded.

use proptest::prelude::*;

use super::half::HEAD_MAX;
use super::tests::{CHUNKED, GET, length, post};
use crate::conn::Connections;
use crate::counters::Counters;
use crate::event::Direction::{self, Read, Write};
use crate::wire::Conversation;
use crate::wire::tests::{Scene, Transcript};

/// Pieces of conversations, well and badly formed, to be put together at random.
fn call() -> impl Strategy<Value = Call> {
    let requests = [
        GET.to_owned(),
        post(4),
        "ping".to_owned(),
        "POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "5\r\nhello\r\n".to_owned(),
        "0\r\n\r\n".to_owned(),
        "HEAD /h HTTP/1.1\r\nExpect: 100-continue\r\n\r\n".to_owned(),
        "CONNECT h:1 HTTP/1.1\r\n\r\n".to_owned(),
        "\r\n\x16\x03".to_owned(),
    ];
    let responses = [
        length(0),
        length(4),
        "pong".to_owned(),
        CHUNKED.to_owned(),
        "5\r\nhello\r\n6;x=y\r\n world\r\n".to_owned(),
        "0\r\nTrailer: t\r\n\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.0 200 OK\r\n\r\nuntil close".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1f\u{8b}".to_owned(),
        "\r\nHTTP/1.1 500\r\nContent-Length: 1, 2\r\n\r\n".to_owned(),
    ];
    let direction = || prop_oneof![Just(Read), Just(Write)];
    prop_oneof![
        6 => (0..requests.len(), 1..4_usize)
            .prop_map(move |(at, times)| Call::Bytes(Write, requests[at].repeat(times).into_bytes())),
        6 => (0..responses.len(), 1..4_usize)
            .prop_map(move |(at, times)| Call::Bytes(Read, responses[at].repeat(times).into_bytes())),
        1 => (direction(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(way, bytes)| Call::Bytes(way, bytes)),
        1 => (direction(), 1..30_u64).prop_map(|(way, length)| Call::Lost(way, length)),
    ]
}

#[derive(Debug, Clone)]
enum Call {
    Bytes(Direction, Vec<u8>),
    Lost(Direction, u64),
}

fn play(calls: &[Call], late: bool) -> Scene {
    let mut scene = if late { Scene::joined_late() } else { Scene::new() };
    for call in calls {
        match call {
            Call::Bytes(Read, bytes) => scene.read(bytes),
            Call::Bytes(Write, bytes) => scene.write(bytes),
            Call::Lost(direction, length) => scene.lose(*direction, *length),
        };
    }
    scene
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_split_tells_the_same(
        calls in prop::collection::vec(call(), 1..14),
        late: bool,
        sizes in prop::collection::vec(1..30_usize, 1..6),
    ) {
        let scene = play(&calls, late);
        let whole = scene.lines();
        prop_assert_eq!(&scene.split(&sizes).lines(), &whole);
        prop_assert_eq!(&scene.split(&[1]).lines(), &whole);
    }

    #[test]
    fn every_exchange_ends_once_and_last(
        calls in prop::collection::vec(call(), 1..14),
        late: bool,
    ) {
        let lines = play(&calls, late).lines();
        let number = |line: &str| line.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        let ended = |line: &str| line.split(' ').nth(1).is_some_and(|word| {
            ["Complete", "Upgraded", "Desync", "Closed", "TimedOut", "Tracing", "Evicted"]
                .iter()
                .any(|name| word.starts_with(name))
        });
        for exchange in 0..lines.len() as u64 {
            let own: Vec<&String> = lines.iter().filter(|line| number(line) == Some(exchange)).collect();
            let ends = own.iter().filter(|line| ended(line)).count();
            prop_assert_eq!(ends, usize::from(!own.is_empty()), "{:?}", lines);
            prop_assert!(own.last().is_none_or(|line| ended(line)), "{:?}", lines);
        }
    }

    #[test]
    fn any_bytes_stay_bounded(
        calls in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..2000)), 1..20),
        start in 0..3_usize,
    ) {
        let mut scene = Scene::joined_late();
        scene.write(["POST ", GET, ""][start]).read(["HTTP/1.1 ", CHUNKED, ""][start]);
        for (read, bytes) in calls {
            scene.call(if read { Read } else { Write }, &bytes);
        }
        let mut connections: Connections<Conversation> = Connections::default();
        let mut transcript = Transcript::default();
        for event in &scene.events {
            connections.push(event, &mut transcript, &mut Counters::default());
            prop_assert!(connections.held() <= 4 * HEAD_MAX);
        }
    }
}
