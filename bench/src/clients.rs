//! What geophone adds to the CPU time of a boto3 program, against OpenTelemetry's instrumentation inside that program.

use anyhow::{Result, ensure};

use crate::Setup;
use crate::agent::Agent;
use crate::client::{Client, Work, cpu_seconds};
use crate::report::{Report, Target, median};
use tracer_tests::fake::{FakeBedrock, Options};

const SECTION: &str = "one Bedrock call of a boto3 program, CPU time";

/// Adds the CPU time of a call bare, traced and instrumented, and the ratio that was promised.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Result<()> {
    let fake = FakeBedrock::start(&Options::default())?;
    for (operation, label) in [
        ("converse", "Converse"),
        ("stream", "ConverseStream of 50 events"),
    ] {
        let calls = if setup.quick { 100 } else { 400 };
        let work = Work {
            operation,
            calls,
            threads: 1,
            delay: 0,
            instrument: false,
        };
        let rounds = if setup.quick { 3 } else { 9 };
        let per_call = |seconds: f64| seconds / f64::from(calls) * 1e6;

        // Interleaved, so that a slow minute of the machine falls on all of them.
        let mut bare_client = Client::start(setup, &fake, work)?;
        let mut instrumented_client = Client::start(
            setup,
            &fake,
            Work {
                instrument: true,
                ..work
            },
        )?;
        let mut traced_client = Client::start(setup, &fake, work)?;
        let agent = Agent::attach(&setup.geophone, &[traced_client.pid])?;
        let (mut bare, mut traced, mut instrumented, mut agents) = (vec![], vec![], vec![], vec![]);
        for _ in 0..rounds {
            bare.push(per_call(bare_client.round()?));
            let before = cpu_seconds(agent.pid())?;
            traced.push(per_call(traced_client.round()?));
            agents.push(per_call(cpu_seconds(agent.pid())? - before));
            instrumented.push(per_call(instrumented_client.round()?));
        }
        let spans = agent.stop()?.spans;
        ensure!(
            spans == u64::from(calls * rounds),
            "geophone gave {spans} spans for {} calls",
            calls * rounds
        );

        let (bare, traced, instrumented) = (median(bare), median(traced), median(instrumented));
        let added_traced = traced - bare;
        let added_instrumented = instrumented - bare;
        report.add(SECTION, format!("{label}, bare"), bare, "µs");
        report.add(
            SECTION,
            format!("{label}, added in the program by geophone"),
            added_traced,
            "µs",
        );
        report.add(
            SECTION,
            format!("{label}, added in the program by the instrumentation"),
            added_instrumented,
            "µs",
        );
        report.add(
            SECTION,
            format!("{label}, geophone's own process"),
            median(agents),
            "µs",
        );
        report.add_against(
            SECTION,
            format!("{label}, added by geophone / by the instrumentation"),
            added_traced / added_instrumented,
            "×",
            Target::AtMost(0.1),
        );
    }
    Ok(())
}
