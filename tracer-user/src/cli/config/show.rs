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
                "flag": row.key.flag,
                "variable": row.key.variable(),
                "reloadable": row.key.reload == Reload::Now,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::Value::Array(rows))
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
