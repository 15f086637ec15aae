//! Redaction: what is taken out of content and error messages before anything leaves the process.
//!
//! Two kinds of rule. A *pattern* is taken out of every text. A *path* (RFC 9535) takes values out of the content attributes,
//! which are looked at as one document: `$.gen_ai.input.messages[*].parts[*].arguments.password`, or just `$..password`. In
//! place of what was taken out stands `[redacted:RULE]`.

mod builtin;
mod paths;
mod rules;
mod span;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::BTreeSet;

use regex::Regex;
use serde_json_path::JsonPath;

pub use rules::RuleError;

/// Everything that is to be taken out. Without rules nothing is.
#[derive(Debug, Default)]
pub struct Redaction {
    patterns: Vec<Pattern>,
    paths: Vec<PathRule>,
}

/// A pattern and what stands in its place.
#[derive(Debug)]
struct Pattern {
    name: String,
    expression: Regex,
    /// Check digits and the like.
    check: Option<Check>,
}

/// Whether a matched text is what it looks like.
type Check = fn(&str) -> bool;

/// A path and what stands in its place.
#[derive(Debug)]
struct PathRule {
    name: String,
    path: JsonPath,
}

/// Names of the rules that took something out.
pub(super) type Hits = BTreeSet<String>;

impl Redaction {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Self { patterns, paths } = self;
        patterns.is_empty() && paths.is_empty()
    }

    /// Whether texts are looked through.
    pub(super) fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether documents are looked through.
    pub(super) fn has_paths(&self) -> bool {
        !self.paths.is_empty()
    }
}

/// What stands in place of what a rule took out.
fn mark(rule: &str) -> String {
    format!("[redacted:{rule}]")
}
