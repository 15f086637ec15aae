//! Clients of many kinds that start, call and end: some by themselves, some at once, some by `kill -9`.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Plan;
use super::service::Facts;
use crate::calls::{CLAUDE, Call, NOVA, TITAN};
use crate::cgroup::ControlGroup;
use crate::client::{Build, Client, Http, Kind, Provider, Seen};
use crate::fake::Operation;
use crate::fake::scenario::{Answer, Scenario};

/// One of each way to find a TLS library, over both versions of HTTP.
pub(super) const KINDS: [Kind; 11] = [
    Kind::Boto3,
    Kind::Go {
        stripped: true,
        http: Http::Two,
    },
    Kind::Hyper(Provider::Ring, Build::Release, Http::Two),
    Kind::Node,
    Kind::Bun,
    Kind::Hyper(Provider::AwsLc, Build::FatStripped, Http::One),
    Kind::Httpx,
    Kind::Go {
        stripped: false,
        http: Http::One,
    },
    Kind::NodeFetch,
    Kind::Deno,
    Kind::RustSdk { stripped: true },
];

/// Calls that one process has under way at a time.
const THREADS: usize = 5;

/// Streams of a process that is killed: so many are whole before…
const WHOLE: usize = 5;
/// …and so many are in their midst.
const CUT: usize = 4;

/// The container that some of the processes seem to be in.
pub(super) const CONTAINER: &str = "7f1c0ffee5eed5a1757a4d9be4f9a2b31e8d2c6f05b7a9483d1c2b3a49586776";

/// How a process is to live and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Makes all its streams and ends.
    Whole,
    /// Makes one call and is gone; in a container.
    Brief,
    /// Is killed in the middle of its streams.
    Killed,
}

impl Fate {
    /// Seven, so that every kind of client meets every fate.
    const TURNS: [Fate; 7] = [
        Fate::Whole,
        Fate::Brief,
        Fate::Whole,
        Fate::Killed,
        Fate::Whole,
        Fate::Brief,
        Fate::Whole,
    ];
}

/// A process that has lived.
#[derive(Debug)]
pub(super) struct Life {
    /// Stands in each of its requests as `max_tokens`, and so in what was served and in the spans.
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) fate: Fate,
    pub(super) pid: u32,
    /// The program, as the command line spells it.
    pub(super) program: String,
    /// Calls that were begun.
    pub(super) calls: usize,
}

/// Starts the clients, and gives each its number.
#[derive(Debug)]
pub(super) struct Crowd<'a> {
    plan: &'a Plan,
    service: &'a Facts,
    container: ControlGroup,
    lives: AtomicU64,
}

impl<'a> Crowd<'a> {
    pub(super) fn new(plan: &'a Plan, service: &'a Facts) -> Result<Self> {
        Ok(Self {
            plan,
            service,
            container: ControlGroup::new(&format!("docker-{CONTAINER}.scope"))?,
            lives: AtomicU64::new(0),
        })
    }

    /// A client that is started and does nothing yet.
    pub(super) fn idle(&self, kind: Kind) -> Result<Client> {
        Client::run(&mut self.command(kind)?)
    }

