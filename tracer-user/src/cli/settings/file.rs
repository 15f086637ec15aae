//! The settings file.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::Key;
use super::problem::{Problems, nearest};
use super::setting::{Origin, Place, Setting};
use super::value::{Value, Wrong};
use super::{Settings, Visitor};

/// Longer files are no settings.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        let why = format!("it is larger than {MAX_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}

/// Gives what a file says to the settings, and says everything that is wrong with it.
pub(super) fn give(file: Arc<PathBuf>, text: &str, settings: &mut Settings, problems: &mut Problems) {
    let (root, errors) = DeTable::parse_recoverable(text);
    let source = Source { file, text };
    let mut broken = Vec::new();
    for error in &errors {
        let place = source.place(error.span().unwrap_or_default());
        broken.push(place.line);
        problems.add(Some(place), format!("this is no TOML: {}", error.message()));
    }
    let mut layer = Layer {
        source,
        root: root.get_ref(),
        broken,
        known: Vec::new(),
        problems,
    };
    settings.visit(&mut layer);
    layer.find_unknown("", root.get_ref());
}

/// The file, to tell places in it.
struct Source<'t> {
    file: Arc<PathBuf>,
    text: &'t str,
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            file: Arc::clone(&self.file),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

struct Layer<'t> {
    source: Source<'t>,
    root: &'t DeTable<'t>,
    /// Lines that are no TOML: what else is wrong there follows from that.
    broken: Vec<usize>,
    /// Every setting there is.
    known: Vec<&'static str>,
    problems: &'t mut Problems,
}

impl Visitor for Layer<'_> {
    fn setting<T: Value>(&mut self, key: &'static Key, setting: &mut Setting<T>) {
        self.known.push(key.path);
        let Some(value) = find(self.root, key.path) else {
            return;
        };
        match T::from_toml(value) {
            Ok(mut value_read) => {
                value_read.seen_from(self.source.file.parent().unwrap_or(Path::new("")));
                let place = self.source.place(value.span());
                setting.give(Origin::File(place), value_read);
            }
            Err(wrong) => {
                for Wrong { span, what } in wrong {
                    self.problem(span, format!("`{}` {what}", key.path));
                }
            }
        }
    }
}

impl Layer<'_> {
    fn problem(&mut self, span: Range<usize>, what: String) {
        let place = self.source.place(span);
        if !self.broken.contains(&place.line) {
            self.problems.add(Some(place), what);
        }
    }

    /// Looks for names that no setting has. `prefix`: the table's name with a dot behind it.
    fn find_unknown(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = format!("{prefix}{}", name.get_ref());
            if self.known.contains(&path.as_str()) {
                continue;
            }
            let inner = format!("{path}.");
            if !self.known.iter().any(|known| known.starts_with(&inner)) {
                let hint = self.meant(prefix, name.get_ref());
                let hint = hint.map(|meant| format!(", did you mean `{meant}`?"));
                let word = if value.get_ref().is_table() {
                    "table"
                } else {
                    "key"
                };
                self.problem(
                    name.span(),
                    format!("unknown {word} `{path}`{}", hint.unwrap_or_default()),
                );
                continue;
            }
            match value.get_ref() {
                DeValue::Table(table) => self.find_unknown(&inner, table),
                other => {
                    let found = other.type_str();
                    self.problem(
                        value.span(),
                        format!("`{path}` is of type {found}, expected a table: write `[{path}]`"),
                    );
                }
            }
        }
    }

    /// What was probably meant: a name beside it, else one of the same name in another table.
    fn meant(&self, prefix: &str, name: &str) -> Option<String> {
        let beside = self.known.iter().filter_map(|known| {
            let rest = known.strip_prefix(prefix)?;
            rest.split('.').next()
        });
        if let Some(meant) = nearest(name, beside) {
            return Some(format!("{prefix}{meant}"));
        }
        let last = |known: &'static str| known.rsplit('.').next().unwrap_or(known);
        let meant = nearest(name, self.known.iter().map(|known| last(known)))?;
        let known = self.known.iter().find(|known| last(known) == meant)?;
        Some((*known).to_owned())
    }
}

/// What stands at a path.
fn find<'t>(root: &'t DeTable<'t>, path: &str) -> Option<&'t Spanned<DeValue<'t>>> {
    match path.split_once('.') {
        None => root.get(path),
        Some((table, rest)) => match root.get(table)?.get_ref() {
            DeValue::Table(table) => find(table, rest),
            _ => None,
        },
    }
}
