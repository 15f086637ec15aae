//! A list of tables, `[[rules]]`, each read by serde.
//!
//! The fields of such a table are its type's own affair: `#[derive(Deserialize, Serialize)]` with
//! `#[serde(deny_unknown_fields)]`, and what serde cannot see is said by [`Table::check`].

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::problem::nearest;
use super::value::{Value, Wrong};

/// A list of tables of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Tables<T>(pub(in crate::cli) Vec<T>);

/// One table of a list.
pub(in crate::cli) trait Table: Clone + Serialize + DeserializeOwned {
    /// What is wrong with it although every field is what it should be.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl<T: Table> Value for Tables<T> {
    fn kind() -> String {
        "list of tables".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Wrong>> {
        let DeValue::Array(tables) = value.get_ref() else {
            return Err(vec![Wrong {
                span: value.span(),
                what: "is no list of tables, write each with its name in double brackets, `[[…]]`".to_owned(),
            }]);
        };
        let mut wrong = Vec::new();
        let mut read = Vec::new();
        for table in tables {
            let parsed = T::deserialize(ValueDeserializer::from(table.clone())).map_err(|error| Wrong {
                span: error.span().unwrap_or(table.span()),
                what: format!("cannot be read: {}", with_a_hint(error.message())),
            });
            let checked = parsed.and_then(|parsed| match parsed.check() {
                Ok(()) => Ok(parsed),
                Err(why) => Err(Wrong {
                    span: table.span(),
                    what: format!("cannot be used: {why}"),
                }),
            });
            match checked {
                Ok(table) => read.push(table),
                Err(more) => wrong.push(more),
            }
        }
        if wrong.is_empty() {
            Ok(Self(read))
        } else {
            Err(wrong)
        }
    }

    fn from_text(_text: &str) -> Option<Result<Self, String>> {
        None
    }

    fn show(&self) -> toml::Value {
        toml::Value::try_from(&self.0).unwrap_or_else(|_| toml::Value::Array(Vec::new()))
    }
}

/// serde names what it does not know first, then what it does, each between backticks.
fn with_a_hint(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let meant = names.next().and_then(|unknown| nearest(unknown, names));
    match meant {
        Some(meant) if message.starts_with("unknown field") => {
            format!("{message}; did you mean `{meant}`?")
        }
        Some(_) | None => message.to_owned(),
    }
}
