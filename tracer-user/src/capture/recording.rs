//! A capture file on disk: only its owner may read it, and what is written stays readable whatever ends the recorder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Writer;
use crate::event::ProbeEvent;

/// A capture file that is being written.
///
/// A file of that name is replaced by a new one with mode 0600, so that nobody who had the old one open, or may read it,
/// sees what is recorded. A pipe or device is written to as it is.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
}

/// Why there is no recording, or no more of it.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file could not be made.
    #[error("cannot create the recording {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// What stands in its place is not to be replaced.
    #[error("cannot create the recording {}: it is {what}", path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// Writing failed later.
    #[error("the recording {} ends here: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl RecordingError {
    /// Whether nobody reads the recording any more.
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Write { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            Self::Create { .. } | Self::InTheWay { .. } => false,
        }
    }
}

impl Recording {
    /// Creates the file and writes its header.
    pub fn create(path: &Path) -> Result<Self, RecordingError> {
        Self::begin(path, open(path)?)
    }

    /// Writes the recording into what is open already, such as standard output; `path` is what errors call it.
    pub fn begin(path: &Path, file: File) -> Result<Self, RecordingError> {
        let failed = |source| RecordingError::Write {
            path: path.to_owned(),
            source,
        };
        let mut writer = Writer::new(BufWriter::with_capacity(BUFFER, file)).map_err(failed)?;
        writer.flush().map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            writer,
        })
    }

    /// Adds an event.
    pub fn event(&mut self, event: &ProbeEvent<'_>) -> Result<(), RecordingError> {
        self.writer.event(event).map_err(|source| RecordingError::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// Hands what was added so far to the operating system: it survives the end of this process.
    pub fn flush(&mut self) -> Result<(), RecordingError> {
        self.writer.flush().map_err(|source| RecordingError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

fn open(path: &Path) -> Result<File, RecordingError> {
    let failed = |source| RecordingError::Create {
        path: path.to_owned(),
        source,
    };
    let in_the_way = |what| RecordingError::InTheWay {
        path: path.to_owned(),
        what,
    };
    match fs::symlink_metadata(path).map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_file() => fs::remove_file(path).map_err(failed)?,
        Ok(kind) if kind.is_fifo() || kind.is_char_device() => {
            return OpenOptions::new().write(true).open(path).map_err(failed);
        }
        Ok(kind) if kind.is_dir() => return Err(in_the_way("a directory")),
        // Where it points may be somebody else's choice.
        Ok(kind) if kind.is_symlink() => return Err(in_the_way("a symbolic link")),
        Ok(_) => return Err(in_the_way("neither a file nor a pipe")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)
}

/// Bytes gathered for one `write(2)`.
const BUFFER: usize = 1 << 20;
