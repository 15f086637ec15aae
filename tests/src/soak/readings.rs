//! What the agent holds and uses, read from outside: `/proc`, and the gauges that it serves itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Names of tables and how many entries each has.
pub(super) type Tables = BTreeMap<String, u64>;

/// The agent at one moment.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// `VmRSS`.
    pub(super) memory_kib: u64,
    /// `VmHWM`: the most it ever was.
    pub(super) peak_kib: u64,
    pub(super) threads: u64,
    pub(super) files: u64,
    /// Maps, programs and links of BPF, of which each is an open file.
    pub(super) kernel_objects: u64,
    /// Time on a processor since it began.
    pub(super) cpu_seconds: f64,
    /// Time of its programs in the kernel on processors, if that is measured.
    pub(super) kernel_seconds: f64,
    /// Probes in place.
    pub(super) probes: u64,
    /// What it remembers, and what the programs in the kernel do.
    pub(super) tables: Tables,
}

impl Reading {
    /// Reads process `pid`, which serves its metrics at `address`.
    pub(super) fn take(pid: u32, address: &str) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.context("no such field")?.parse().context("no number")
        };
        let links: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))?
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .map(|link| link.to_string_lossy().into_owned())
            .collect();
        let bpf = |link: &&String| link.starts_with("anon_inode:bpf");
        let Gauges { probes, tables } = Gauges::read(&get(address, "/metrics")?);
        Ok(Self {
            memory_kib: field("VmRSS:")?,
            peak_kib: field("VmHWM:")?,
            threads: field("Threads:")?,
            files: links.len() as u64,
            kernel_objects: links.iter().filter(bpf).count() as u64,
            cpu_seconds: cpu_seconds(pid)?,
            kernel_seconds: kernel_seconds(pid)?,
            probes,
            tables,
        })
    }
}

/// User and system time, fields 14 and 15 of `proc_pid_stat(5)`.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, behind_name) = stat.rsplit_once(')').context("no name of a process")?;
    let ticks = behind_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u32>)
        .sum::<Result<u32, _>>()?;
    let ticks_per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(f64::from(ticks) / f64::from(ticks_per_second))
}

/// Time that the programs have run which a process holds open (`bpf_prog_show_fdinfo` of `kernel/bpf/syscall.c`).
fn kernel_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A file that was closed meanwhile says nothing.
        let about = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = about.lines().find_map(|line| line.strip_prefix("run_time_ns:"));
        nanoseconds += field.map_or(Ok(0), |field| field.trim().parse::<u64>())?;
    }
    Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
}

/// Of all metrics those that must come back to where they were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Gauges {
    probes: u64,
    tables: Tables,
}

impl Gauges {
    fn read(metrics: &str) -> Self {
        let mut gauges = Self::default();
        for line in metrics.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse() else { continue };
            if series.starts_with("geophone_probes") {
                gauges.probes = value;
            }
            let table = series
                .strip_prefix("geophone_table_entries{")
                .and_then(|labels| labels.split_once("geophone_table=\""))
                .and_then(|(_, rest)| rest.split_once('"'));
            if let Some((name, _)) = table {
                gauges.tables.insert(name.to_owned(), value);
            }
        }
        gauges
    }
}

/// The body of an answer over HTTP/1.1.
pub(super) fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(crate::program::DEADLINE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without a body")?;
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_found_among_other_metrics() {
        let metrics = "\
# TYPE geophone_probes gauge
geophone_probes{service_name=\"geophone\"} 42
geophone_table_entries{service_name=\"geophone\",geophone_table=\"kernel_calls\"} 3
geophone_spans_total{service_name=\"geophone\"} 7
";
        let tables = Tables::from([("kernel_calls".to_owned(), 3)]);
        assert_eq!(Gauges::read(metrics), Gauges { probes: 42, tables });
    }
}
