//! Ids of traces and spans: derived from what is observed, so that a replay gives the same.

use sha2::{Digest as _, Sha256};

use crate::bedrock::Call;
use crate::bedrock::call::{Origin, TraceHeaders};
use crate::event::ConnectionKey;
use crate::http::ExchangeNumber;

use super::span::{Parent, Span, SpanId, TraceId};

/// The flag `sampled` (W3C Trace Context, section 3.2.2.5.1): what geophone finds out by itself is always kept.
const SAMPLED: u8 = 1;

/// Place of a span in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent: Option<Parent>,
}

/// Ids of a call: beneath the loop that it belongs to, else those of its exchange.
pub(super) fn of_call(boot_id: &str, call: &Call) -> Place {
    let own = place(boot_id, &call.connection, call.exchange, &call.trace);
    match &call.tool_loop {
        Some(origin) => Place {
            span_id: own.span_id,
            ..beneath(&of_loop(boot_id, origin))
        },
        None => own,
    }
}

/// Ids of a loop that began with a call: where that call would be.
pub(super) fn of_loop(boot_id: &str, origin: &Origin) -> Place {
    let first = place(boot_id, &origin.connection, origin.exchange, &origin.trace);
    Place {
        span_id: derived(&first, "tool loop", ""),
        ..first
    }
}

/// Ids of a tool that ran in a loop.
pub(super) fn of_tool(boot_id: &str, origin: &Origin, tool: &str) -> Place {
    let around = of_loop(boot_id, origin);
    Place {
        span_id: derived(&around, "tool", tool),
        ..beneath(&around)
    }
}

/// The span that the caller names as the parent, and its trace.
pub(super) fn caller(headers: &TraceHeaders) -> Option<(TraceId, Option<SpanId>)> {
    let (trace_id, parent) = told(headers)?;
    Some((trace_id, parent.map(|parent| parent.span_id)))
}

/// The place of a child; its own id is still that of the parent.
fn beneath(parent: &Place) -> Place {
    let above = parent.parent.as_ref();
    Place {
        trace_id: parent.trace_id,
        span_id: parent.span_id,
        parent: Some(Parent {
            span_id: parent.span_id,
            flags: above.map_or(SAMPLED, |above| above.flags),
            trace_state: above.map(|above| above.trace_state.clone()).unwrap_or_default(),
        }),
    }
}

/// An id that a place gives to something that belongs to it.
fn derived(place: &Place, kind: &str, name: &str) -> SpanId {
    let mut hash = Sha256::new();
    hash.update(place.trace_id.0);
    hash.update(place.span_id.0);
    hash.update((kind.len() as u64).to_be_bytes());
    hash.update(kind);
    hash.update(name);
    SpanId(never_zero(array(&hash.finalize())))
}

/// Ids of an exchange: under the caller's span where the request carries one, else a trace of its own.
pub(super) fn place(
    boot_id: &str,
    connection: &ConnectionKey,
    exchange: ExchangeNumber,
    headers: &TraceHeaders,
) -> Place {
    let digest = digest(boot_id, connection, exchange);
    let (trace, rest) = digest.split_at(16);
    let span_id = SpanId(never_zero(array(rest)));
    let own = TraceId(never_zero(array(trace)));
    match told(headers) {
        Some((trace_id, parent)) => Place {
            trace_id,
            span_id,
            parent,
        },
        None => Place {
            trace_id: own,
            span_id,
            parent: None,
        },
    }
}

/// The id of a step of a call, by the call's span and the step's number.
pub(super) fn of_step(call: &Span, step: usize) -> SpanId {
    let mut hash = Sha256::new();
    hash.update(call.trace_id.0);
    hash.update(call.span_id.0);
    hash.update((step as u64).to_be_bytes());
    SpanId(never_zero(array(&hash.finalize())))
}

/// Trace and parent that headers tell.
fn told(headers: &TraceHeaders) -> Option<(TraceId, Option<Parent>)> {
    headers
        .traceparent
        .as_deref()
        .and_then(|text| w3c(text, headers.tracestate.as_deref()))
        .or_else(|| headers.amazon.as_deref().and_then(amazon))
}

/// Everything that tells one exchange from all others, each part at a fixed length or with its length before it.
fn digest(boot_id: &str, connection: &ConnectionKey, exchange: ExchangeNumber) -> [u8; 32] {
    let ConnectionKey {
        process,
        address,
        generation,
    } = connection;
    let mut hash = Sha256::new();
    hash.update((boot_id.len() as u64).to_be_bytes());
    hash.update(boot_id);
    hash.update(process.pid.to_be_bytes());
    hash.update(process.start_ns.to_be_bytes());
    hash.update(address.to_be_bytes());
    hash.update(generation.to_be_bytes());
    hash.update(exchange.0.to_be_bytes());
    hash.finalize().into()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk::<N>().copied().unwrap_or([1; N])
}

