//! A tracer that was there before its clients, under live probes.

use anyhow::{Result, ensure};
use tracer_tests::calls::{CLAUDE, Call, claude_repertoire};
use tracer_tests::client::{Build, Client, Http, Kind, Provider};
use tracer_tests::environment::{built_client, can_trace};
use tracer_tests::fake::scenario::Scenario;
use tracer_tests::fake::{FakeBedrock, Operation, Options};
use tracer_tests::harness::{Agent, match_spans};
use tracer_tests::program::DEADLINE;

/// The tracer is up before any of the clients is started: each is traced from its first call.
#[test]
fn a_tracer_that_is_up_already_sees_first_calls() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let folders = [
        ("rust", ""),
        ("go", ""),
        ("node", "node_modules/@oven/bun-linux-x64/bin"),
        ("node", "node_modules/@deno/linux-x64-glibc"),
    ]
    .into_iter()
    .map(|(set, folder)| built_client(set, folder))
    .collect::<Result<Vec<_>>>()?;
    let agent = Agent::run_with_programs_in(&folders)?;
    let mut findings = Vec::new();
    for kind in [
        Kind::Bun,
        Kind::Deno,
        Kind::JavaScriptSdk,
        Kind::AnthropicJavaScript,
        Kind::RustSdk { stripped: false },
        Kind::RustSdk { stripped: true },
        Kind::Hyper(Provider::Ring, Build::Debug, Http::Two),
        Kind::Hyper(Provider::AwsLc, Build::FatStripped, Http::One),
        Kind::Go {
            stripped: false,
            http: Http::One,
        },
        Kind::Go {
            stripped: true,
            http: Http::Two,
        },
    ] {
        if let Err(finding) = started_under(&agent, kind) {
            findings.push(format!("{kind:?}: {finding:#}"));
        }
    }
    ensure!(findings.is_empty(), "{}\n{}", findings.join("\n"), agent.stderr());
    agent.stop()?;
    Ok(())
}

fn started_under(agent: &Agent, kind: Kind) -> Result<()> {
    let calls = match kind {
        Kind::AnthropicJavaScript => claude_repertoire(),
        _ => Operation::ALL
            .map(|operation| Call::new(operation, CLAUDE, &Scenario::default()))
            .to_vec(),
    };
    let fake = FakeBedrock::start(&Options::http2())?;
    let mut client = Client::start(kind, &fake)?;
    let pid = client.pid();
    client.make(&calls, 2)?;
    client.finish()?;
    let served = fake.log().wait_for(calls.len(), DEADLINE);
    match_spans(&agent.spans_of(&[pid], calls.len())?, &served)
}
