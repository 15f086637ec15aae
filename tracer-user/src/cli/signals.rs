//! Signals: the first asks to end, one more ends at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::rights::{self, Rights};

/// What signals have asked for so far.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Someone asked to end.
    end: AtomicBool,
    /// It was stopped, and goes on.
    continued: AtomicBool,
    /// Someone asked to read the settings again.
    reload: AtomicBool,
    /// Tracing has ended and the rest is being written: a signal now ends that too.
    draining: AtomicBool,
    /// Exit code for an end at once, when it is not told by the signal.
    exit_code: AtomicU8,
}

/// What SIGHUP asks of geophone itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HangUp {
    /// To end.
    Ends,
    /// To read the settings again; to end where the terminal is gone that geophone was started on.
    Reloads,
}

/// Who a signal is meant for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meant {
    /// geophone.
    Us,
    /// The command that geophone runs. The terminal sends Ctrl-C to both, so it is for the command to decide; any other is
    /// passed on, so that one sent to the whole process group may reach the command twice.
    Command(Pid),
}

impl Signals {
    /// Begins to listen, on a thread of its own. A signal that was ignored when geophone was started stays so, as
    /// `nohup` and background jobs want it.
    pub(super) fn listen(meant: Meant, hang_up: HangUp) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let ignored = ignored_signals();
        let listener = {
            let _context = runtime.enter();
            Listener {
                interrupt: listen_to(SignalKind::interrupt(), ignored)?,
                quit: listen_to(SignalKind::quit(), ignored)?,
                terminate: listen_to(SignalKind::terminate(), ignored)?,
                hang_up: listen_to(SignalKind::hangup(), ignored)?,
                go_on: listen_to(SignalKind::from_raw(Signal::CONT.as_raw()), ignored)?,
                reloads: hang_up == HangUp::Reloads,
                had_terminal: has_terminal(),
            }
        };
        let listening = Arc::clone(&shared);
        let rights = match meant {
            Meant::Us => Rights::NONE,
            Meant::Command(_) => Rights::SIGNALLING,
        };
        rights::spawn("signals", rights, move || {
            runtime.block_on(listener.run(meant, &listening));
        })?;
        Ok(Self { shared })
    }

    /// Whether to end.
    pub(super) fn asked_to_end(&self) -> bool {
        self.shared.end.load(Ordering::Relaxed)
    }

    /// Whether it was stopped since this was last asked, as Ctrl-Z does in a shell, and goes on.
    pub(super) fn went_on(&self) -> bool {
        self.shared.continued.swap(false, Ordering::Relaxed)
    }

    /// Whether to read the settings again, told once.
    pub(super) fn asked_to_reload(&self) -> bool {
        self.shared.reload.swap(false, Ordering::Relaxed)
    }

    /// From now on a signal ends the program at once. With this exit code, if there is one.
    pub(super) fn draining(&self, exit_code: Option<u8>) {
        self.shared
            .exit_code
            .store(exit_code.unwrap_or(0), Ordering::Relaxed);
        self.shared.draining.store(true, Ordering::Release);
    }
}

struct Listener {
    interrupt: Option<tokio::signal::unix::Signal>,
    quit: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hang_up: Option<tokio::signal::unix::Signal>,
    go_on: Option<tokio::signal::unix::Signal>,
    /// SIGHUP asks to read the settings again.
    reloads: bool,
    /// There was a terminal that can hang up.
    had_terminal: bool,
}

impl Listener {
    async fn run(mut self, meant: Meant, shared: &Shared) {
        loop {
            let came = tokio::select! {
                () = next(&mut self.interrupt) => Signal::INT,
                () = next(&mut self.quit) => Signal::QUIT,
                () = next(&mut self.terminate) => Signal::TERM,
                () = next(&mut self.hang_up) => Signal::HUP,
                () = next(&mut self.go_on) => {
                    shared.continued.store(true, Ordering::Relaxed);
                    continue;
                }
            };
            let hung_up = self.had_terminal && !has_terminal();
            if self.reloads && came == Signal::HUP && matches!(meant, Meant::Us) && !hung_up {
                shared.reload.store(true, Ordering::Relaxed);
                continue;
            }
            if shared.draining.load(Ordering::Acquire) {
                leave(came, shared.exit_code.load(Ordering::Relaxed));
            }
            match (meant, came) {
                (Meant::Us, _) => {
                    if shared.end.swap(true, Ordering::Relaxed) {
                        leave(came, 0);
                    }
                }
                (Meant::Command(_), Signal::INT | Signal::QUIT) => {}
                (Meant::Command(pid), signal) => {
                    rustix::process::kill_process(pid, signal).ok();
                }
            }
        }
    }
}

/// Whether this process has a terminal that can hang up.
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Ends at once: probes go with the process, but a terminal would stay as it was left.
fn leave(signal: Signal, exit_code: u8) -> ! {
    super::top::screen::close();
    let code = if exit_code == 0 {
        128 + signal.as_raw()
    } else {
        i32::from(exit_code)
    };
    std::process::exit(code)
}

fn listen_to(kind: SignalKind, ignored: u64) -> io::Result<Option<tokio::signal::unix::Signal>> {
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(0);
    if ignored >> bit & 1 == 1 {
        Ok(None)
    } else {
        signal(kind).map(Some)
    }
}

async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// `SigIgn` of `proc_pid_status(5)`: bit 0 is signal 1.
fn ignored_signals() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        })
        .unwrap_or(0)
}
