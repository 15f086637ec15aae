//! Serves the fake Bedrock until standard input closes.
//!
//! The first line of standard output is JSON: `{"endpoint":"https://localhost:PORT","port":PORT,"ca":"/…/ca.pem"}`. With
//! `--served`, one JSON line follows for every response that ended.

use std::io::{Read as _, Write as _};

use anyhow::{Context, Result};
use clap::Parser;
use tracer_tests::fake::{FakeBedrock, Options, ServedLog, TlsVersions};

/// A fake Amazon Bedrock over real TLS, for tests and demonstrations.
#[derive(Debug, Parser)]
#[command(name = "fake-bedrock")]
struct Arguments {
    /// TLS versions to speak.
    #[arg(long, value_enum, default_value_t)]
    tls: TlsVersions,
    /// Offer HTTP/2 by ALPN.
    #[arg(long)]
    http2: bool,
    /// Speak without TLS.
    #[arg(long)]
    plain: bool,
    /// Print every response that ended as a line of JSON.
    #[arg(long)]
    served: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let fake = FakeBedrock::start(&Options {
        tls: arguments.tls,
        http2: arguments.http2,
        plain: arguments.plain,
        tap: None,
    })?;
    print_line(&serde_json::json!({
        "endpoint": fake.endpoint(),
        "port": fake.address().port(),
        "ca": fake.authority(),
    }))?;
    if arguments.served {
        let log = fake.log().clone();
        std::thread::spawn(move || print_served(&log));
    }
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .context("cannot read standard input")?;
    Ok(())
}

/// Prints what is served until nobody reads it any more.
fn print_served(log: &ServedLog) {
    let mut printed = 0;
    loop {
        for served in log.wait_beyond(printed, std::time::Duration::from_hours(1)) {
            if print_line(&served).is_err() {
                return;
            }
            printed += 1;
        }
    }
}

fn print_line(value: &impl serde::Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()?;
    Ok(())
}