/// All zeros mean "no id" (W3C Trace Context, section 3.2.2.3).
fn never_zero<const N: usize>(mut id: [u8; N]) -> [u8; N] {
    if let Some(last) = id.last_mut().filter(|last| **last == 0) {
        *last = 1;
    }
    id
}

/// Reads `traceparent`: `VERSION-TRACE-PARENT-FLAGS` in lower-case hex (W3C Trace Context, section 3.2).
fn w3c(text: &str, state: Option<&str>) -> Option<(TraceId, Option<Parent>)> {
    let mut fields = text.split('-');
    let [version] = hex::<1>(fields.next()?)?;
    let trace_id = hex::<16>(fields.next()?)?;
    let span_id = hex::<8>(fields.next()?)?;
    let [flags] = hex::<1>(fields.next()?)?;
    // A later version may have more fields, this one has none.
    let known = version != 0xff && (version != 0 || fields.next().is_none());
    let parent = Parent {
        span_id: SpanId(span_id),
        flags,
        trace_state: state.unwrap_or_default().to_owned(),
    };
    (known && trace_id != [0; 16] && span_id != [0; 8]).then_some((TraceId(trace_id), Some(parent)))
}

/// Reads `X-Amzn-Trace-Id`: `Root=1-TIME-UNIQUE;Parent=SPAN;Sampled=1` (AWS X-Ray developer guide, tracing header).
fn amazon(text: &str) -> Option<(TraceId, Option<Parent>)> {
    let field = |name: &str| {
        text.split(';').find_map(|field| {
            let (key, value) = field.trim().split_once('=')?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let (time, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
    let mut trace_id = [0; 16];
    let (first, last) = trace_id.split_at_mut(4);
    first.copy_from_slice(&hex::<4>(time)?);
    last.copy_from_slice(&hex::<12>(unique)?);
    let parent = field("Parent")
        .and_then(hex::<8>)
        .filter(|span_id| *span_id != [0; 8])
        .map(|span_id| Parent {
            span_id: SpanId(span_id),
            flags: u8::from(field("Sampled") == Some("1")),
            trace_state: String::new(),
        });
    (trace_id != [0; 16]).then_some((TraceId(trace_id), parent))
}

/// Exactly `N` bytes in lower-case hex.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ProcessKey;

    const CONNECTION: ConnectionKey = ConnectionKey {
        process: ProcessKey { pid: 42, start_ns: 7 },
        address: 0x7f00_0000_1000,
        generation: 3,
    };

    fn own(connection: &ConnectionKey, exchange: u64) -> Place {
        place(
            "boot",
            connection,
            ExchangeNumber(exchange),
            &TraceHeaders::default(),
        )
    }

    #[test]
    fn ids_repeat_and_tell_everything_apart() {
        let first = own(&CONNECTION, 0);
        assert_eq!(first, own(&CONNECTION, 0));
        assert_ne!(first.trace_id.0[..8], first.span_id.0[..]);
        let mut next = CONNECTION;
        next.generation += 1;
        let mut older = CONNECTION;
        older.process.start_ns += 1;
        for other in [own(&CONNECTION, 1), own(&next, 0), own(&older, 0)] {
            assert_ne!(first.trace_id, other.trace_id);
            assert_ne!(first.span_id, other.span_id);
        }
        assert_eq!(never_zero([0; 8]), [0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn the_callers_span_is_the_parent() {
        let headers = TraceHeaders {
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            tracestate: Some("vendor=1".into()),
            amazon: Some("Root=1-d44c213c-792360fb9074bfd2f5334bad;Parent=973420d2413e6885;Sampled=1".into()),
        };
        let place = place("boot", &CONNECTION, ExchangeNumber(0), &headers);
        assert_eq!(place.trace_id.0[0], 0x0a);
        let parent = place.parent.expect("the header names one");
        assert_eq!(parent.span_id.0, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
        assert_eq!((parent.flags, parent.trace_state.as_str()), (1, "vendor=1"));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(w3c(text, None), None, "{text}");
        }
        assert!(
            w3c(
                "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
                None
            )
            .is_some()
        );
    }

    #[test]
    fn amazons_header_gives_trace_and_parent() {
        let (trace_id, parent) =
            amazon("Self=1-1-2; Root=1-d44c213c-792360fb9074bfd2f5334bad;Parent=973420d2413e6885;Sampled=1")
                .expect("a root");
        assert_eq!(trace_id.0[..4], [0xd4, 0x4c, 0x21, 0x3c]);
        assert_eq!(
            parent.map(|parent| (parent.span_id.0[0], parent.flags)),
            Some((0x97, 1))
        );
        let (_, parent) = amazon("Root=1-d44c213c-792360fb9074bfd2f5334bad").expect("a root");
        assert_eq!(parent, None);
        for text in [
            "",
            "Root=2-d44c213c-792360fb9074bfd2f5334bad",
            "Root=1-d44c213c",
            "Parent=973420d2413e6885",
        ] {
            assert_eq!(amazon(text), None, "{text}");
        }
    }
}
