//! The settings, for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::json;

use super::super::arguments::Arguments;
use super::super::failure::Failure;
use super::super::settings::{self, Key, Loaded, Origin, Reload, Row, Settings};
use super::super::spans::variable;
use super::Form;

/// Shows what `geophone run` would go by.
pub(super) fn show(form: Form, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Loaded { settings, file } = settings::load(arguments, &variable)?;
    let rows = settings.rows();
    let text = match form {
        Form::Text => {
            let file = file.map_or("no file of settings".to_owned(), |file| {
                file.display().to_string()
            });
            format!("{file}\n\n{}", in_columns(&rows))
        }
        Form::Toml => in_toml(&rows),
        Form::Json => in_json(&rows),
    };
    write(&text)
}

/// Writes a file in which everything is explained and nothing is set.
pub(super) fn example() -> Result<ExitCode, Failure> {
    write(&example_file())
}

fn write(text: &str) -> Result<ExitCode, Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads it may have read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let remedy = "check where standard output goes";
            Err(Failure::new("the settings could not be written", error, remedy))
        }
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}

/// A line each; a signal's own settings of OTLP only where there are some.
fn in_columns(rows: &[Row]) -> String {
    let lines: Vec<[String; 3]> = rows
        .iter()
        .filter(|row| row.shown().is_some() || row.key.path.matches('.').count() == 1)
        .map(|row| {
            let value = row.shown().map(|value| value.to_string());
            let value = value.unwrap_or_else(|| row.key.default.to_owned());
            [row.key.path.to_owned(), value, row.origin()]
        })
        .collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    let mut text = String::new();
    for [key, value, origin] in &lines {
        writeln!(text, "{key:first$}  {value:second$}  {origin}").ok();
    }
    text
}

/// Longer values push their own line out alone.
const WIDEST: usize = 48;

/// A file of settings that says the same.
fn in_toml(rows: &[Row]) -> String {
    let mut file = Tables::default();
    for row in rows {
        if let Some(value) = row.shown() {
            let name = file.enter(row.key);
            let origin = row.origin();
            // What is not shown is no value to go by.
            let mark = if row.is_shown() { "" } else { "# " };
            writeln!(file.text, "# {origin}\n{mark}{name} = {value}").ok();
        }
    }
    file.text
}

fn in_json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "key": row.key.path,
                "value": row.shown(),
                "default": row.key.default,
                "origin": row.origins.iter().map(origin).collect::<Vec<_>>(),
                "type": row.kind,
                "what": row.key.what,
                "example": row.key.example,
                "flag": row.key.flag,
                "variables": variables(row),
                "reloadable": row.key.reload == Reload::Now,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
}

/// The variables of a setting, the one that goes first first.
fn variables(row: &Row) -> Vec<String> {
    let own = row.has_variable.then(|| row.key.variable());
    let shared = row.key.variables.iter().rev().map(|name| (*name).to_owned());
    own.into_iter().chain(shared).collect()
}

fn origin(origin: &Origin) -> serde_json::Value {
    match origin {
        Origin::Default => json!("default"),
        Origin::File(place) => {
            json!({"file": place.file.display().to_string(), "line": place.line, "column": place.column})
        }
        Origin::Variable(name) => json!({"variable": name}),
        Origin::Flag(flag) => json!({"flag": flag}),
    }
}

/// The file of `geophone config example`.
pub(in crate::cli) fn example_file() -> String {
    let mut file = Tables {
        text: "# Settings of geophone. docs/configuration.md says more; `geophone config check` reads this file over.\n\
               # What is not set here is as it says. Variables of the environment go before this file, flags before both.\n"
            .to_owned(),
        ..Tables::default()
    };
    for row in Settings::default().rows() {
        let name = file.enter(row.key);
        let Key {
            what,
            example,
            default,
            reload,
            ..
        } = row.key;
        let reload = match reload {
            Reload::Now => "",
            Reload::AtStart => " Read at the start.",
        };
        let default = if *default == "–" {
            String::new()
        } else {
            format!(" Without it: {default}.")
        };
        writeln!(file.text, "# {what}{default}{reload}\n# {name} = {example}").ok();
    }
    file.text
}

/// Text of a file, table after table.
#[derive(Default)]
struct Tables {
    text: String,
    table: &'static str,
}

