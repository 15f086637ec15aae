//! Tells the service manager how it goes, by the protocol of `sd_notify(3)`: datagrams of `NAME=value` lines to the socket
//! that `NOTIFY_SOCKET` names.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::export::Standing;

/// Where the service manager listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Microseconds without a sign of life after which it ends the service, and the process this is meant for.
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PROCESS: &str = "WATCHDOG_PID";

/// A service manager that wants to know.
#[derive(Debug)]
pub(super) struct ServiceManager {
    socket: UnixDatagram,
    watchdog: Option<Watchdog>,
    ready: Ready,
    /// The last standing that it took.
    told: Option<Standing>,
    /// The settings could not be read again.
    has_old_settings: bool,
}

#[derive(Debug)]
struct Watchdog {
    /// Between two signs of life: half of what the manager allows, as `sd_watchdog_enabled(3)` recommends.
    interval: Duration,
    next: Option<Instant>,
}

/// Whether the manager knows that geophone is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    /// It was not yet.
    NotYet,
    /// It knows.
    Told,
    /// It knows, and waits to hear that a reload is over.
    Anew,
}

/// Behind the status.
const OLD_SETTINGS: &str = "; the settings could not be read again and are as they were, the log says why";

impl ServiceManager {
    /// The one that started this process, if it wants to know. One that cannot be told is no reason not to trace.
    pub(super) fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let address = variable(SOCKET).filter(|address| !address.is_empty())?;
        match connect(&address) {
            Ok(socket) => Some(Self {
                socket,
                watchdog: Watchdog::from_environment(variable),
                ready: Ready::NotYet,
                told: None,
                has_old_settings: false,
            }),
            Err(error) => {
                let address = address.display();
                tracing::warn!(
                    "the service manager is not told how it goes: {SOCKET} is {address}: {error}; \
                     it may take geophone for one that never starts, `Type=exec` in its unit prevents that"
                );
                None
            }
        }
    }

    /// The tracing loop has turned once more. Ready is who would see a call, and stays so.
    pub(super) fn turned(&mut self, now: Instant, standing: &Standing) {
        if self.told.as_ref() != Some(standing) {
            let says_ready = match self.ready {
                Ready::NotYet => standing.is_ready(),
                Ready::Told => false,
                Ready::Anew => true,
            };
            let ready = if says_ready { "READY=1\n" } else { "" };
            // What the manager has no room for now it is told at the next turn.
            let beside = if self.has_old_settings { OLD_SETTINGS } else { "" };
            if self.send(&format!("{ready}STATUS={standing}{beside}\n")) {
                if says_ready {
                    self.ready = Ready::Told;
                }
                self.told = Some(standing.clone());
            }
        }
        let due = self
            .watchdog
            .as_ref()
            .is_some_and(|watchdog| watchdog.is_due(now));
        if due
            && self.send("WATCHDOG=1\n")
            && let Some(Watchdog { interval, next }) = &mut self.watchdog
        {
            *next = Some(now + *interval);
        }
    }

    /// The settings are being read again. Who never was ready goes on becoming it.
    pub(super) fn reloading(&self) {
        if self.ready == Ready::Told {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n"));
        }
    }

    /// That is over. `taken`: they hold now.
    pub(super) fn reloaded(&mut self, taken: bool) {
        self.has_old_settings = !taken;
        self.told = None;
        if self.ready == Ready::Told {
            self.ready = Ready::Anew;
        }
    }

    /// Tracing has ended, and what is left is being sent.
    pub(super) fn stopping(&self) {
        self.send(&format!("STOPPING=1\nSTATUS={}\n", Standing::Ending));
    }

    fn send(&self, state: &str) -> bool {
        match self.socket.send(state.as_bytes()) {
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, state, "the service manager did not take what it was told");
                false
            }
        }
    }
}

impl Watchdog {
    fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let meant = variable(WATCHDOG_PROCESS).is_none()
            || number(WATCHDOG_PROCESS) == Some(std::process::id().into());
        let allowed = number(WATCHDOG).filter(|microseconds| *microseconds > 0 && meant)?;
        Some(Self {
            interval: Duration::from_micros(allowed) / 2,
            next: None,
        })
    }

    fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }
}

