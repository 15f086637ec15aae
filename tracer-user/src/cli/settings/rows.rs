//! The settings as rows of text: to be shown, and to be compared.

use super::key::{Key, Secrecy};
use super::setting::{Origin, Setting};
use super::value::Value;
use super::{Settings, Visitor};

/// A setting with its value and who gave that.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Row {
    /// Which it is.
    pub(in crate::cli) key: &'static Key,
    /// Its type in the file.
    pub(in crate::cli) kind: String,
    /// Whether a variable can say it: a list of tables is beyond one.
    pub(in crate::cli) has_variable: bool,
    /// Its value; `None` for the default.
    value: Option<toml::Value>,
    /// Who gave it; several where layers add up.
    pub(in crate::cli) origins: Vec<Origin>,
}

/// Stands for what is not shown.
const NOT_SHOWN: &str = "(not shown)";

impl Row {
    /// Its value, as far as it may be shown; `None` for the default.
    pub(in crate::cli) fn shown(&self) -> Option<toml::Value> {
        let value = self.value.clone()?;
        match (self.key.secrecy, &value) {
            (Secrecy::Public, _) => Some(value),
            (Secrecy::Address, toml::Value::String(text)) => Some(toml::Value::String(without_secrets(text))),
            (Secrecy::Address | Secrecy::Secret, _) => Some(toml::Value::String(NOT_SHOWN.to_owned())),
        }
    }

    /// Whether all of its value may be shown.
    pub(in crate::cli) fn is_shown(&self) -> bool {
        self.shown() == self.value
    }

    /// Whether another row has the same value.
    pub(in crate::cli) fn is_same(&self, other: &Self) -> bool {
        self.value == other.value
    }

    /// Who gave it, in words.
    pub(in crate::cli) fn origin(&self) -> String {
        if self.origins.is_empty() {
            return Origin::Default.to_string();
        }
        let origins: Vec<String> = self.origins.iter().map(ToString::to_string).collect();
        origins.join(", ")
    }
}

/// An address without user, password and query.
fn without_secrets(address: &str) -> String {
    let parsed = reqwest::Url::parse(address).ok();
    let Some(mut url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        let hides_something = address.contains(['@', '?']);
        return if hides_something { NOT_SHOWN } else { address }.to_owned();
    };
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        return address.to_owned();
    }
    url.set_query(None);
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_or_else(|()| NOT_SHOWN.to_owned(), |()| url.to_string())
}

#[derive(Default)]
struct Rows(Vec<Row>);

impl Visitor for Rows {
    fn setting<T: Value>(&mut self, key: &'static Key, setting: &mut Setting<T>) {
        let given = setting.given();
        let counts = if key.adds_up {
            given
        } else {
            given.get(given.len().saturating_sub(1)..).unwrap_or_default()
        };
        let value = counts.iter().map(|(_, value)| value.show());
        let value = value.reduce(|one, other| match (one, other) {
            (toml::Value::Array(mut items), toml::Value::Array(more)) => {
                items.extend(more);
                toml::Value::Array(items)
            }
            (_, other) => other,
        });
        self.0.push(Row {
            key,
            kind: T::kind(),
            has_variable: T::from_text("").is_some(),
            value,
            origins: counts.iter().map(|(origin, _)| origin.clone()).collect(),
        });
    }
}

impl Settings {
    /// A row for each setting, in the order of the file.
    pub(in crate::cli) fn rows(&self) -> Vec<Row> {
        let mut rows = Rows::default();
        self.clone().visit(&mut rows);
        rows.0
    }
}