impl Tables {
    /// Begins the table of a setting if it is another one; gives the setting's name in it.
    fn enter(&mut self, key: &Key) -> &'static str {
        let (table, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if table != self.table {
            let space = if self.text.is_empty() { "" } else { "\n" };
            writeln!(self.text, "{space}[{table}]").ok();
            self.table = table;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn workspace(path: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        fs::read_to_string(root.join(path)).expect(path)
    }

    #[test]
    fn the_example_is_what_geophone_writes() {
        let path = "deploy/geophone.toml";
        assert_eq!(
            workspace(path),
            example_file(),
            "`cargo run -- config example > {path}` writes it anew"
        );
    }

    #[test]
    fn every_example_in_it_can_be_used() {
        let set = example_file().replace("\n# ", "\n").replace("\n\n", "\n");
        let lines = set
            .lines()
            .filter(|line| line.starts_with('[') || line.contains(" = "));
        let text = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(settings::mistakes(&text), "", "{text}");
        assert!(text.matches(" = ").count() >= Settings::default().rows().len());
    }

    #[test]
    fn every_setting_has_its_row_in_the_documentation() {
        let page = workspace("docs/configuration.md");
        let code = |text: &str| format!("`{text}`");
        for row in Settings::default().rows() {
            let (table, _) = row.key.path.rsplit_once('.').unwrap_or_default();
            assert!(page.contains(&format!("`[{table}]`")), "{table} has no place");
            if table.contains('.') {
                continue;
            }
            let line = page
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` |", row.key.path)));
            let line = line.unwrap_or_else(|| panic!("{} is not told of", row.key.path));
            let default = row.key.default;
            let is_literal = format!("x = {default}").parse::<toml::Table>().is_ok();
            let wanted = [
                row.kind.clone(),
                if is_literal {
                    code(default)
                } else {
                    default.to_owned()
                },
            ];
            let others = row.key.variables.iter().copied().chain(row.key.flag).map(code);
            for wanted in wanted.into_iter().chain(others) {
                assert!(
                    line.contains(&format!("| {wanted}")) || line.contains(&format!(", {wanted}")),
                    "{wanted}: {line}"
                );
            }
            let reload = match row.key.reload {
                Reload::Now => "| yes |",
                Reload::AtStart => "| at the next start |",
            };
            assert!(line.ends_with(reload), "{line}");
        }
        // And none that there is not.
        let rows = Settings::default().rows();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            let path = line.split('`').nth(1).unwrap_or_default();
            assert!(rows.iter().any(|row| row.key.path == path), "{path} is none");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let secrets = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary"),
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "https://canary:canary@backend.example/otlp?token=canary",
            ),
            ("GEOPHONE_OTLP_LOGS_HEADERS", "x-api-key=canary"),
            ("GEOPHONE_OTLP_TRACES_ENDPOINT", "user:canary@backend:4317"),
        ];
        let rows = Settings::of(&[], &secrets).expect("fine").rows();
        for shown in [in_columns(&rows), in_toml(&rows), in_json(&rows)] {
            assert!(!shown.contains("canary"), "{shown}");
            assert!(shown.contains("https://backend.example/otlp"), "{shown}");
        }
    }

    #[test]
    fn the_settings_for_people_and_as_a_file() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            (
                "OTEL_SEMCONV_STABILITY_OPT_IN",
                "http/dup,gen_ai_latest_experimental",
            ),
            ("GEOPHONE_REDACTION_BUILTIN", "email,jwt"),
            ("GEOPHONE_REDACTION_PATTERNS", "CUST-\\d{1,9}\n[A-Z]{2},x"),
            ("GEOPHONE_OTLP_METRICS_ENDPOINT", "http://mimir/otlp/v1/metrics"),
        ];
        let flags = [
            "--redact",
            "iban",
            "--prometheus",
            "9464",
            "--tool-loop=false",
            "-v",
        ];
        let rows = Settings::of(&flags, &variables).expect("fine").rows();
        insta::assert_snapshot!("columns", in_columns(&rows));
        insta::assert_snapshot!("file", in_toml(&rows));
        assert_eq!(settings::mistakes(&in_toml(&rows)), "");
    }
}
