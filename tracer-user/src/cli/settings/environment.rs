//! The settings that the environment has.

use super::super::note;
use super::key::Key;
use super::problem::Problems;
use super::setting::{Origin, Setting};
use super::value::Value;
use super::{Settings, Visitor, keys};
use crate::genai::Capture;

/// Gives what the environment says to the settings. An empty variable is as good as none.
pub(super) fn give(
    variable: &dyn Fn(&str) -> Option<String>,
    settings: &mut Settings,
    problems: &mut Problems,
) {
    settings.visit(&mut Layer { variable, problems });
    let shared = keys::CAPTURE.variables.iter();
    for (name, text) in shared.filter_map(|name| Some((name, variable(name)?))) {
        if Capture::from_variable(&text).is_none() {
            note(format_args!(
                "{name} is {text:?}, which is none of no_content, span_only, event_only, span_and_event: \
                 prompts and completions stay away"
            ));
        }
    }
}

struct Layer<'e> {
    variable: &'e dyn Fn(&str) -> Option<String>,
    problems: &'e mut Problems,
}

impl Visitor for Layer<'_> {
    fn setting<T: Value>(&mut self, key: &'static Key, setting: &mut Setting<T>) {
        let read = |name: &str| (self.variable)(name).filter(|text| !text.trim().is_empty());
        for &name in key.variables {
            if let Some(value) = read(name).and_then(|text| T::from_shared(text.trim())) {
                self.take(name.to_owned(), value, setting);
            }
        }
        let own = key.variable();
        if let Some(value) = read(&own).and_then(|text| T::from_text(text.trim())) {
            self.take(own, value, setting);
        }
    }
}

impl Layer<'_> {
    fn take<T>(&mut self, name: String, value: Result<T, String>, setting: &mut Setting<T>) {
        match value {
            Ok(value) => setting.give(Origin::Variable(name), value),
            Err(what) => self.problems.add(None, format!("{name} {what}")),
        }
    }
}
