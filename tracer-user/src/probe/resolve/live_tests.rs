//! The places that were resolved give the exact plaintext, on versions of OpenSSL that differ in how they pass the count.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::tests::{bundled_libssl, system_libssl};
use crate::event::{Direction, ProbeEvent};
use crate::probe::{Options, Scope, Tracer};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/probe/resolve/live_tests.py");

/// Plaintext by connection, read and written.
type Streams = BTreeMap<u64, [Vec<u8>; 2]>;

/// Runs the client with one libssl under live probes.
fn traced(libssl: &Path) -> Option<Streams> {
    let mut tracer = match Tracer::start(Options::new(Scope::Processes(Vec::new()))) {
        Ok(tracer) => tracer,
        Err(error) => {
            eprintln!("NOT RUN: live probes need root: {error}");
            return None;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-out",
        ])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());

    let mut client = Command::new("python3")
        .arg(CLIENT)
        .args([libssl, &certificate, &key])
        .env("LD_LIBRARY_PATH", libssl.parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    tracer.trace_process(client.id()).unwrap();
    writeln!(client.stdin.as_mut().unwrap(), "go").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "done");
    assert!(client.wait().unwrap().success());

    let mut streams = Streams::new();
    let mut is_over = false;
    let begin = Instant::now();
    while !is_over && begin.elapsed() < Duration::from_secs(20) {
        tracer
            .poll(Duration::from_millis(100), &mut |event| match event {
                ProbeEvent::Data(data) => {
                    assert_eq!(data.connection.process.pid, client.id());
                    let stream = &mut streams.entry(data.connection.address).or_default()
                        [usize::from(data.direction == Direction::Write)];
                    assert_eq!(data.stream_offset, stream.len() as u64, "no hole, nothing twice");
                    stream.extend_from_slice(&data.bytes);
                }
                ProbeEvent::ProcessExit { process, .. } => is_over |= process.pid == client.id(),
                _ => {}
            })
            .unwrap();
    }
    assert!(is_over, "the exit was seen");
    Some(streams)
}

fn proves(libssl: &Path) {
    let Some(streams) = traced(libssl) else { return };
    let question = b"plain extended filtered".to_vec();
    let answer = vec![b'x'; 40_000];
    let mut found: Vec<_> = streams.into_values().collect();
    found.sort_by_key(|[read, _]| read.len());
    assert!(
        found == [[question.clone(), answer.clone()], [answer, question]],
        "server and client, read and written: {:?}",
        found
            .iter()
            .map(|[read, written]| (String::from_utf8_lossy(read), String::from_utf8_lossy(written)))
            .collect::<Vec<_>>()
    );
}

#[test]
fn the_systems_openssl_gives_every_byte_once() {
    proves(&system_libssl());
}

#[test]
fn bundled_openssl_gives_every_byte_once() {
    let folder = tempfile::tempdir().unwrap();
    for release in ["2.9.5", "2.9.13"] {
        if let Some(libssl) = bundled_libssl(folder.path(), release) {
            proves(&libssl);
        }
    }
}
