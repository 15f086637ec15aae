//! Which file is read, and in which order the layers go over each other.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::BAD_USAGE;
use super::super::arguments::{Arguments, Command};
use super::super::failure::Failure;
use super::problem::Problems;
use super::{Settings, environment, file, flags};

/// The file of the host. It belongs to `geophone run`, and to who tells of that: what a person does beside it by hand does not follow it unasked, so
/// that no span is sent twice and no file or address is wanted by two.
pub(in crate::cli) const FILE: &str = "/etc/geophone/geophone.toml";

/// Names another file.
pub(in crate::cli) const FILE_VARIABLE: &str = "GEOPHONE_CONFIG";

/// The settings of a command.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Loaded {
    /// What was said by whom.
    pub(in crate::cli) settings: Settings,
    /// The file that was read.
    pub(in crate::cli) file: Option<Arc<PathBuf>>,
}

/// Reads every layer. `variable` reads the environment.
pub(in crate::cli) fn load(
    arguments: &Arguments,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Failure> {
    let file = file_of(arguments, variable);
    let (loaded, problems) = read(file, arguments, variable);
    if problems.is_empty() {
        return Ok(loaded);
    }
    let what = match problems.len() {
        1 => "a setting cannot be used".to_owned(),
        number => format!("{number} settings cannot be used"),
    };
    let remedy =
        "docs/configuration.md has every setting; `geophone config check` reads the file without tracing";
    let why = problems.to_string().replace('\n', "\n       ");
    Err(Failure::new(what, why, remedy).with_exit_code(BAD_USAGE))
}

/// The same, with everything that is wrong.
pub(in crate::cli) fn read(
    file: Option<PathBuf>,
    arguments: &Arguments,
    variable: &dyn Fn(&str) -> Option<String>,
) -> (Loaded, Problems) {
    let mut settings = Settings::default();
    let mut problems = Problems::default();
    let file = file.map(Arc::new);
    if let Some(path) = &file {
        match file::read(path) {
            Ok(text) => file::give(Arc::clone(path), &text, &mut settings, &mut problems),
            Err(error) => {
                let path = path.display();
                problems.add(None, format!("the settings in {path} cannot be read: {error}"));
            }
        }
    }
    environment::give(variable, &mut settings, &mut problems);
    flags::give(arguments, &mut settings);
    (Loaded { settings, file }, problems.sorted())
}

/// The file that a command reads: the one it is told, else for a daemon that of the host.
pub(in crate::cli) fn file_of(
    arguments: &Arguments,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<PathBuf> {
    if let Some(file) = &arguments.config {
        return Some(file.clone());
    }
    if let Some(file) = variable(FILE_VARIABLE).filter(|file| !file.is_empty()) {
        return Some(file.into());
    }
    let follows_the_host = match arguments.command {
        Command::Run(_) | Command::Top(_) | Command::Doctor(_) | Command::Config(_) => true,
        Command::Attach(_)
        | Command::Exec(_)
        | Command::Record(_)
        | Command::Replay(_)
        | Command::Gate(_) => false,
    };
    (follows_the_host && is_there(Path::new(FILE))).then(|| FILE.into())
}

/// One that is there and cannot be read must not pass for none.
fn is_there(path: &Path) -> bool {
    !std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
