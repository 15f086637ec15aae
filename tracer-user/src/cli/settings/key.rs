//! What is known of a setting before it has a value.

/// A setting by name.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Key {
    /// Table and name in the file, like `metrics.prometheus`.
    pub(in crate::cli) path: &'static str,
    /// What it does, in a line.
    pub(in crate::cli) what: &'static str,
    /// A value as it may stand in the file.
    pub(in crate::cli) example: &'static str,
    /// What holds where nobody says anything.
    pub(in crate::cli) default: &'static str,
    /// The flag, as it is written.
    pub(in crate::cli) flag: Option<&'static str>,
    /// Variables that others know as well. The one of geophone goes before them.
    pub(in crate::cli) variables: &'static [&'static str],
    /// When a change takes effect.
    pub(in crate::cli) reload: Reload,
    /// What of it may be shown.
    pub(in crate::cli) secrecy: Secrecy,
    /// Layers add to each other instead of going before each other.
    pub(in crate::cli) adds_up: bool,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Reload {
    /// On SIGHUP.
    Now,
    /// At the next start.
    AtStart,
}

/// What of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Secrecy {
    /// All of it.
    Public,
    /// An address without user, password and query.
    Address,
    /// That there is one.
    Secret,
}

impl Key {
    /// One without flag and other variables, that is reloaded and may be shown.
    pub(super) const fn new(
        path: &'static str,
        what: &'static str,
        default: &'static str,
        example: &'static str,
    ) -> Self {
        Self {
            path,
            what,
            example,
            default,
            flag: None,
            variables: &[],
            reload: Reload::Now,
            secrecy: Secrecy::Public,
            adds_up: false,
        }
    }

    pub(super) const fn flag(self, flag: &'static str) -> Self {
        Self {
            flag: Some(flag),
            ..self
        }
    }

    pub(super) const fn variables(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
    }

    pub(super) const fn at_start(self) -> Self {
        Self {
            reload: Reload::AtStart,
            ..self
        }
    }

    pub(super) const fn adding_up(self) -> Self {
        Self {
            adds_up: true,
            ..self
        }
    }

    pub(super) const fn secrecy(self, secrecy: Secrecy) -> Self {
        Self { secrecy, ..self }
    }

    /// Its own variable: `GEOPHONE_METRICS_PROMETHEUS` for `metrics.prometheus`.
    pub(in crate::cli) fn variable(&self) -> String {
        format!("GEOPHONE_{}", self.path.replace('.', "_").to_uppercase())
    }
}
