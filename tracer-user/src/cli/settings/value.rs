//! How a value is written in the file and in a variable, and how it is shown.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

/// What a setting may be.
pub(in crate::cli) trait Value: Clone {
    /// Its type in the file, in words.
    fn kind() -> String;

    /// Reads what stands in the file; otherwise everything that is wrong with it.
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Wrong>>;

    /// Reads a variable of geophone; `None` where no variable can say it.
    fn from_text(text: &str) -> Option<Result<Self, String>>;

    /// Reads a variable that others know as well; `None` if it says nothing to geophone.
    fn from_shared(text: &str) -> Option<Result<Self, String>> {
        Self::from_text(text)
    }

    /// Reads paths as from the folder of the file in which they stand.
    fn seen_from(&mut self, _folder: &Path) {}

    /// The value as it may stand in the file.
    fn show(&self) -> toml::Value;
}

/// What is wrong with a part of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Wrong {
    /// Where.
    pub(in crate::cli) span: Range<usize>,
    /// What, to stand behind the name of the setting.
    pub(in crate::cli) what: String,
}

/// A single value, which has the same text wherever it is given.
pub(in crate::cli) trait Scalar: Clone {
    /// Types of TOML that it may have.
    const TYPES: &'static [Type];

    /// In a variable that holds several, what is between them. Regular expressions and paths have commas of their own.
    const SEPARATOR: char = ',';

    /// What is expected, to stand behind "expected".
    fn expected() -> String;

    /// Reads it. An error says what is wrong, where there is more to say than what was expected.
    fn parse(text: &str) -> Result<Self, Option<String>>;

    /// See [`Value::from_shared`].
    fn parse_shared(text: &str) -> Option<Result<Self, Option<String>>> {
        Some(Self::parse(text))
    }

    /// See [`Value::seen_from`].
    fn seen_from(&mut self, _folder: &Path) {}

    /// See [`Value::show`].
    fn show(&self) -> toml::Value;
}

/// Types of TOML that a scalar may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Type {
    Boolean,
    Integer,
    String,
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::String => "string",
        }
    }
}

impl<T: Scalar> Value for T {
    fn kind() -> String {
        let types: Vec<&str> = T::TYPES.iter().map(|kind| kind.name()).collect();
        types.join(" or ")
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Wrong>> {
        let wrong = |what| {
            vec![Wrong {
                span: value.span(),
                what,
            }]
        };
        let text = match value.get_ref() {
            DeValue::String(text) if T::TYPES.contains(&Type::String) => text.to_string(),
            DeValue::Integer(number) if T::TYPES.contains(&Type::Integer) => number.to_string(),
            DeValue::Boolean(truth) if T::TYPES.contains(&Type::Boolean) => truth.to_string(),
            other => {
                let article = if other.type_str().starts_with(['a', 'i', 'o']) {
                    "an"
                } else {
                    "a"
                };
                return Err(wrong(format!(
                    "is {article} {}, expected {}",
                    other.type_str(),
                    T::expected()
                )));
            }
        };
        T::parse(&text).map_err(|why| wrong(refused::<T>(&text, why)))
    }

    fn from_text(text: &str) -> Option<Result<Self, String>> {
        Some(T::parse(text).map_err(|why| refused::<T>(text, why)))
    }

    fn from_shared(text: &str) -> Option<Result<Self, String>> {
        let read = T::parse_shared(text)?;
        Some(read.map_err(|why| refused::<T>(text, why)))
    }

    fn seen_from(&mut self, folder: &Path) {
        Scalar::seen_from(self, folder);
    }

    fn show(&self) -> toml::Value {
        Scalar::show(self)
    }
}

impl<T: Scalar> Value for Vec<T> {
    fn kind() -> String {
        format!("list of {}s", <T as Value>::kind())
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Vec<Wrong>> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(vec![Wrong {
                span: value.span(),
                what: format!("is no list, expected `[…]` of {}", T::expected()),
            }]);
        };
        let mut wrong = Vec::new();
        let mut read = Vec::new();
        for item in items {
            match T::from_toml(item) {
                Ok(item) => read.push(item),
                Err(more) => wrong.extend(more),
            }
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }

    fn from_text(text: &str) -> Option<Result<Self, String>> {
        let items = text.split(T::SEPARATOR).map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        Some(
            items
                .map(|item| T::parse(item).map_err(|why| refused::<T>(item, why)))
                .collect(),
        )
    }

    fn from_shared(text: &str) -> Option<Result<Self, String>> {
        let items = text.split(T::SEPARATOR).map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        let read = items.filter_map(|item| Some((item, T::parse_shared(item)?)));
        Some(
            read.map(|(item, read)| read.map_err(|why| refused::<T>(item, why)))
                .collect(),
        )
    }

    fn seen_from(&mut self, folder: &Path) {
        for item in self {
            Scalar::seen_from(item, folder);
        }
    }

    fn show(&self) -> toml::Value {
        toml::Value::Array(self.iter().map(Scalar::show).collect())
    }
}

fn refused<T: Scalar>(text: &str, why: Option<String>) -> String {
    let shown: String = text.chars().take(SHOWN).collect();
    match why {
        Some(why) => format!("is {shown:?}: {why}"),
        None => format!("is {shown:?}, expected {}", T::expected()),
    }
}

/// So much of a wrong value is repeated.
const SHOWN: usize = 60;
