//! Rules as users write them: names, patterns, paths, and a file of them.

use std::fmt;

use regex::Regex;
use serde::Deserialize;
use serde_json_path::JsonPath;
use toml::Spanned;

use super::builtin::{self, GROUPS, NAMES};
use super::{PathRule, Pattern, Redaction};

/// Most rules: each of them reads every text once.
const MAX_RULES: usize = 256;

/// Longest name of a rule.
const MAX_NAME: usize = 64;

/// A rule that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleError {
    /// Line of the file it stands in, from 1.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub what: String,
    /// What can be done.
    pub remedy: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for RuleError {}

/// A file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Patterns to switch on by name.
    #[serde(default)]
    builtin: Vec<Spanned<String>>,
    #[serde(default)]
    rule: Vec<Spanned<FileRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRule {
    name: String,
    pattern: Option<String>,
    path: Option<String>,
}

impl Redaction {
    /// Switches on a pattern, or a group of them, by name.
    pub fn add_builtin(&mut self, name: &str) -> Result<(), RuleError> {
        let group = GROUPS.iter().find(|(group, _)| *group == name);
        let names = group.map_or_else(|| vec![name], |(_, names)| names.to_vec());
        for name in names {
            let Some(pattern) = builtin::pattern(name) else {
                let groups = GROUPS.map(|(group, _)| group).join(", ");
                return Err(error(
                    format!("there is no pattern called `{name}`"),
                    format!(
                        "there are {}, and the groups {groups}; write one of your own as a pattern",
                        NAMES.join(", ")
                    ),
                ));
            };
            if !self.patterns.iter().any(|known| known.name == pattern.name) {
                self.add(pattern)?;
            }
        }
        Ok(())
    }

    /// Adds a regular expression in the syntax of the crate `regex`. If it has a group called `redact`, that alone is taken
    /// out.
    pub fn add_pattern(&mut self, name: &str, expression: &str) -> Result<(), RuleError> {
        let compiled =
            Regex::new(expression).map_err(|reason| {
                error(
                format!("the pattern of `{name}` is not valid: {}", one_line(&reason.to_string())),
                "see https://docs.rs/regex for the syntax; there is neither look-around nor back-reference"
                    .to_owned(),
            )
            })?;
        if compiled.is_match("") {
            return Err(error(
                format!("the pattern of `{name}` matches where nothing is"),
                "make it match at least one character: `+` instead of `*`".to_owned(),
            ));
        }
        self.add(Pattern {
            name: checked_name(name)?,
            expression: compiled,
            check: None,
        })
    }

    /// Adds a path (RFC 9535).
    pub fn add_path(&mut self, name: &str, path: &str) -> Result<(), RuleError> {
        let parsed = JsonPath::parse(path).map_err(|reason| {
            error(
                format!(
                    "the path of `{name}` is not valid at character {}: {}",
                    reason.position() + 1,
                    reason.message()
                ),
                "write it as RFC 9535 has it, like `$..password` or \
                 `$.gen_ai.input.messages[*].parts[?@.type=='tool_call_response'].response`"
                    .to_owned(),
            )
        })?;
        self.room()?;
        self.paths.push(PathRule {
            name: checked_name(name)?,
            path: parsed,
        });
        Ok(())
    }

    /// Adds the rules of a file (TOML): `builtin = ["email"]` and tables `[[rule]]` of `name` and `pattern` or `path`.
    pub fn add_file(&mut self, text: &str) -> Result<(), RuleError> {
        let line = |at: usize| Some(text.get(..at).unwrap_or_default().matches('\n').count() + 1);
        let File { builtin, rule } = toml::from_str(text).map_err(|reason| RuleError {
            line: reason.span().and_then(|span| line(span.start)),
            what: format!("this is no file of rules: {}", one_line(reason.message())),
            remedy: "it has `builtin = [\"email\", …]` and tables `[[rule]]` with `name` and either \
                     `pattern` or `path`, as docs/signals.md shows"
                .to_owned(),
        })?;
        for name in builtin {
            let at = line(name.span().start);
            self.add_builtin(name.get_ref())
                .map_err(|error| RuleError { line: at, ..error })?;
        }
        for rule in rule {
            let at = line(rule.span().start);
            let FileRule { name, pattern, path } = rule.into_inner();
            self.add_rule(&name, pattern.as_deref(), path.as_deref())
                .map_err(|error| RuleError { line: at, ..error })?;
        }
        Ok(())
    }

    /// Adds a rule that is either a pattern or a path.
    pub fn add_rule(
        &mut self,
        name: &str,
        pattern: Option<&str>,
        path: Option<&str>,
    ) -> Result<(), RuleError> {
        match (pattern, path) {
            (Some(pattern), None) => self.add_pattern(name, pattern),
            (None, Some(path)) => self.add_path(name, path),
            (Some(_), Some(_)) => Err(error(
                format!("the rule `{name}` has both a pattern and a path"),
                "make two rules of it; they may have the same name".to_owned(),
            )),
            (None, None) => Err(error(
                format!("the rule `{name}` has neither a pattern nor a path"),
                "give it one".to_owned(),
            )),
        }
    }

    fn add(&mut self, pattern: Pattern) -> Result<(), RuleError> {
        self.room()?;
        self.patterns.push(pattern);
        Ok(())
    }

    fn room(&self) -> Result<(), RuleError> {
        if self.patterns.len() + self.paths.len() < MAX_RULES {
            return Ok(());
        }
        Err(error(
            format!("there are more than {MAX_RULES} rules"),
            "join patterns with `|`".to_owned(),
        ))
    }
}

/// The name stands in the mark, so it must not look like the end of one.
fn checked_name(name: &str) -> Result<String, RuleError> {
    let fine = !name.is_empty()
        && name.len() <= MAX_NAME
        && name
            .chars()
            .all(|letter| !letter.is_control() && letter != '[' && letter != ']');
    if fine {
        return Ok(name.to_owned());
    }
    Err(error(
        format!("{name:?} cannot be the name of a rule"),
        format!("take up to {MAX_NAME} characters without square brackets"),
    ))
}

fn error(what: String, remedy: String) -> RuleError {
    RuleError {
        line: None,
        what,
        remedy,
    }
}

/// Messages of parsers come with a drawing; the last line says what is wrong.
fn one_line(message: &str) -> String {
    let last = message.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.unwrap_or_default().trim_start_matches("error: ").to_owned()
}
