//! What reading a header block of HTTP/2 costs, beside the h2 crate.
//!
//! h2 keeps its decoder to itself, so it is reached through its `Codec`, which takes frames apart, decodes their header blocks
//! and builds a `HeaderMap`. Ours is measured in two ways on the same bytes: with the frame header read and every field looked
//! at, which is what the agent does, and with a `HeaderMap` built as well, which is what h2 does.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use h2::Codec;
use h2::frame::{Frame, Headers, Pseudo, StreamId};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tracer_user::event::{ConnectionKey, Data, Direction, Monotonic, ProbeEvent, ProcessKey};
use tracer_user::hpack::frame::FrameHeader;
use tracer_user::hpack::{Decoder, Field};
use tracer_user::scrub::Scrubber;

use crate::Setup;
use crate::report::{Report, Target, median};

const SECTION: &str = "a header block of HTTP/2 (h2: its Codec, which reads frames and builds a HeaderMap)";

/// Header blocks in one pass: one connection.
const BLOCKS: u32 = 500;

/// Fields of each, pseudo fields aside.
const FIELDS: u64 = 6;

/// Reads a connection, and counts its fields.
type Pass = fn(&[u8]) -> Result<u64>;

/// Adds ns per block and the ratios.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    let rounds = if setup.quick { 31 } else { 301 };
    for (label, kind) in [
        ("signed anew", Requests::SignedAnew),
        ("never indexed", Requests::NeverIndexed),
        ("the same again", Requests::AllTheSame),
    ] {
        let stream = write(kind)?;
        let passes: [Pass; 3] = [looked_at, mapped, theirs];
        for pass in passes {
            ensure!(pass(&stream)? == u64::from(BLOCKS) * FIELDS, "fields are missing");
        }
        let octets = stream.len() - BLOCKS as usize * FrameHeader::LENGTH;
        report.add(
            SECTION,
            format!("{label}: length"),
            octets as f64 / f64::from(BLOCKS),
            "B",
        );
        // In turn, so that what else the machine does falls on all of them.
        let mut nanoseconds = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (times, pass) in nanoseconds.iter_mut().zip(passes) {
                let start = Instant::now();
                black_box(pass(black_box(&stream))?);
                times.push(start.elapsed().as_nanos() as f64 / f64::from(BLOCKS));
            }
        }
        let [ours, mapped, theirs] = nanoseconds.map(median);
        let mut blanking = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            black_box(blanked(black_box(&stream)));
            blanking.push(start.elapsed().as_nanos() as f64 / f64::from(BLOCKS));
        }
        report.add(
            SECTION,
            format!("{label}: ours, every field looked at"),
            ours,
            "ns",
        );
        report.add(SECTION, format!("{label}: ours, into a HeaderMap"), mapped, "ns");
        report.add(SECTION, format!("{label}: h2"), theirs, "ns");
        report.add(
            SECTION,
            format!("{label}: blanking its credentials"),
            median(blanking),
            "ns",
        );
        report.add_against(
            SECTION,
            format!("{label}: ours to h2, both into a HeaderMap"),
            mapped / theirs,
            "×",
            Target::AtMost(2.0),
        );
    }
    Ok(())
}

/// What the blocks of a connection have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requests {
    /// What is signed changes from request to request: date, signature, ids. As the AWS SDKs send it.
    SignedAnew,
    /// The same, everything declared to be sensitive, so that every string is spelled out.
    NeverIndexed,
    /// From the second request on every field is an index, but for the signature, which h2 never puts into a table.
    AllTheSame,
}

