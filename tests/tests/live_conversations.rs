//! Streams in both directions at once, under live probes and, tapped by the fake, without them.

mod tapped;

use anyhow::{Context as _, Result};
use tracer_tests::calls::{Call, SONIC};
use tracer_tests::client::Kind;
use tracer_tests::environment::can_trace;
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{Operation, Options};
use tracer_tests::harness::{match_spans, prove, replay};

const KINDS: [Kind; 3] = [
    Kind::JavaScriptSdk,
    Kind::RustSdk { stripped: false },
    Kind::RustSdk { stripped: true },
];

fn conversations() -> Vec<Call> {
    let call = Call::new(
        Operation::InvokeModelWithBidirectionalStream,
        SONIC,
        &Scenario::default(),
    );
    vec![call; 3]
}

#[test]
fn without_a_kernel() -> Result<()> {
    for kind in KINDS {
        let recording = tapped::record(kind, &conversations(), 3, &Options::http2())?;
        let (spans, said) = replay(&recording.file())?;
        match_spans(&spans, &recording.served).with_context(|| format!("{kind:?}; replay said:\n{said}"))?;
    }
    Ok(())
}

#[test]
fn under_live_probes() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    for kind in KINDS {
        prove(kind, &Options::http2(), &conversations(), 3)?;
    }
    Ok(())
}
