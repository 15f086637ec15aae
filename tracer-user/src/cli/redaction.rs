//! Rules of redaction from the command line.

#![allow(
    clippy::doc_markdown,
    reason = "these comments are the help text, which no one sees as Markdown"
)]

use std::path::PathBuf;

use clap::Args;

use super::BAD_USAGE;
use super::failure::Failure;
use crate::genai::{Redaction, RuleError};

/// What is taken out of prompts, completions and messages of failures before anything leaves geophone.
///
/// Recordings are not redacted: they hold what passed.
#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Redaction")]
pub(super) struct RedactionOptions {
    /// Take out what has a known form: email, credit-card, secrets, personal, all, … may be given as a list.
    ///
    /// Single ones: api-key, aws-access-key-id, aws-secret-access-key, credit-card, email, iban, ipv4, jwt, phone,
    /// private-key, us-ssn. Groups: secrets, personal, all.
    #[arg(long = "redact", value_name = "NAME", value_delimiter = ',', value_parser = builtin)]
    names: Vec<String>,
    /// Take out what this regular expression matches; of a group called `redact` that alone.
    #[arg(long = "redact-pattern", value_name = "REGEX", value_parser = pattern)]
    patterns: Vec<String>,
    /// Take out what this JSON path (RFC 9535) selects of the content attributes, like `$..password`.
    #[arg(long = "redact-path", value_name = "PATH", value_parser = path)]
    paths: Vec<String>,
    /// File with rules (TOML): `builtin = ["email"]`, and tables `[[rule]]` of `name` and `pattern` or `path`.
    #[arg(long = "redact-file", value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn builtin(name: &str) -> Result<String, RuleError> {
    Redaction::default().add_builtin(name).map(|()| name.to_owned())
}

fn pattern(expression: &str) -> Result<String, RuleError> {
    Redaction::default()
        .add_pattern(PATTERN, expression)
        .map(|()| expression.to_owned())
}

fn path(path: &str) -> Result<String, RuleError> {
    Redaction::default()
        .add_path(PATH, path)
        .map(|()| path.to_owned())
}

/// Names of the rules that are given without one.
const PATTERN: &str = "pattern";
const PATH: &str = "path";

/// Rules as the user gives them.
pub(super) fn rules(options: &RedactionOptions) -> Result<Redaction, Failure> {
    let RedactionOptions {
        names,
        patterns,
        paths,
        files,
    } = options;
    let mut redaction = Redaction::default();
    for name in names {
        redaction
            .add_builtin(name)
            .map_err(|error| unusable("--redact", error))?;
    }
    for pattern in patterns {
        redaction
            .add_pattern(PATTERN, pattern)
            .map_err(|error| unusable("--redact-pattern", error))?;
    }
    for path in paths {
        redaction
            .add_path(PATH, path)
            .map_err(|error| unusable("--redact-path", error))?;
    }
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            let remedy = "check that --redact-file names a text file you may read";
            Failure::new(format!("cannot read the rules in {name}"), error, remedy)
        })?;
        redaction
            .add_file(&text)
            .map_err(|error| unusable(&name, error))?;
    }
    Ok(redaction)
}

/// Without the rule something would leave that must not: no way to go on.
fn unusable(place: &str, error: RuleError) -> Failure {
    let RuleError { line, what, remedy } = error;
    let place = line.map_or_else(|| place.to_owned(), |line| format!("{place}, line {line}"));
    Failure::new(format!("cannot redact as {place} says"), what, remedy).with_exit_code(BAD_USAGE)
}
