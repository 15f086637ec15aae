//! Functions in the shape of rustls' ciphers, in this binary: what real connections do rarely, or only when they fail.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use tracer_common::limits::SLICES;

use super::super::resolve::{Role, RustlsLayout};
use super::super::{Options, Tracer};
use super::{collect, is_root, joined, stand_in, tracer};
use crate::event::{Data, Direction, LossReason, Lost, ProbeEvent};

const HANDSHAKE: u8 = 2;
const DATA: u8 = 3;
const REQUEST: &[u8] = b"GET /one HTTP/1.1\r\nHost: example.test\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";

/// `OutboundPlainMessage` of 0.23.
#[repr(C)]
struct Outbound {
    /// 0 for one slice.
    array: u64,
    /// Its pointer, or the length of the array.
    second: u64,
    /// Its length, or where in the array the message begins.
    third: u64,
    /// Where in the array it ends.
    fourth: u64,
    kind: u8,
}

/// The payload of `InboundOpaqueMessage` of 0.23.
#[repr(C)]
struct Inbound {
    start: u64,
    length: u64,
}

/// `Result<InboundPlainMessage, Error>` of 0.23.
#[repr(C)]
#[derive(Clone, Copy)]
struct Outcome {
    tag: u64,
    start: u64,
    length: u64,
    kind: u8,
}

const OK: u64 = 22;
const DECRYPT_ERROR: u64 = 6;

/// `encrypt(&mut self, message, number)` that returns through its first argument.
#[inline(never)]
extern "C" fn encrypt(result: u64, receiver: u64, message: &Outbound, number: u64) {
    black_box((result, receiver, message.kind, number));
}

/// `decrypt(&mut self, message, number)`; the last argument is what becomes of it.
#[inline(never)]
extern "C" fn decrypt(
    result: &mut Outcome,
    receiver: u64,
    message: &Inbound,
    number: u64,
    outcome: &Outcome,
) {
    black_box((receiver, message.start, number));
    *result = *outcome;
}

/// Drop, size, alignment, method.
type Vtable = [u64; 4];

/// A `RecordLayer` as it lies in memory: its two boxes, and what stands before them.
struct Layer {
    memory: Box<[u64; 6]>,
    _vtables: Box<[Vtable; 2]>,
    encrypted: u64,
    decrypted: u64,
    outcome: Outcome,
}

impl Layer {
    /// With cipher states at these addresses.
    fn new(encrypter: u64, decrypter: u64) -> Self {
        let vtables = Box::new([
            [0, 64, 16, (encrypt as *const ()).addr() as u64],
            [0, 64, 16, (decrypt as *const ()).addr() as u64],
        ]);
        let memory = Box::new([
            7,
            8,
            encrypter,
            vtables[0].as_ptr().addr() as u64,
            decrypter,
            vtables[1].as_ptr().addr() as u64,
        ]);
        Self {
            memory,
            _vtables: vtables,
            encrypted: 0,
            decrypted: 0,
            outcome: Outcome {
                tag: OK,
                start: 0,
                length: 0,
                kind: 0,
            },
        }
    }

    /// A new key to write with, in a new state.
    fn update_written(&mut self, encrypter: u64) {
        self.write(HANDSHAKE, b"key update");
        self.memory[2] = encrypter;
        self.encrypted = 0;
    }

    /// The same to read.
    fn update_read(&mut self, decrypter: u64) {
        self.read(HANDSHAKE, b"key update");
        self.memory[4] = decrypter;
        self.decrypted = 0;
    }

    fn write(&mut self, kind: u8, bytes: &[u8]) {
        let message = Outbound {
            array: 0,
            second: bytes.as_ptr().addr() as u64,
            third: bytes.len() as u64,
            fourth: 0,
            kind,
        };
        self.encrypt(&message);
    }

    fn write_pieces(&mut self, pieces: &[&[u8]]) {
        let array: Vec<[u64; 2]> = pieces
            .iter()
            .map(|piece| [piece.as_ptr().addr() as u64, piece.len() as u64])
            .collect();
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        // A message that is the middle of what the application wrote.
        let message = Outbound {
            array: array.as_ptr().addr() as u64,
            second: array.len() as u64,
            third: 1,
            fourth: length as u64 - 1,
            kind: DATA,
        };
        self.encrypt(&message);
        black_box(&array);
    }

