//! Backends as they are met: fine, slow, dead, refusing.

mod backend;
mod grpc;
mod http;
mod logs;
mod metrics;
mod tls;

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use tonic::transport::server::{Router, TcpIncoming};

use crate::export::tests::{PATIENCE, process, span};
use crate::export::{Format, OtlpSettings, OutletSettings, Outlets, Report, Signal, WhenFull};

/// Settings as a user writes them.
fn settings(variables: &[(&str, &str)]) -> OtlpSettings {
    OtlpSettings::from_environment(Signal::Traces, |name| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some((*value).to_owned())
    })
    .expect("these settings are fine")
}

fn open(otlp: OtlpSettings) -> Outlets {
    Outlets::open(OutletSettings {
        format: Format::None,
        otlp: Some(otlp),
        when_full: WhenFull::DropOldest,
        ..OutletSettings::default()
    })
    .expect("these outlets can be opened")
}

/// Sends so many spans of one process and ends.
fn send(otlp: OtlpSettings, spans: u8, patience: Duration) -> Report {
    let mut outlets = open(otlp);
    let process = process(4242, "worker");
    for number in 1..=spans {
        outlets.span(span(&process, number));
    }
    outlets.shutdown(patience)
}

/// Does something beside a server for gRPC, which ends with it.
fn beside_grpc<R>(router: Router, work: impl FnOnce(SocketAddr) -> R) -> R {
    let (ready, is_ready) = channel();
    let (running, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into()).expect("a port");
            ready
                .send(incoming.local_addr().expect("it is bound"))
                .expect("the test waits");
            tokio::select! {
                result = router.serve_with_incoming(incoming) => result.expect("it serves"),
                // The test is over.
                _ = stopped => {}
            }
        });
    });
    let done = work(is_ready.recv_timeout(PATIENCE).expect("the server starts"));
    drop(running);
    server.join().expect("the server ends");
    done
}

/// The only problem that a report has.
fn problem(report: &Report) -> &str {
    match report.problems.as_slice() {
        [problem] => problem,
        problems => panic!("{} problems: {problems:?}", problems.len()),
    }
}
