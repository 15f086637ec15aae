//! Rules of redaction: those of every layer.

use super::BAD_USAGE;
use super::failure::Failure;
use super::settings::{self, PATH, PATTERN};
use crate::genai::{Redaction, RuleError};

/// Rules as the user gives them.
pub(super) fn rules(settings: &settings::Redaction) -> Result<Redaction, Failure> {
    let settings::Redaction {
        builtin,
        patterns,
        paths,
        files,
        rules,
    } = settings;
    let mut redaction = Redaction::default();
    for name in builtin.all() {
        redaction
            .add_builtin(&name.0)
            .map_err(|error| unusable("redaction.builtin", error))?;
    }
    for pattern in patterns.all() {
        redaction
            .add_pattern(PATTERN, &pattern.0)
            .map_err(|error| unusable("redaction.patterns", error))?;
    }
    for path in paths.all() {
        redaction
            .add_path(PATH, &path.0)
            .map_err(|error| unusable("redaction.paths", error))?;
    }
    for rule in rules.given().iter().flat_map(|(_, rules)| &rules.0) {
        redaction
            .add_rule(&rule.name, rule.pattern.as_deref(), rule.path.as_deref())
            .map_err(|error| unusable("redaction.rules", error))?;
    }
    for file in files.all() {
        let name = file.0.display().to_string();
        let text = std::fs::read_to_string(&file.0).map_err(|error| {
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
