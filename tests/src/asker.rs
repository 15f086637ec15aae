//! Asks a running geophone how it is, at the address that also serves Prometheus.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::program::DEADLINE;

/// Between two looks at metrics that are waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// A client of HTTP/1.1 that keeps its connection.
#[derive(Debug)]
pub struct Asker(BufReader<TcpStream>);

impl Asker {
    /// Connects to the address that this line of geophone's names: `metrics are at http://127.0.0.1:9464/metrics`.
    pub fn told_by(line: &str) -> Result<Self> {
        let address = line.split('/').nth(2).context("no address")?;
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Status and body.
    pub fn get(&mut self, path: &str) -> Result<(u16, String)> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no status")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body)?))
    }

    /// Sum of a metric over all lines whose labels hold this text.
    pub fn metric(&mut self, name: &str, label: &str) -> Result<f64> {
        let (status, text) = self.get("/metrics")?;
        ensure!(status == 200, "{status}: {text}");
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{')?;
            (found == name && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.sum())
    }

    /// Waits until a metric is at least this.
    pub fn wait_for(&mut self, name: &str, label: &str, least: f64) -> Result<f64> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let value = self.metric(name, label)?;
            if value >= least {
                return Ok(value);
            }
            ensure!(
                Instant::now() < deadline,
                "{name} with {label:?} stays at {value}, below {least}"
            );
            std::thread::sleep(PAUSE);
        }
    }
}
