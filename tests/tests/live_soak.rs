//! Many processes that come and go: the short form of `cargo xtask soak`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tracer_tests::environment::{can_trace, geophone};
use tracer_tests::soak::{Plan, run};

#[test]
fn processes_that_come_and_go_lose_nothing_and_leave_nothing() -> Result<()> {
    if !can_trace() {
        return Ok(());
    }
    let geophone = geophone()?;
    let folder = geophone.parent().context("a binary is in a folder")?;
    let plan = Plan {
        fake: folder.join("fake-bedrock"),
        geophone,
        time: Duration::from_secs(30),
        rounds: 2,
        processes: 14,
        streams: 50,
        pace_ms: 50,
    };
    let report = run(&plan, &mut |_| {})?;
    let findings = report.findings();
    ensure!(
        findings.is_empty(),
        "{}\n{}\ngeophone said:\n{}",
        findings.join("\n"),
        report.summary(),
        report.said()
    );
    Ok(())
}
