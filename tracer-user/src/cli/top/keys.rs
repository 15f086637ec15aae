//! What the user types, and whether there is a terminal still to type it on.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// Where keys come from: what crossterm reads as well, standard input if it is a terminal, else the controlling terminal.
pub(super) enum Keys {
    StandardInput,
    Controlling(File),
}

impl Keys {
    /// Fails where there is no terminal.
    pub(super) fn open() -> io::Result<Self> {
        if rustix::termios::isatty(rustix::stdio::stdin()) {
            return Ok(Self::StandardInput);
        }
        File::options()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .map(Self::Controlling)
    }

    /// The next key, or other event, of the terminal within this time. Fails when the terminal is gone.
    pub(super) fn next(&self, wait: Duration) -> io::Result<Option<Event>> {
        self.wait(wait)?;
        if event::poll(Duration::ZERO)? {
            return event::read().map(Some);
        }
        Ok(None)
    }

    /// Waits until there is something to read. A terminal that has hung up has its end to read for ever, which crossterm (0.29,
    /// `event/source/unix/mio.rs`) does.
    fn wait(&self, wait: Duration) -> io::Result<()> {
        let mut watched = [PollFd::from_borrowed_fd(self.terminal(), PollFlags::IN)];
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        match rustix::event::poll(&mut watched, Some(&wait)) {
            // The size has changed, or a signal asks for something: both are looked at next.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if watched.iter().any(|watched| watched.revents().intersects(gone)) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has hung up"));
        }
        Ok(())
    }

    fn terminal(&self) -> BorrowedFd<'_> {
        match self {
            Self::StandardInput => rustix::stdio::stdin(),
            Self::Controlling(file) => file.as_fd(),
        }
    }
}
