//! A setting with everything that was given for it, and by whom.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A setting: what each layer gave, the one that counts last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Setting<T> {
    given: Vec<(Origin, T)>,
}

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Origin {
    /// Nobody.
    Default,
    /// The file.
    File(Place),
    /// A variable of the environment.
    Variable(String),
    /// A flag, as it is written.
    Flag(&'static str),
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Place {
    /// The file.
    pub(in crate::cli) file: Arc<PathBuf>,
    /// Counted from one.
    pub(in crate::cli) line: usize,
    /// In characters, counted from one.
    pub(in crate::cli) column: usize,
}

impl<T> Setting<T> {
    /// A layer gives a value; it goes before those given so far.
    pub(in crate::cli) fn give(&mut self, origin: Origin, value: T) {
        self.given.push((origin, value));
    }

    /// The same for a flag that may not have been given.
    pub(super) fn by_flag(&mut self, flag: &'static str, value: Option<T>) {
        if let Some(value) = value {
            self.give(Origin::Flag(flag), value);
        }
    }

    /// The value that counts; `None` if there is only the default.
    pub(in crate::cli) fn get(&self) -> Option<&T> {
        self.given.last().map(|(_, value)| value)
    }

    /// Who gave it.
    pub(in crate::cli) fn origin(&self) -> &Origin {
        self.given.last().map_or(&Origin::Default, |(origin, _)| origin)
    }

    /// Everything that was given, the file's first.
    pub(in crate::cli) fn given(&self) -> &[(Origin, T)] {
        &self.given
    }
}

impl<T> Setting<Vec<T>> {
    /// The items of every layer, where they add up.
    pub(in crate::cli) fn all(&self) -> impl Iterator<Item = &T> {
        self.given.iter().flat_map(|(_, items)| items)
    }
}

impl<T> Default for Setting<T> {
    fn default() -> Self {
        Self { given: Vec::new() }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(Place { file, line, .. }) => write!(formatter, "{}:{line}", file.display()),
            Self::Variable(name) => formatter.write_str(name),
            Self::Flag(flag) => formatter.write_str(flag),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column } = self;
        write!(formatter, "{}:{line}:{column}", file.display())
    }
}
