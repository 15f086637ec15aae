//! The terminal while it is ours, and giving it back whatever happens.

use std::io::{self, IsTerminal as _, Stdout};
use std::mem::ManuallyDrop;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use rustix::process::Signal;

use super::super::failure::Failure;
use super::keys::Keys;
use crate::top::{Model, draw};

/// The terminal is ours.
static OPEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal: raw, on its alternate screen, until this is dropped.
pub(super) struct Screen {
    /// Never dropped: that shows the cursor, as [`close`] does, and where it cannot it says so with `eprintln!`, which panics when
    /// standard error went with the terminal.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
}

/// The keys of the terminal. Fails where there is none to draw on or to take keys from.
pub(super) fn check() -> Result<Keys, Failure> {
    let what = "cannot show a screen";
    let remedy = "start it in a terminal; `geophone run`, `attach` and `replay` write into pipes and files";
    if !io::stdout().is_terminal() {
        return Err(Failure::new(what, "standard output is not a terminal", remedy));
    }
    let keys =
        Keys::open().map_err(|_| Failure::new(what, "there is no terminal to read keys from", remedy))?;
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        let why = "this terminal cannot move its cursor (TERM=dumb)";
        return Err(Failure::new(what, why, remedy));
    }
    Ok(keys)
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> Result<Self, Failure> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                close();
                before(panic);
            }));
        });
        OPEN.store(true, Ordering::SeqCst);
        let opened = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Hide))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(terminal) => Ok(Self {
                terminal: ManuallyDrop::new(terminal),
            }),
            Err(error) => {
                close();
                Err(lost(&error))
            }
        }
    }

    /// Gives the terminal to the shell until somebody says `fg`, as Ctrl-Z asks for. Where there is no shell that could say
    /// so, the kernel does not stop anybody, and it goes on at once.
    pub(super) fn stop(&mut self) -> Result<(), Failure> {
        close();
        // Others may be part of the same job: who pipes a recording into this one.
        rustix::process::kill_current_process_group(Signal::TSTP).map_err(|error| lost(&error.into()))?;
        OPEN.store(true, Ordering::SeqCst);
        self.take_again()
    }

    /// Takes the terminal anew: a shell that had it meanwhile has set it as it wants it, and written on it.
    pub(super) fn take_again(&mut self) -> Result<(), Failure> {
        if !OPEN.load(Ordering::SeqCst) {
            return Ok(());
        }
        let terminal = disable_raw_mode()
            .and_then(|()| enable_raw_mode())
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())))
            .map_err(|error| lost(&error))?;
        // What the one before remembers of the screen is not true any more.
        let before = std::mem::replace(&mut self.terminal, ManuallyDrop::new(terminal));
        drop(ManuallyDrop::into_inner(before));
        execute!(io::stdout(), EnterAlternateScreen, Clear(ClearType::All), Hide)
            .map_err(|error| lost(&error))
    }

    /// Draws a model.
    pub(super) fn draw(&mut self, model: &mut Model) -> Result<(), Failure> {
        if !OPEN.load(Ordering::SeqCst) {
            let why = "a part of geophone failed, as said above";
            return Err(Failure::new("cannot go on", why, "start it again"));
        }
        self.terminal
            .draw(|frame| {
                let area = frame.area();
                model.resize(area.height);
                draw(model, area, frame.buffer_mut());
            })
            .map(|_| ())
            .map_err(|error| lost(&error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        close();
    }
}

/// Gives the terminal back, if it was taken. What fails here has no remedy: the terminal is gone.
pub(in super::super) fn close() {
    if OPEN.swap(false, Ordering::SeqCst) {
        execute!(io::stdout(), LeaveAlternateScreen, Show).ok();
        disable_raw_mode().ok();
    }
}

/// The terminal does not answer any more.
pub(super) fn lost(error: &io::Error) -> Failure {
    let remedy = "start it again; `reset` brings a terminal back that looks wrong";
    Failure::new("the terminal cannot be used", error, remedy)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use rustix::fs::{Mode, OFlags};
    use rustix::pty::OpenptFlags;

    use super::Screen;

    /// Set in the process that panics.
    const PANICS: &str = "GEOPHONE_TEST_SCREEN_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back() {
        if std::env::var_os(PANICS).is_some() {
            let screen = Screen::open().expect("the terminal that the test made");
            // As on another thread: nothing is dropped.
            std::mem::forget(screen);
            panic!("as the test wants");
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let host = rustix::pty::openpt(flags).expect("a pseudo terminal");
        rustix::pty::grantpt(&host).expect("ours");
        rustix::pty::unlockpt(&host).expect("ours");
        let name = rustix::pty::ptsname(&host, Vec::new()).expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let line = rustix::fs::open(name, flags, Mode::empty()).expect("its other end");
        let settings = || format!("{:?}", rustix::termios::tcgetattr(&line).expect("settings"));
        let before = settings();

        let end = || Stdio::from(line.try_clone().expect("a descriptor"));
        let test = module_path!()
            .split_once("::")
            .map(|(_, path)| format!("{path}::a_panic_gives_the_terminal_back"))
            .expect("a module of a crate");
        let status = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "--nocapture", &test])
            .env(PANICS, "1")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .status()
            .expect("it runs");
        assert!(!status.success(), "it panicked");
        assert_eq!(before, settings());

        rustix::io::write(&line, b"the end").expect("the terminal takes it");
        let mut reader = File::from(host);
        let mut output = Vec::new();
        let mut buffer = [0; 1024];
        while !output.ends_with(b"the end") {
            let count = reader.read(&mut buffer).expect("there is more");
            output.extend_from_slice(&buffer[..count]);
        }
        let output = String::from_utf8_lossy(&output);
        let place = |text: &str| {
            output
                .find(text)
                .unwrap_or_else(|| panic!("no {text:?} in {output:?}"))
        };
        let (taken, given_back) = (place("\u{1b}[?1049h"), place("\u{1b}[?1049l"));
        assert!(
            taken < given_back && given_back < place("as the test wants"),
            "{output:?}"
        );
        assert!(output.contains("\u{1b}[?25h"), "the cursor is seen again");
    }
}
