//! What is wrong with settings: all of it, each with its place and what was expected.

use std::fmt;

use super::setting::Place;

/// Something wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Problem {
    /// Where in the file; elsewhere the sentence says it.
    pub(in crate::cli) place: Option<Place>,
    /// A sentence: what is wrong and what was expected.
    pub(in crate::cli) what: String,
}

/// Everything wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::cli) struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub(in crate::cli) fn add(&mut self, place: Option<Place>, what: impl Into<String>) {
        self.0.push(Problem {
            place,
            what: what.into(),
        });
    }

    /// Whether all is well.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(in crate::cli) fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order of the file, what is elsewhere behind it.
    pub(in crate::cli) fn sorted(mut self) -> Self {
        self.0.sort_by_key(|problem| match &problem.place {
            Some(place) => (place.line, place.column),
            None => (usize::MAX, usize::MAX),
        });
        self
    }
}

impl fmt::Display for Problems {
    /// A line for each.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { place, what }) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            if let Some(place) = place {
                write!(formatter, "{place}: ")?;
            }
            formatter.write_str(what)?;
        }
        Ok(())
    }
}

/// The nearest of some names, if one is near enough to be what was meant.
pub(in crate::cli) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(score, _)| *score >= NEAR).map(|(_, known)| known)
}

/// Below this a name is no slip of the pen.
const NEAR: f64 = 0.85;
