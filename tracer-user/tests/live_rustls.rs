//! What passes through the ciphers of rustls, in this very program: clients and servers that talk in memory.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};

use tracer_user::event::{ConnectionKey, Direction, ProbeEvent};
use tracer_user::probe::{Options, Scope, Tracer};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn both_directions_of_a_connection_are_one_and_whole() {
    for version in [&TLS13, &TLS12] {
        let Some((_turn, mut tracer)) = attached() else {
            return;
        };
        let mut pair = Pair::new(version);
        pair.say("GET /one HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
        pair.say_in_pieces(
            &["POST /two HTTP/1.1\r\n", "\r\n", "{}"],
            "HTTP/1.1 204 No Content\r\n\r\n",
        );
        let large = "x".repeat(100_000);
        pair.say(&large, &large);
        pair.end();

        let seen = Seen::until_closed(&mut tracer, 2);
        let asked = format!("GET /one HTTP/1.1\r\n\r\nPOST /two HTTP/1.1\r\n\r\n{{}}{large}");
        let answered = format!("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n{large}");
        seen.assert_conversations(&[(asked, answered)]);
        seen.assert_all(|stream| !stream.joined_late && !stream.unpaired);
    }
}

#[test]
fn a_hundred_connections_at_once_are_kept_apart() {
    let Some((_turn, mut tracer)) = attached() else {
        return;
    };
    let conversations = |thread: usize| -> Vec<(String, String)> {
        (0..25)
            .map(|index| {
                let name = format!("{thread}-{index}");
                (
                    format!("GET /{name} HTTP/1.1\r\n\r\n{}", name.repeat(900)),
                    format!("HTTP/1.1 200 OK\r\n\r\n{}", name.repeat(1900)),
                )
            })
            .collect()
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let mut open: Vec<_> = conversations(thread)
                    .into_iter()
                    .map(|said| (Pair::new(&TLS13), said))
                    .collect();
                for round in 0..2 {
                    for (pair, (asked, answered)) in &mut open {
                        let (asked, answered) = if round == 0 {
                            (asked.split_at(40).0, answered.split_at(40).0)
                        } else {
                            (asked.split_at(40).1, answered.split_at(40).1)
                        };
                        pair.say(asked, answered);
                    }
                }
                for (mut pair, _) in open {
                    pair.end();
                }
            });
        }
    });
    let seen = Seen::until_closed(&mut tracer, 200);
    let expected: Vec<_> = (0..4).flat_map(conversations).collect();
    seen.assert_conversations(&expected);
    seen.assert_all(|stream| !stream.joined_late && !stream.unpaired);
}

#[test]
fn addresses_that_are_used_again_are_other_connections() {
    let Some((_turn, mut tracer)) = attached() else {
        return;
    };
    let expected: Vec<_> = (0..30)
        .map(|index| {
            (
                format!("GET /{index} HTTP/1.1\r\n\r\n"),
                format!("HTTP/1.1 200 {index}\r\n\r\n"),
            )
        })
        .collect();
    for (index, (asked, answered)) in expected.iter().enumerate() {
        let mut pair = Pair::new(&TLS13);
        pair.say(asked, answered);
        // A program that just drops its connections says nothing of it.
        if index + 1 == expected.len() {
            pair.end();
        }
    }
    let seen = Seen::until_closed(&mut tracer, 2);
    seen.assert_conversations(&expected);
    seen.assert_all(|stream| !stream.joined_late && !stream.unpaired);
}

