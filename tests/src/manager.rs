//! The end of a service manager, which hears what a service tells it by `sd_notify(3)`.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::program::DEADLINE;

/// The end of a service manager.
#[derive(Debug)]
pub struct Manager {
    directory: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    /// Begins to listen.
    pub fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(directory.path().join("notify"))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { directory, socket })
    }

    /// What `NOTIFY_SOCKET` names.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("notify")
    }

    /// Waits until it is told this, and passes over what comes before.
    pub fn hear(&self, wanted: &str) -> Result<String> {
        let mut datagram = [0; 1024];
        let mut heard = Vec::new();
        loop {
            let length = self.socket.recv(&mut datagram);
            let length = length.with_context(|| format!("never {wanted:?}, but {heard:?}"))?;
            let told = std::str::from_utf8(&datagram[..length])?;
            if told.contains(wanted) {
                return Ok(told.to_owned());
            }
            heard.push(told.to_owned());
        }
    }

    /// Whether nothing was told since.
    pub fn heard_nothing(&self) -> Result<bool> {
        self.socket.set_nonblocking(true)?;
        let told = self.socket.recv(&mut [0; 1024]);
        Ok(told.is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
    }
}