    fn encrypt(&mut self, message: &Outbound) {
        call_through(&self.memory, |_| {
            encrypt(0, self.memory[2], message, self.encrypted);
        });
        self.encrypted += 1;
    }

    fn read(&mut self, kind: u8, bytes: &[u8]) {
        let outcome = Outcome {
            tag: OK,
            start: bytes.as_ptr().addr() as u64,
            length: bytes.len() as u64,
            kind,
        };
        self.decrypt(bytes, outcome);
        self.decrypted += 1;
    }

    /// A record that was tampered with: of the result only the tag is written.
    fn fail_to_read(&mut self, bytes: &[u8]) {
        let outcome = Outcome {
            tag: DECRYPT_ERROR,
            ..self.outcome
        };
        self.decrypt(bytes, outcome);
    }

    fn decrypt(&mut self, bytes: &[u8], outcome: Outcome) {
        let message = Inbound {
            start: bytes.as_ptr().addr() as u64,
            length: bytes.len() as u64 + 16,
        };
        let (receiver, number) = (self.memory[4], self.decrypted);
        let result = &mut self.outcome;
        call_through(&self.memory, |_| {
            decrypt(result, receiver, &message, number, &outcome);
        });
    }
}

/// Calls with a pointer to the layer on the stack, as its methods have it.
#[inline(never)]
fn call_through(layer: &[u64; 6], call: impl FnOnce(&[u64; 6])) {
    let kept = black_box([layer.as_ptr().addr()]);
    call(black_box(layer));
    black_box(kept);
}

/// Addresses that no test has used before.
fn state() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0x5100_0000);
    NEXT.fetch_add(0x100, Ordering::Relaxed)
}

fn attach() -> Tracer {
    let mut tracer = tracer(Options::DEFAULT_RING_BYTES);
    let functions: [(Role, *const ()); 2] = [
        (Role::RustlsEncrypt(RustlsLayout::Borrowed), encrypt as *const ()),
        (Role::RustlsDecrypt(RustlsLayout::Borrowed), decrypt as *const ()),
    ];
    assert_eq!(stand_in::attach_to(&mut tracer, &functions), 3);
    tracer
}

/// All data up to the next tick, with what was lost.
fn seen(tracer: &mut Tracer) -> (Vec<Data<'static>>, Vec<Lost>) {
    let events = collect(tracer, |event| matches!(event, ProbeEvent::Tick(_)));
    let mut data = Vec::new();
    let mut losses = Vec::new();
    for event in events {
        match event {
            ProbeEvent::Data(piece) => data.push(piece),
            ProbeEvent::Lost(lost) => losses.push(lost),
            _ => {}
        }
    }
    (data, losses)
}

/// What passed on the connection of a piece, written and read.
fn conversation(data: &[Data<'static>], of: &Data<'_>) -> [Vec<u8>; 2] {
    [Direction::Write, Direction::Read].map(|direction| {
        let pieces: Vec<_> = data
            .iter()
            .filter(|piece| piece.connection == of.connection && piece.direction == direction)
            .cloned()
            .collect();
        joined(&pieces)
    })
}

#[test]
fn a_direction_whose_partner_is_not_found_stands_alone_and_says_so() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = attach();
    let mut layer = Layer::new(state(), state());
    // Not a vtable.
    layer.memory[5] = 0;
    layer.write(DATA, REQUEST);
    layer.read(DATA, RESPONSE);
    let (data, _) = seen(&mut tracer);
    assert_eq!(data.len(), 2);
    assert_ne!(data[0].connection, data[1].connection);
    assert!(data.iter().all(|piece| piece.unpaired && !piece.joined_late));
}

#[test]
fn records_that_were_missed_begin_a_connection_joined_late_and_are_counted() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = attach();
    let mut layer = Layer::new(state(), state());
    layer.write(DATA, REQUEST);
    layer.read(DATA, RESPONSE);
    layer.decrypted += 3;
    layer.read(DATA, b"rest");
    layer.write(DATA, REQUEST);
    let (data, losses) = seen(&mut tracer);
    assert_eq!(
        conversation(&data, &data[0]),
        [REQUEST.to_vec(), RESPONSE.to_vec()]
    );
    assert_eq!(
        conversation(&data, &data[2]),
        [REQUEST.to_vec(), b"rest".to_vec()],
        "together again"
    );
    assert!(data[0].connection < data[2].connection);
    assert!(!data[0].joined_late && data[2].joined_late && !data[2].unpaired);
    assert_eq!(
        losses
            .iter()
            .map(|lost| (lost.reason, lost.records))
            .collect::<Vec<_>>(),
        [(LossReason::Unseen, 3)]
    );
}

