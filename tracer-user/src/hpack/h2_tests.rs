//! The h2 crate is the judge: its client and server talk, we listen in between, and must have heard what they said.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use super::Decoder;
use super::frame::{FrameHeader, Kind, PREFACE, SETTINGS_HEADER_TABLE_SIZE, settings};

/// A name, a value, and whether it is declared to be sensitive.
pub(crate) type Said = (String, Vec<u8>, bool);

/// The bytes of a connection as they came through, piece by piece, client first.
#[derive(Debug, Default, Clone)]
pub(crate) struct Overheard(pub(crate) Vec<(bool, Vec<u8>)>);

impl Overheard {
    /// Everything that one side said.
    pub(crate) fn of(&self, client: bool) -> Vec<u8> {
        let pieces = self.0.iter().filter(|(by_client, _)| *by_client == client);
        pieces.flat_map(|(_, piece)| piece.clone()).collect()
    }
}

/// Lets a client and a server of h2 exchange these fields, request and response in turn, on one connection. `tables` are the
/// sizes that they announce for what they receive.
pub(crate) fn overhear(exchanges: &[(Vec<Said>, Vec<Said>)], tables: (u32, u32)) -> Overheard {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let heard = Arc::new(Mutex::new(Overheard::default()));
        let (client_end, client_side) = tokio::io::duplex(64 * 1024);
        let (server_side, server_end) = tokio::io::duplex(64 * 1024);
        let (from_client, to_client) = tokio::io::split(client_side);
        let (from_server, to_server) = tokio::io::split(server_side);
        let relays = [
            tokio::spawn(relay(from_client, to_server, true, Arc::clone(&heard))),
            tokio::spawn(relay(from_server, to_client, false, Arc::clone(&heard))),
        ];
        let answers: Vec<HeaderMap> = exchanges.iter().map(|(_, answer)| headers(answer)).collect();
        let server = tokio::spawn(serve(server_end, answers, tables.1));
        let mut builder = h2::client::Builder::new();
        let (mut sender, connection) = builder
            .header_table_size(tables.0)
            .handshake::<_, Bytes>(client_end)
            .await
            .expect("in-memory streams connect");
        let connection = tokio::spawn(connection);
        for (request, _) in exchanges {
            let mut message = Request::builder()
                .method(Method::POST)
                .uri("https://bedrock.example/model/m/converse")
                .body(())
                .expect("these parts make a request");
            *message.headers_mut() = headers(request);
            sender = sender.ready().await.expect("the server lives");
            let (response, _) = sender
                .send_request(message, true)
                .expect("the connection is open");
            response.await.expect("the server answers");
        }
        drop(sender);
        connection
            .await
            .expect("no panic")
            .expect("the connection ends well");
        server.await.expect("no panic");
        for relay in relays {
            relay.await.expect("no panic");
        }
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    })
}

async fn relay(
    mut from: ReadHalf<impl AsyncRead>,
    mut to: WriteHalf<impl AsyncWrite>,
    client: bool,
    heard: Arc<Mutex<Overheard>>,
) {
    let mut buffer = [0; 4096];
    loop {
        let length = from.read(&mut buffer).await.unwrap_or(0);
        let piece = &buffer[..length];
        if length == 0 || to.write_all(piece).await.is_err() {
            to.shutdown().await.ok();
            return;
        }
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.0.push((client, piece.to_vec()));
    }
}

async fn serve(end: impl AsyncRead + AsyncWrite + Unpin, answers: Vec<HeaderMap>, table: u32) {
    let mut builder = h2::server::Builder::new();
    let handshake = builder.header_table_size(table).handshake::<_, Bytes>(end);
    let mut connection = handshake.await.expect("in-memory streams connect");
    let mut answers = answers.into_iter();
    while let Some(request) = connection.accept().await {
        let (_, mut respond) = request.expect("the client speaks HTTP/2");
        let mut response = Response::new(());
        *response.headers_mut() = answers.next().expect("an answer for every request");
        respond.send_response(response, true).expect("the stream is open");
    }
}

fn headers(said: &[Said]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value, sensitive) in said {
        let mut value = HeaderValue::from_bytes(value).expect("made to be valid");
        value.set_sensitive(*sensitive);
        headers.append(name.parse::<HeaderName>().expect("made to be valid"), value);
    }
    headers
}

/// The fields that h2 was given, in the order of their names.
fn truth(said: &[Said], pseudo: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pseudo = pseudo
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let said = said
        .iter()
        .map(|(name, value, _)| (name.as_bytes().to_vec(), value.clone()));
    let mut fields: Vec<_> = pseudo.chain(said).collect();
    fields.sort();
    fields
}