/// A path, or after `@` a name in the abstract namespace. Tracing never waits for the manager.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(address)?,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "neither an absolute path nor @NAME",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service manager's end, by path.
    fn manager() -> (tempfile::TempDir, OsString, UnixDatagram) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("a socket of ours");
        (directory, path.into_os_string(), socket)
    }

    fn start(variables: &[(&str, &OsStr)]) -> Option<ServiceManager> {
        ServiceManager::from_environment(|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    /// Everything that was told so far.
    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut datagram = [0; 512];
        while let Ok(length) = socket.recv(&mut datagram) {
            all.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
        }
        all
    }

    #[test]
    fn ready_is_told_once_and_the_status_whenever_it_changes() {
        let (_directory, path, socket) = manager();
        let mut manager = start(&[(SOCKET, &path)]).expect("it listens");
        let now = Instant::now();
        let blind = Standing::Blind {
            processes: 1,
            reason: None,
        };
        manager.turned(now, &blind);
        manager.turned(now, &blind);
        assert_eq!(
            heard(&socket),
            [
                "STATUS=no probe is in place although 1 process could be traced, `geophone doctor` says what is in the way\n"
            ]
        );
        manager.turned(now, &Standing::Probes(4));
        manager.turned(now, &Standing::Probes(4));
        manager.turned(now, &Standing::Probes(1));
        manager.turned(now, &blind);
        let heard_so_far = heard(&socket);
        assert_eq!(heard_so_far[0], "READY=1\nSTATUS=4 probes are in place\n");
        assert_eq!(heard_so_far[1], "STATUS=1 probe is in place\n");
        assert!(heard_so_far[2].starts_with("STATUS=no probe"), "{heard_so_far:?}");
        assert_eq!(heard_so_far.len(), 3);
        manager.stopping();
        assert_eq!(heard(&socket), ["STOPPING=1\nSTATUS=geophone is ending\n"]);
    }

    #[test]
    fn the_watchdog_hears_of_turns_at_half_of_its_time() {
        let (_directory, path, socket) = manager();
        let own = OsString::from(std::process::id().to_string());
        let time = OsStr::new("30000000");
        let variables = [(SOCKET, &*path), (WATCHDOG, time), (WATCHDOG_PROCESS, &*own)];
        let mut manager = start(&variables).expect("it listens");
        let begin = Instant::now();
        let standing = Standing::Idle;
        // A turn every second for a minute: at 0, 15, 30, 45 and 60 seconds.
        for second in 0..=60 {
            manager.turned(begin + Duration::from_secs(second), &standing);
        }
        let signs = heard(&socket)
            .iter()
            .filter(|state| *state == "WATCHDOG=1\n")
            .count();
        assert_eq!(signs, 5);
        // A loop that stood still says so by silence, and turns again.
        manager.turned(begin + Duration::from_secs(200), &standing);
        manager.turned(begin + Duration::from_secs(201), &standing);
        assert_eq!(heard(&socket), ["WATCHDOG=1\n"]);
    }

    #[test]
    fn a_reload_begins_and_ends_however_it_stands() {
        let (_directory, path, socket) = manager();
        let mut manager = start(&[(SOCKET, &path)]).expect("it listens");
        // Nothing can be reloaded of what has not started.
        manager.reloading();
        manager.turned(Instant::now(), &Standing::Idle);
        let begun = heard(&socket);
        assert!(begun.len() == 1 && begun[0].starts_with("READY=1\n"), "{begun:?}");
        manager.reloading();
        manager.reloaded(false);
        let blind = Standing::Blind {
            processes: 1,
            reason: None,
        };
        manager.turned(Instant::now(), &blind);
        manager.turned(Instant::now(), &blind);
        let heard = heard(&socket);
        let [reloading, ready] = heard.as_slice() else {
            panic!("{heard:?}");
        };
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let time = time.and_then(|time| time.trim_end().parse::<u64>().ok());
        assert!(time.is_some_and(|time| time > 0), "{reloading}");
        assert_eq!(ready, &format!("READY=1\nSTATUS={blind}{OLD_SETTINGS}\n"));
    }

    #[test]
    fn a_watchdog_of_another_process_or_without_a_time_is_none() {
        let (_directory, path, socket) = manager();
        let (one, none, never) = (OsStr::new("1"), OsStr::new("soon"), OsStr::new("0"));
        let time = OsStr::new("30000000");
        for (time, process) in [(time, Some(one)), (none, None), (never, None)] {
            let mut variables = vec![(SOCKET, &*path), (WATCHDOG, time)];
            variables.extend(process.map(|process| (WATCHDOG_PROCESS, process)));
            let mut manager = start(&variables).expect("it listens");
            manager.turned(Instant::now(), &Standing::Idle);
            let heard = heard(&socket);
            assert!(heard.iter().all(|state| !state.contains("WATCHDOG")), "{heard:?}");
        }
    }

    #[test]
    fn a_name_in_the_abstract_namespace_is_a_socket_as_well() {
        let name = format!("geophone-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let socket = UnixDatagram::bind_addr(&address).expect("nobody else has it");
        socket.set_nonblocking(true).expect("a socket of ours");
        let variable = OsString::from(format!("@{name}"));
        start(&[(SOCKET, &variable)]).expect("it listens").stopping();
        assert_eq!(heard(&socket), ["STOPPING=1\nSTATUS=geophone is ending\n"]);
    }

    #[test]
    fn who_is_not_asked_or_cannot_tell_traces_all_the_same() {
        assert!(start(&[]).is_none());
        for wrong in ["", "relative/path", "vsock:2:1234", "/nowhere/at/all"] {
            assert!(start(&[(SOCKET, OsStr::new(wrong))]).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_a_busy_manager_has_no_room_for_is_told_later() {
        let (_directory, path, socket) = manager();
        let mut manager = start(&[(SOCKET, &path)]).expect("it listens");
        while manager.send("STATUS=a lot\n") {}
        manager.turned(Instant::now(), &Standing::Probes(4));
        assert!(!heard(&socket).iter().any(|state| state.contains("READY")));
        manager.turned(Instant::now(), &Standing::Probes(4));
        assert_eq!(heard(&socket), ["READY=1\nSTATUS=4 probes are in place\n"]);
    }
}