#[test]
fn a_key_update_before_a_request_stays_on_the_connection() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = attach();
    let mut layer = Layer::new(state(), state());
    layer.write(DATA, REQUEST);
    layer.read(DATA, RESPONSE);
    let old = layer.memory[2];
    layer.update_written(state());
    layer.write(DATA, REQUEST);
    layer.update_read(state());
    layer.read(DATA, RESPONSE);
    // The memory of the first key is another connection's by now, and the updated one lives on.
    let mut other = Layer::new(old, state());
    other.write(DATA, REQUEST);
    layer.write(DATA, REQUEST);
    let (data, _) = seen(&mut tracer);
    let [written, read] = conversation(&data, &data[0]);
    assert_eq!(written, REQUEST.repeat(3));
    assert_eq!(read, RESPONSE.repeat(2));
    assert_eq!(conversation(&data, &data[4]), [REQUEST.to_vec(), Vec::new()]);
    assert_ne!(data[4].connection.address, data[0].connection.address);
}

#[test]
fn a_server_in_the_memory_of_a_client_that_got_no_answer_is_another_connection() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = attach();
    let (encrypter, decrypter) = (state(), state());
    let mut client = Layer::new(encrypter, decrypter);
    client.write(DATA, REQUEST);
    let mut server = Layer::new(encrypter, decrypter);
    server.read(DATA, REQUEST);
    server.write(DATA, RESPONSE);
    let mut client = Layer::new(encrypter, decrypter);
    client.write(DATA, REQUEST);
    let (data, losses) = seen(&mut tracer);
    assert_eq!(conversation(&data, &data[0]), [REQUEST.to_vec(), Vec::new()]);
    assert_eq!(
        conversation(&data, &data[1]),
        [RESPONSE.to_vec(), REQUEST.to_vec()]
    );
    assert_eq!(conversation(&data, &data[3]), [REQUEST.to_vec(), Vec::new()]);
    assert!(data.iter().all(|piece| !piece.joined_late && !piece.unpaired));
    assert_eq!(losses, []);
}

#[test]
fn what_a_failed_decryption_left_in_place_is_not_read_again() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = attach();
    let mut layer = Layer::new(state(), state());
    layer.write(DATA, REQUEST);
    layer.read(DATA, RESPONSE);
    layer.fail_to_read(RESPONSE);
    layer.read(DATA, b"after");
    let (data, losses) = seen(&mut tracer);
    let [_, read] = conversation(&data, &data[0]);
    assert_eq!(read, [RESPONSE, b"after"].concat());
    assert_eq!(losses, []);
}

#[test]
fn a_record_of_many_pieces_is_whole_as_far_as_programs_go_and_then_a_hole() {
    if !is_root() {
        return;
    }
    let _turn = stand_in::take_turns();
    let mut tracer = attach();
    let text = [REQUEST, &b"0123456789".repeat(50)].concat();
    for (pieces, whole) in [(1, true), (9, true), (150, true), (400, false)] {
        let mut layer = Layer::new(state(), state());
        let size = text.len() / pieces;
        let mut slices: Vec<&[u8]> = text.chunks(size.max(1)).take(pieces - 1).collect();
        let taken: usize = slices.iter().map(|slice| slice.len()).sum();
        slices.push(&text[taken..]);
        layer.write_pieces(&slices);
        layer.write(DATA, b"next");
        let (data, losses) = seen(&mut tracer);
        let stream = [&text[1..text.len() - 1], b"next"].concat();
        for piece in &data {
            let start = usize::try_from(piece.stream_offset).unwrap();
            assert_eq!(*piece.bytes, stream[start..start + piece.bytes.len()]);
        }
        let seen: u64 = data.iter().map(|piece| piece.bytes.len() as u64).sum();
        let lost: u64 = losses.iter().map(|lost| lost.bytes).sum();
        assert_eq!(seen + lost, stream.len() as u64, "{pieces} pieces");
        assert_eq!(lost == 0, whole, "{pieces} pieces");
        assert!(data.len() as u64 > SLICES.min(pieces as u64));
    }
}