#[test]
fn a_client_goes_on_over_key_updates() {
    let Some((_turn, mut tracer)) = attached() else {
        return;
    };
    let mut pair = Pair::new(&TLS13);
    pair.say("GET /before HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    pair.say("half a request ", "half an answer ");
    // The server then changes its key as well.
    pair.client.refresh_traffic_keys().unwrap();
    pair.say("and its rest", "and its rest");
    pair.client.refresh_traffic_keys().unwrap();
    pair.say(", the end", ", the end");
    pair.client.send_close_notify();
    pair.pass();
    let seen = Seen::until_closed(&mut tracer, 1);
    let client = seen
        .streams
        .values()
        .find(|[_, write]| text(write).starts_with("GET"));
    let [read, write] = client.unwrap();
    assert_eq!(
        text(write),
        "GET /before HTTP/1.1\r\n\r\nhalf a request and its rest, the end"
    );
    assert_eq!(
        text(read),
        "HTTP/1.1 200 OK\r\n\r\nhalf an answer and its rest, the end"
    );
}

#[test]
fn a_connection_met_in_the_middle_is_whole_from_there_on_and_says_so() {
    let Some(_turn) = take_turns() else { return };
    let mut pair = Pair::new(&TLS13);
    pair.say("GET /unseen HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n");
    let mut tracer = tracer();
    pair.say("GET /seen HTTP/1.1\r\n\r\n", "HTTP/1.1 201 OK\r\n\r\n");
    pair.say("GET /again HTTP/1.1\r\n\r\n", "HTTP/1.1 202 OK\r\n\r\n");
    pair.end();
    let seen = Seen::until_closed(&mut tracer, 2);
    seen.assert_conversations(&[(
        "GET /seen HTTP/1.1\r\n\r\nGET /again HTTP/1.1\r\n\r\n".to_owned(),
        "HTTP/1.1 201 OK\r\n\r\nHTTP/1.1 202 OK\r\n\r\n".to_owned(),
    )]);
    seen.assert_all(|stream| stream.joined_late && !stream.unpaired);
}

/// Discovery finds the rustls that is linked into this program.
fn attached() -> Option<(MutexGuard<'static, ()>, Tracer)> {
    let turn = take_turns()?;
    Some((turn, tracer()))
}

/// A tracer of this process sees what all its threads do. `None` where nobody may trace.
fn take_turns() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT RUN: rustls under probes: needs root to load them");
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn tracer() -> Tracer {
    Tracer::start(Options::new(Scope::Processes(vec![std::process::id()]))).unwrap()
}

/// What the reader's buffer has room for.
const PORTION: usize = 8_000;

/// A client and its server.
struct Pair {
    client: ClientConnection,
    server: ServerConnection,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["bedrock.test".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("bedrock.test").unwrap();
        let mut pair = Self {
            client: ClientConnection::new(Arc::new(client), name).unwrap(),
            server: ServerConnection::new(Arc::new(server)).unwrap(),
        };
        while pair.client.is_handshaking() || pair.server.is_handshaking() {
            pair.pass();
        }
        pair
    }

    /// A request and its answer.
    fn say(&mut self, asked: &str, answered: &str) {
        self.say_in_pieces(&[asked], answered);
    }

    fn say_in_pieces(&mut self, asked: &[&str], answered: &str) {
        let slices: Vec<_> = asked
            .iter()
            .map(|piece| std::io::IoSlice::new(piece.as_bytes()))
            .collect();
        let asked = asked.concat();
        let mut sent = 0;
        if asked.len() <= PORTION {
            sent = self.client.writer().write_vectored(&slices).unwrap();
        }
        let mut arrived = Vec::new();
        while arrived.len() < asked.len() {
            self.pass();
            let _until_empty = self.server.reader().read_to_end(&mut arrived);
            let end = asked.len().min(sent + PORTION);
            sent += self.client.writer().write(&asked.as_bytes()[sent..end]).unwrap();
        }
        assert_eq!(arrived, asked.as_bytes());
        let mut sent = 0;
        let mut arrived = Vec::new();
        while arrived.len() < answered.len() {
            let end = answered.len().min(sent + PORTION);
            sent += self
                .server
                .writer()
                .write(&answered.as_bytes()[sent..end])
                .unwrap();
            self.pass();
            let _until_empty = self.client.reader().read_to_end(&mut arrived);
        }
        assert_eq!(arrived, answered.as_bytes());
    }

    /// Both say that they are done.
    fn end(&mut self) {
        self.client.send_close_notify();
        self.server.send_close_notify();
        self.pass();
    }

    /// Carries what waits in either direction.
    fn pass(&mut self) {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        let mut rest = &*wire;
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            self.server.process_new_packets().unwrap();
        }
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).unwrap();
        }
        let mut rest = &*wire;
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            self.client.process_new_packets().unwrap();
        }
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    joined_late: bool,
    unpaired: bool,
}

fn text(stream: &Stream) -> String {
    String::from_utf8(stream.bytes.clone()).unwrap()
}

/// All connections that were seen.
#[derive(Debug, Default)]
struct Seen {
    streams: BTreeMap<ConnectionKey, [Stream; 2]>,
}

impl Seen {
    /// Everything up to the end of so many connections.
    fn until_closed(tracer: &mut Tracer, mut connections: usize) -> Self {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Vec::new();
        while connections > 0 {
            assert!(Instant::now() < deadline, "nothing came; so far {events:.3000?}");
            tracer
                .poll(Duration::from_secs(1), &mut |event| {
                    if let ProbeEvent::Close { .. } = event {
                        connections = connections.saturating_sub(1);
                    }
                    events.push(event.into_owned());
                })
                .unwrap();
        }
        let mut seen = Self::default();
        for event in events {
            let ProbeEvent::Data(data) = event else { continue };
            let [read, write] = seen.streams.entry(data.connection).or_default();
            let stream = match data.direction {
                Direction::Read => read,
                Direction::Write => write,
            };
            assert_eq!(data.stream_offset, stream.bytes.len() as u64, "no hole");
            stream.bytes.extend_from_slice(&data.bytes);
            stream.joined_late = data.joined_late;
            stream.unpaired = data.unpaired;
        }
        seen
    }

    /// Each of these was seen twice: as the client has it, and as the server has it.
    fn assert_conversations(&self, expected: &[(String, String)]) {
        let mut expected: Vec<_> = expected
            .iter()
            .flat_map(|(asked, answered)| {
                [
                    (asked.clone(), answered.clone()),
                    (answered.clone(), asked.clone()),
                ]
            })
            .collect();
        expected.sort();
        let mut seen: Vec<_> = self
            .streams
            .values()
            .map(|[read, write]| (text(write), text(read)))
            .collect();
        seen.sort();
        assert!(seen == expected, "{seen:.300?}\nis not\n{expected:.300?}");
    }

    fn assert_all(&self, holds: impl Fn(&Stream) -> bool) {
        for (connection, [read, write]) in &self.streams {
            assert!(holds(read) && holds(write), "{connection:?}");
        }
    }
}
