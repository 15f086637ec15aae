//! `docs/signals.md` as a table: which names it tells of, and of what type each attribute is.

use std::collections::{BTreeMap, BTreeSet};

use tracer_user::genai::span::{Attribute, Span, Value};

/// What the page tells.
pub(crate) struct Page {
    /// Attributes in the first column of a table whose second column is a type.
    types: BTreeMap<String, String>,
    /// Everything in back quotes.
    words: BTreeSet<String>,
}

impl Page {
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/signals.md");
        let text = std::fs::read_to_string(path).expect("docs/signals.md is part of the repository");
        let types = text.lines().filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            let told = cells.next()?;
            let typed = ["string", "int", "double", "bool"]
                .iter()
                .any(|kind| told.starts_with(kind));
            typed.then(|| (name.to_owned(), told.to_owned()))
        });
        let words = text
            .lines()
            .flat_map(|line| line.split('`').skip(1).step_by(2))
            .map(str::to_owned);
        Self {
            types: types.collect(),
            words: words.collect(),
        }
    }

    /// What a span says that the page does not tell, or tells otherwise.
    pub(crate) fn untold(&self, span: &Span) -> Vec<String> {
        let mut untold = Vec::new();
        let mut keys = BTreeSet::new();
        for Attribute { key, value } in &span.attributes {
            if !keys.insert(key) {
                untold.push(format!("{key} is there twice"));
            }
            match self.types.get(*key) {
                None => untold.push(format!("{key} is not in any table")),
                Some(told) if !told.contains(kind(value)) => {
                    untold.push(format!("{key} is {value:?}, told is {told}"));
                }
                Some(_) => {}
            }
        }
        for event in &span.events {
            let names = event.attributes.iter().map(|attribute| attribute.key);
            let unknown = names
                .chain([event.name])
                .filter(|name| !self.words.contains(*name));
            untold.extend(unknown.map(|name| format!("{name} of an event is not told")));
        }
        untold
    }
}

/// Type of a value in the page's words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Int(_) => "int",
        Value::Double(_) => "double",
        Value::Bool(_) => "bool",
        Value::Strings(_) => "string[]",
    }
}