    /// As many processes at a time as the plan says, one after the other until `end`, and to the end of the last. What went
    /// wrong in one of them ends the others too, after their lives.
    pub(super) fn live_until(&self, end: Instant) -> Result<Vec<Life>> {
        let lived = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            let places: Vec<_> = (0..self.plan.processes)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while Instant::now() < end {
                            let life = self.live()?;
                            lived.lock().unwrap_or_else(PoisonError::into_inner).push(life);
                        }
                        Ok(())
                    })
                })
                .collect();
            places.into_iter().try_for_each(|place| {
                place
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread of the soak panicked"))?
            })
        })?;
        Ok(lived.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next life, from its beginning to its end.
    fn live(&self) -> Result<Life> {
        let turn = self.lives.fetch_add(1, Ordering::Relaxed);
        let of = |count: usize| usize::try_from(turn).map(|turn| turn % count);
        let kind = KINDS[of(KINDS.len())?];
        let fate = Fate::TURNS[of(Fate::TURNS.len())?];
        let mut command = self.command(kind)?;
        let program = command.get_program().to_string_lossy().into_owned();
        if fate == Fate::Brief {
            command = self.contained(&command);
        }
        let number = FIRST_LIFE + turn;
        let mut lived = || -> Result<(u32, usize)> {
            let mut client = Client::run(&mut command)?;
            let pid = client.pid();
            let calls = match fate {
                Fate::Whole => self.whole(client, number)?,
                Fate::Brief => {
                    client.send(&[stream(number, 0, 0)], &json!({"threads": 1}))?;
                    client.ask_to_end();
                    unharmed(&client.collect(1)?)?;
                    client.finish()?;
                    1
                }
                Fate::Killed => self.killed(client, number)?,
            };
            Ok((pid, calls))
        };
        let (pid, calls) = lived().with_context(|| format!("{kind:?}, {fate:?}"))?;
        Ok(Life {
            number,
            kind,
            fate,
            pid,
            program,
            calls,
        })
    }

    fn whole(&self, mut client: Client, number: u64) -> Result<usize> {
        let Plan { streams, pace_ms, .. } = *self.plan;
        let calls: Vec<Call> = (0..streams).map(|index| stream(number, index, pace_ms)).collect();
        unharmed(&client.make(&calls, THREADS)?)?;
        client.finish()?;
        Ok(calls.len())
    }

    /// The long streams are of different lengths and begin together; when the shortest is over, all others are in their
    /// midst.
    fn killed(&self, mut client: Client, number: u64) -> Result<usize> {
        let pace = self.plan.pace_ms;
        let calls: Vec<Call> = (0..WHOLE)
            .map(|index| stream(number, index, pace))
            .chain((0..=CUT).map(|index| {
                let scenario = Scenario {
                    chunks: if index == 0 { 12 } else { 200 },
                    delay_ms: pace,
                    size: 4_000,
                    ..Scenario::default()
                };
                numbered(Call::new(Operation::ConverseStream, CLAUDE, &scenario), number)
            }))
            .collect();
        client.send(&calls, &json!({"threads": THREADS}))?;
        unharmed(&client.collect_first(WHOLE + 1)?)?;
        client.kill()?;
        Ok(calls.len())
    }

    fn command(&self, kind: Kind) -> Result<Command> {
        kind.command_to(&self.service.endpoint, &self.service.authority)
    }

    /// The same command in the container: a shell goes there and becomes the program.
    fn contained(&self, command: &Command) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", r#"echo $$ > "$0" && exec "$@""#])
            .arg(self.container.processes())
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell
    }
}

/// Number of the first life. Lower ones are those of clients that prepare the ground.
const FIRST_LIFE: u64 = 1_000;

/// The call of a client that prepares the ground.
pub(super) fn first_call() -> Call {
    numbered(
        Call::new(Operation::ConverseStream, CLAUDE, &Scenario::default()),
        1,
    )
}

/// One of the streams that a process makes: of both operations, all body families, different lengths.
fn stream(number: u64, index: usize, pace_ms: u64) -> Call {
    let (operation, model) = match index % 4 {
        0 => (Operation::ConverseStream, CLAUDE),
        1 => (Operation::InvokeModelWithResponseStream, CLAUDE),
        2 => (Operation::ConverseStream, NOVA),
        _ => (Operation::InvokeModelWithResponseStream, TITAN),
    };
    let calls_tool = index % 20 == 5;
    let scenario = Scenario {
        chunks: u32::try_from(6 + index * 7 % 13).unwrap_or(6),
        size: 300 * (index % 11),
        delay_ms: pace_ms,
        answer: if calls_tool { Answer::Tool } else { Answer::Text },
        ..Scenario::default()
    };
    let call = numbered(Call::new(operation, model, &scenario), number);
    if calls_tool { call.with_tools() } else { call }
}

fn numbered(mut call: Call, number: u64) -> Call {
    call.parameters.max_tokens = Some(number);
    call
}

fn unharmed(seen: &[Seen]) -> Result<()> {
    let harmed = seen.iter().find(|seen| seen.error.is_some());
    ensure!(harmed.is_none(), "a client is harmed: {harmed:?}");
    Ok(())
}
