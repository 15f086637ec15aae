//! The terminal while it is ours, and giving it back whatever happens.

use std::fs::File;
use std::io::{self, IsTerminal as _, Stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::super::failure::Failure;
use crate::top::{Model, draw};

/// The terminal is ours.
static OPEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal: raw, on its alternate screen, until this is dropped.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

/// Fails where there is no terminal to draw on or to take keys from.
pub(super) fn check() -> Result<(), Failure> {
    let what = "cannot show a screen";
    let remedy = "start it in a terminal; `geophone run`, `attach` and `replay` write into pipes and files";
    if !io::stdout().is_terminal() {
        return Err(Failure::new(what, "standard output is not a terminal", remedy));
    }
    if !io::stdin().is_terminal() && File::open("/dev/tty").is_err() {
        return Err(Failure::new(
            what,
            "there is no terminal to read keys from",
            remedy,
        ));
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        let why = "this terminal cannot move its cursor (TERM=dumb)";
        return Err(Failure::new(what, why, remedy));
    }
    Ok(())
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
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                close();
                Err(lost(&error))
            }
        }
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
