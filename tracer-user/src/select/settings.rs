//! How rules are written: the table `[selection]` of the settings, and `--only` and `--skip`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::glob::BadGlob;

/// Whom to trace, and whom to leave alone.
///
/// ```toml
/// [selection]
/// trace = true             # whom no rule names; false makes the rules a list of those that are traced
/// content = true
///
/// [[selection.rules]]      # the first that fits decides
/// name = "personnel"
/// namespace = "hr-*"
/// trace = false
///
/// [[selection.rules]]
/// exe = "python3*"
/// command = "* /srv/batch/*"
/// content = false
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionSettings {
    /// Whether processes are traced that no rule names.
    pub trace: bool,
    /// Whether their prompts and completions may be kept, if they are kept at all.
    pub content: bool,
    /// In order: the first that fits decides.
    pub rules: Vec<RuleSettings>,
    /// Who fits none of these is left alone, before any rule is asked.
    pub only: Vec<Term>,
    /// Who fits one of these is left alone, before any rule is asked.
    pub skip: Vec<Term>,
}

impl Default for SelectionSettings {
    fn default() -> Self {
        Self {
            trace: true,
            content: true,
            rules: Vec::new(),
            only: Vec::new(),
            skip: Vec::new(),
        }
    }
}

/// One rule: what must hold of a process, all of it, and what is done with it then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSettings {
    /// What the doctor calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Glob on the path of the executable, or on its file's name where the glob has no `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Glob on the arguments joined by one space each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Glob on the namespace of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Glob on the name of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Globs on the values of labels of the pod, which it must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Whether it is traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<bool>,
    /// Whether its prompts and completions may be kept, if they are kept at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<bool>,
}

/// `KIND=GLOB`, a rule in a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    text: String,
    pub(super) rule: RuleSettings,
}

/// What is wrong with a term.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadTerm {
    /// No `=`, or something else before it.
    #[error("write exe=GLOB, command=GLOB, namespace=GLOB, pod=GLOB or label.KEY=GLOB")]
    Kind,
    /// The glob.
    #[error("the glob {0}")]
    Glob(#[from] BadGlob),
}

impl FromStr for Term {
    type Err = BadTerm;

    fn from_str(text: &str) -> Result<Self, BadTerm> {
        let (kind, glob) = text.split_once('=').ok_or(BadTerm::Kind)?;
        let mut rule = RuleSettings::default();
        let value = Some(glob.to_owned());
        match kind {
            "exe" => rule.exe = value,
            "command" => rule.command = value,
            "namespace" => rule.namespace = value,
            "pod" => rule.pod = value,
            _ => {
                // The key of a label may have dots and a `/`, but no `=`.
                let key = kind.strip_prefix("label.").filter(|key| !key.is_empty());
                let key = key.ok_or(BadTerm::Kind)?;
                rule.labels.insert(key.to_owned(), glob.to_owned());
            }
        }
        rule.condition().map_err(|(_, error)| error)?;
        Ok(Self {
            text: text.to_owned(),
            rule,
        })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with the rules.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadSelection {
    /// A glob.
    #[error("{rule}: {field} {error}")]
    Glob {
        /// Which rule.
        rule: String,
        /// Which of its globs.
        field: String,
        /// What is wrong with it.
        error: BadGlob,
    },
    /// A rule that names nobody.
    #[error(
        "{0} names nobody: give it one of exe, command, namespace, pod and labels, or set trace and content of [selection] \
         for everybody else"
    )]
    NamesNobody(String),
    /// A rule that changes nothing.
    #[error("{0} says neither trace nor content: write `trace = true` or `trace = false`")]
    SaysNothing(String),
    /// Too many rules.
    #[error("there are more than {max} rules")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
}