/// The header blocks of one direction, and the table size that it announces for the other one.
pub(crate) fn blocks(stream: &[u8]) -> (Vec<Vec<u8>>, Option<u32>) {
    let mut rest = stream.strip_prefix(PREFACE).unwrap_or(stream);
    let mut blocks = Vec::new();
    let mut block = Vec::new();
    let mut table = None;
    while let Some((octets, after)) = rest.split_first_chunk() {
        let header = FrameHeader::parse(octets);
        assert!(header.is_legal(16_384), "{header:?}");
        let (payload, after) = after.split_at(header.length as usize);
        rest = after;
        match header.kind {
            Kind::Headers | Kind::Continuation => {
                assert!(!header.has(FrameHeader::PADDED) && !header.has(FrameHeader::PRIORITY));
                block.extend_from_slice(payload);
                if header.has(FrameHeader::END_HEADERS) {
                    blocks.push(std::mem::take(&mut block));
                }
            }
            Kind::Settings => {
                table = table.or(settings(payload)
                    .find(|(id, _)| *id == SETTINGS_HEADER_TABLE_SIZE)
                    .map(|(_, size)| size));
            }
            _ => {}
        }
    }
    (blocks, table)
}

fn field() -> impl Strategy<Value = Said> {
    let names = prop_oneof![
        prop::sample::select(vec![
            "authorization",
            "x-amz-security-token",
            "content-type",
            "cookie",
            "x-amz-date",
            "x-amzn-requestid",
            "user-agent",
        ])
        .prop_map(str::to_owned),
        "[a-z][a-z0-9-]{0,30}".prop_filter("a field of the connection", |name| name != "te"
            && name != "upgrade"),
    ];
    let values = prop_oneof![
        4 => "[ -~]{0,80}".prop_map(String::into_bytes),
        1 => prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..60),
        1 => (1000..9000_usize).prop_map(|length| vec![b'v'; length]),
    ];
    (names, values, any::<bool>())
}

fn exchanges() -> impl Strategy<Value = Vec<(Vec<Said>, Vec<Said>)>> {
    let fields = || prop::collection::vec(field(), 0..8);
    // The same fields come again, so that they are told by index.
    (prop::collection::vec((fields(), fields()), 1..6), 1..4_usize)
        .prop_map(|(exchanges, times)| vec![exchanges; times].concat())
}

proptest! {
    #[test]
    fn what_h2_says_is_heard(
        exchanges in exchanges(),
        tables in (prop::sample::select(vec![0_u32, 64, 4096, 65_536]), prop::sample::select(vec![0_u32, 100, 4096, 1 << 24])),
        joins in any::<prop::sample::Index>(),
    ) {
        let heard = overhear(&exchanges, tables);
        let (requests, client_table) = blocks(&heard.of(true));
        let (responses, server_table) = blocks(&heard.of(false));
        prop_assert_eq!((requests.len(), responses.len()), (exchanges.len(), exchanges.len()));
        let pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "bedrock.example"), (":path", "/model/m/converse")];
        let requests_said = exchanges.iter().map(|(request, _)| truth(request, &pseudo));
        let responses_said = exchanges.iter().map(|(_, response)| truth(response, &[(":status", "200")]));
        hear(&requests, requests_said.collect(), server_table, joins)?;
        hear(&responses, responses_said.collect(), client_table, joins)?;
    }
}

/// Decodes with a decoder that was there from the beginning, and with one that joined late.
fn hear(
    blocks: &[Vec<u8>],
    said: Vec<Vec<(Vec<u8>, Vec<u8>)>>,
    table: Option<u32>,
    joins: prop::sample::Index,
) -> Result<(), TestCaseError> {
    let mut complete = Decoder::new();
    complete.limit(table.unwrap_or(4096));
    let mut late = Decoder::joined_late();
    let joins = joins.index(blocks.len());
    for (number, (block, said)) in blocks.iter().zip(said).enumerate() {
        let (fields, outcome) = super::fuzz::told(&mut complete, block);
        prop_assert_eq!(outcome, Ok(()));
        let mut known: Vec<_> = fields
            .iter()
            .map(|(name, value)| {
                (
                    name.clone().unwrap_or_default(),
                    value.clone().unwrap_or_default(),
                )
            })
            .collect();
        known.sort();
        prop_assert_eq!(known, said);
        if number < joins {
            continue;
        }
        let (part, outcome) = super::fuzz::told(&mut late, block);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(part.len(), fields.len());
        for (part, whole) in part.iter().zip(&fields) {
            prop_assert!(part.0.is_none() || part.0 == whole.0);
            prop_assert!(part.1.is_none() || part.1 == whole.1);
        }
    }
    prop_assert!(!complete.is_desynchronised() && late.is_desynchronised());
    Ok(())
}
