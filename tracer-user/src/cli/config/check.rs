//! Everything that is wrong with a file of settings and with the files it names.

use std::path::PathBuf;
use std::process::ExitCode;

use super::super::arguments::Arguments;
use super::super::failure::Failure;
use super::super::settings::{self, Loaded, Origin, Problems, Setting, Settings};
use super::super::spans::variable;
use super::super::{redaction, say};
use crate::genai::Redaction;
use crate::genai::cost::Prices;

/// Says what is wrong.
pub(super) fn check(file: Option<PathBuf>, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some(file) = file.or_else(|| settings::file_of(arguments, &variable)) else {
        let why = "neither FILE, --config nor GEOPHONE_CONFIG names one, and /etc/geophone/geophone.toml is not there";
        let remedy = "name a file; `geophone config example` writes one to begin with";
        return Err(Failure::new("there is nothing to check", why, remedy));
    };
    let name = file.display().to_string();
    // The file alone, whatever the environment makes of it here.
    let (Loaded { settings, .. }, mut problems) = settings::read(Some(file), arguments, &|_| None);
    look_into_files(&settings, &mut problems);
    settings.check_otlp(&mut problems);
    let problems = problems.sorted();
    if problems.is_empty() {
        say(&format_args!("{name}: fine"));
        return Ok(ExitCode::SUCCESS);
    }
    say(&problems);
    Ok(ExitCode::FAILURE)
}

/// Reads what the settings name.
fn look_into_files(settings: &Settings, problems: &mut Problems) {
    let Settings {
        prices, redaction, ..
    } = settings;
    if let Some(file) = prices.file.get() {
        let path = file.0.display();
        match std::fs::read_to_string(&file.0) {
            Ok(text) => {
                if let Err(error) = Prices::parse(&text) {
                    add(
                        problems,
                        &prices.file,
                        format!("`prices.file` is {path}: {error}"),
                    );
                }
            }
            Err(error) => add(
                problems,
                &prices.file,
                format!("`prices.file` is {path}: {error}"),
            ),
        }
    }
    let before = problems.len();
    for file in redaction.files.all() {
        let path = file.0.display();
        let read = std::fs::read_to_string(&file.0).map_err(|error| error.to_string());
        let wrong = read.and_then(|text| {
            let rules = Redaction::default().add_file(&text);
            rules.map_err(|error| error.to_string())
        });
        if let Err(error) = wrong {
            let what = format!("`redaction.files` has {path}: {error}");
            add(problems, &redaction.files, what);
        }
    }
    if problems.len() == before
        && let Err(failure) = redaction::rules(redaction)
    {
        problems.add(None, failure.to_string());
    }
}

fn add<T>(problems: &mut Problems, setting: &Setting<T>, what: String) {
    let place = match setting.origin() {
        Origin::File(place) => Some(place.clone()),
        Origin::Default | Origin::Variable(_) | Origin::Flag(_) => None,
    };
    problems.add(place, what);
}
