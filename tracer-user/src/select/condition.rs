//! What a rule asks of a process, and what is known to answer it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::glob::{BadGlob, Glob, Kind};
use crate::event::Process;
use crate::event::pod::Pod;

/// What is known of a process.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Path of its executable, as the process sees it; `None` when that could not be read.
    pub executable: Option<&'a str>,
    /// Its arguments joined by one space each, the first is how it was called; `None` when they could not be read.
    pub command_line: Option<Cow<'a, str>>,
    /// Its pod.
    pub place: Place<'a>,
}

/// What is known of the pod that a process runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// It may run in a pod that nobody has told of yet.
    Unknown,
    /// It runs in none.
    Outside,
    /// It runs in this one.
    Pod(&'a Pod),
}

impl<'a> Subject<'a> {
    /// What a process tells of itself.
    pub fn of(process: &'a Process, place: Place<'a>) -> Self {
        Self::new(&process.executable, &process.command_line, place)
    }

    /// By executable and arguments; what is empty is not known.
    pub fn new(executable: &'a str, arguments: &[String], place: Place<'a>) -> Self {
        Self {
            executable: Some(executable).filter(|path| !path.is_empty()),
            command_line: (!arguments.is_empty()).then(|| Cow::Owned(arguments.join(" "))),
            place,
        }
    }

    /// A program of which nobody knows yet how it will be called, and where.
    pub fn program(executable: &'a str) -> Self {
        Self::new(executable, &[], Place::Unknown)
    }
}

/// Whether something holds, as far as is known. The lesser goes through `and`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    No,
    Maybe,
    Yes,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Truth::Yes } else { Truth::No }
    }
}

/// What must hold of a process, all of it. What is `None` is not asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition {
    pub(super) exe: Option<Glob>,
    pub(super) command: Option<Glob>,
    pub(super) namespace: Option<Glob>,
    pub(super) pod: Option<Glob>,
    pub(super) labels: BTreeMap<String, Glob>,
}

impl Condition {
    /// Reads globs.
    pub(super) fn parse(terms: Terms<'_>) -> Result<Self, (String, BadGlob)> {
        let Terms {
            exe,
            command,
            namespace,
            pod,
            labels,
        } = terms;
        let glob = |name: &str, text: Option<&str>, kind| {
            text.map(|text| Glob::new(text, kind))
                .transpose()
                .map_err(|error| (name.to_owned(), error))
        };
        Ok(Self {
            exe: glob("exe", exe, Kind::Path)?,
            command: glob("command", command, Kind::Text)?,
            namespace: glob("namespace", namespace, Kind::Text)?,
            pod: glob("pod", pod, Kind::Text)?,
            labels: labels
                .iter()
                .map(|(key, text)| {
                    let glob =
                        Glob::new(text, Kind::Text).map_err(|error| (format!("labels.{key}"), error))?;
                    Ok((key.clone(), glob))
                })
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether nothing is asked.
    pub(super) fn is_empty(&self) -> bool {
        self.exe.is_none() && self.command.is_none() && !self.asks_of_pods()
    }

    /// Whether the API server must tell of pods to answer.
    pub(super) fn asks_of_pods(&self) -> bool {
        self.namespace.is_some() || self.pod.is_some() || !self.labels.is_empty()
    }

    pub(super) fn holds(&self, subject: &Subject<'_>) -> Truth {
        let Self {
            exe,
            command,
            namespace,
            pod,
            labels,
        } = self;
        let of_process = |glob: &Option<Glob>, text: Option<&str>| match (glob, text) {
            (None, _) => Truth::Yes,
            (Some(_), None) => Truth::Maybe,
            (Some(glob), Some(text)) => glob.fits(text).into(),
        };
        let of_pod = match subject.place {
            _ if !self.asks_of_pods() => Truth::Yes,
            Place::Unknown => Truth::Maybe,
            Place::Outside => Truth::No,
            Place::Pod(known) => {
                let fits = |glob: &Option<Glob>, text: &str| glob.as_ref().is_none_or(|glob| glob.fits(text));
                let labelled = labels
                    .iter()
                    .all(|(key, glob)| known.labels.get(key).is_some_and(|value| glob.fits(value)));
                (fits(namespace, &known.namespace) && fits(pod, &known.name) && labelled).into()
            }
        };
        of_process(exe, subject.executable)
            .min(of_process(command, subject.command_line.as_deref()))
            .min(of_pod)
    }
}

/// The globs of a condition as they are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) exe: Option<&'a str>,
    pub(super) command: Option<&'a str>,
    pub(super) namespace: Option<&'a str>,
    pub(super) pod: Option<&'a str>,
    pub(super) labels: &'a BTreeMap<String, String>,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            exe,
            command,
            namespace,
            pod,
            labels,
        } = self;
        let mut separator = "";
        let globs = [
            ("exe", exe),
            ("command", command),
            ("namespace", namespace),
            ("pod", pod),
        ];
        for (name, glob) in globs {
            if let Some(glob) = glob {
                write!(f, "{separator}{name}={}", glob.text())?;
                separator = ", ";
            }
        }
        for (key, glob) in labels {
            write!(f, "{separator}label.{key}={}", glob.text())?;
            separator = ", ";
        }
        Ok(())
    }
}