/// The frames of a client, written by h2.
fn write(requests: Requests) -> Result<Vec<u8>> {
    let mut codec: Codec<_, Bytes> = Codec::new(tokio::io::join(tokio::io::empty(), Vec::new()));
    for number in 0..BLOCKS {
        let varied = if requests == Requests::AllTheSame {
            0
        } else {
            number
        };
        let mut fields = HeaderMap::new();
        let signature = format!(
            "{:064x}",
            u128::from(varied).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        );
        for (name, value) in [
            ("content-type", "application/json".to_owned()),
            ("content-length", (1000 + varied).to_string()),
            (
                "user-agent",
                "aws-sdk-rust/1.3.3 os/linux lang/rust/1.95.0".to_owned(),
            ),
            ("x-amz-date", format!("20260101T{varied:06}Z")),
            (
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/bedrock/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
                ),
            ),
            (
                "amz-sdk-invocation-id",
                format!("{varied:08x}-1111-2222-3333-444444444444"),
            ),
        ] {
            let mut value = HeaderValue::try_from(value)?;
            value.set_sensitive(requests == Requests::NeverIndexed || name == "authorization");
            fields.insert(HeaderName::from_static(name), value);
        }
        let uri = Uri::from_static(
            "https://bedrock-runtime.us-east-1.amazonaws.com/model/amazon.nova-micro-v1%3A0/converse",
        );
        let headers = Headers::new(
            StreamId::from(2 * number + 1),
            Pseudo::request(Method::POST, uri, None),
            fields,
        );
        let ready = std::future::poll_fn(|context| codec.poll_ready(context));
        ready.now_or_never().context("memory is always ready")??;
        codec.buffer(headers.into()).context("h2 refuses its own frame")?;
        let flushed = std::future::poll_fn(|context| codec.flush(context));
        flushed.now_or_never().context("memory is always ready")??;
    }
    Ok(codec.get_ref().writer().clone())
}

/// Looks at every field, as the agent does.
fn looked_at(stream: &[u8]) -> Result<u64> {
    let mut count = 0;
    decode(stream, |_, Field { name, value, .. }| {
        count += u64::from(!black_box(name).unwrap_or_default().starts_with(b":"));
        black_box(value);
    })?;
    Ok(count)
}

/// Builds what h2 builds.
fn mapped(stream: &[u8]) -> Result<u64> {
    let mut count = 0;
    let mut block = 0;
    let mut map = HeaderMap::new();
    let mut pseudo = Vec::new();
    decode(stream, |number, Field { name, value, .. }| {
        if number != block {
            block = number;
            count += std::mem::take(&mut map).len() as u64;
            pseudo.clear();
        }
        let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
        if name.starts_with(b":") {
            pseudo.push(Bytes::copy_from_slice(value));
        } else if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    })?;
    Ok(count + map.len() as u64)
}

/// Reads all frames of the stream; with each field goes the number of its block.
fn decode(stream: &[u8], mut each: impl FnMut(u32, Field<'_>)) -> Result<()> {
    let mut decoder = Decoder::new();
    let mut rest = stream;
    let mut number = 0;
    while let Some((octets, after)) = rest.split_first_chunk() {
        let header = FrameHeader::parse(octets);
        let (block, after) = after
            .split_at_checked(header.length as usize)
            .context("a frame is cut")?;
        decoder.decode(block, &mut |field| each(number, field))?;
        rest = after;
        number += 1;
    }
    Ok(())
}

/// Blanks the credentials of the stream, as it happens before anything else sees it.
fn blanked(stream: &[u8]) -> ProbeEvent<'_> {
    let connection = ConnectionKey {
        process: ProcessKey { pid: 1, start_ns: 1 },
        address: 1,
        generation: 0,
    };
    Scrubber::new().scrub(ProbeEvent::Data(Data {
        connection,
        direction: Direction::Write,
        thread: 1,
        time: Monotonic(1),
        stream_offset: 0,
        call_length: stream.len() as u64,
        call_offset: 0,
        joined_late: false,
        unpaired: false,
        bytes: Cow::Borrowed(stream),
    }))
}

/// Lets h2 read the stream.
fn theirs(stream: &[u8]) -> Result<u64> {
    let mut codec: Codec<_, Bytes> = Codec::new(tokio::io::join(stream, tokio::io::sink()));
    let mut count = 0;
    while let Some(frame) = codec.next().now_or_never().context("memory is always ready")? {
        let Frame::Headers(headers) =
            frame.map_err(|error| anyhow::anyhow!("h2 refuses its own block: {error:?}"))?
        else {
            continue;
        };
        let (pseudo, fields) = headers.into_parts();
        black_box(pseudo);
        count += fields.len() as u64;
    }
    Ok(count)
}
