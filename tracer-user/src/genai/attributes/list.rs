//! `List`: attributes as they are gathered.

use std::borrow::Cow;

use crate::genai::span::{Attribute, Value};

/// Attributes; what is unknown is left out.
#[derive(Default)]
pub(in crate::genai) struct List(Vec<Attribute>);

impl List {
    /// The attributes in the order they were added.
    pub(in crate::genai) fn into_attributes(self) -> Vec<Attribute> {
        self.0
    }

    /// Any value.
    pub(in crate::genai) fn push(&mut self, key: &'static str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.push(Attribute { key, value });
        }
    }

    /// One of the words spelled in the code.
    pub(in crate::genai) fn text(&mut self, key: &'static str, value: Option<&'static str>) {
        self.push(key, value.map(|text| Value::String(Cow::Borrowed(text))));
    }

    /// Text from the wire.
    pub(in crate::genai) fn string(&mut self, key: &'static str, value: Option<impl Into<String>>) {
        self.push(key, value.map(|text| Value::String(Cow::Owned(text.into()))));
    }

    /// Texts in order; none is left out.
    pub(in crate::genai) fn strings(&mut self, key: &'static str, values: Vec<String>) {
        self.push(key, (!values.is_empty()).then_some(Value::Strings(values)));
    }

    /// A number that is never negative.
    pub(in crate::genai) fn count(&mut self, key: &'static str, value: Option<u64>) {
        self.push(
            key,
            value.map(|count| Value::Int(i64::try_from(count).unwrap_or(i64::MAX))),
        );
    }

    /// A number.
    pub(in crate::genai) fn double(&mut self, key: &'static str, value: Option<f64>) {
        self.push(key, value.map(Value::Double));
    }

    /// A truth.
    pub(in crate::genai) fn truth(&mut self, key: &'static str, value: Option<bool>) {
        self.push(key, value.map(Value::Bool));
    }

    /// A number that must be whole; one that is not is no value of this attribute.
    #[allow(clippy::cast_possible_truncation, reason = "the range is checked")]
    pub(in crate::genai) fn whole(&mut self, key: &'static str, value: Option<f64>) {
        let whole = value.filter(|number| number.fract() == 0.0 && number.abs() < 1e15);
        self.push(key, whole.map(|number| Value::Int(number as i64)));
    }
}
