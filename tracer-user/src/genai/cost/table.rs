//! `Prices`: the table, and how a row is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::model::behind_profile;
use super::rates::Row;
use super::{litellm, toml_file};

/// List prices by model and region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prices {
    /// By model, then by region; the empty region stands for all others.
    rows: BTreeMap<String, BTreeMap<String, Row>>,
    /// Models of which some profile has a price of its own.
    apart: BTreeSet<String>,
    date: Option<String>,
}

/// A table that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PricesError {
    /// The text is not in one of the formats.
    #[error("line {line}: {reason}")]
    Syntax {
        /// Where, counted from one.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A price is none.
    #[error("{model}: {key} is {value}, which is no price ({unit}, zero or more)")]
    Price {
        /// Model of the row.
        model: String,
        /// Which price of it.
        key: String,
        /// What was given.
        value: String,
        /// What was expected.
        unit: &'static str,
    },
    /// There is nothing about Bedrock in it.
    #[error("it has no price of a Bedrock model")]
    Empty,
}

/// The table that is compiled in.
const DEFAULT: &str = include_str!("default.toml");

impl Prices {
    /// The table that is compiled in: what was known on its date.
    pub fn compiled_in() -> Arc<Self> {
        static TABLE: OnceLock<Arc<Prices>> = OnceLock::new();
        let table = TABLE.get_or_init(|| Arc::new(Self::parse(DEFAULT).unwrap_or_default()));
        Arc::clone(table)
    }

    /// Reads a table: our own TOML, or the JSON of LiteLLM's `model_prices_and_context_window.json`.
    #[allow(clippy::doc_markdown, reason = "the name of a project")]
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let mut prices = if text.trim_start().starts_with('{') {
            litellm::parse(text)?
        } else {
            toml_file::parse(text)?
        };
        if prices.rows.is_empty() {
            return Err(PricesError::Empty);
        }
        prices.find_profiles_apart();
        Ok(prices)
    }

    /// The same with rows of another table, which go before those of this one: models it names are priced by it alone.
    #[must_use]
    pub fn overlaid(&self, other: Self) -> Self {
        let mut rows = self.rows.clone();
        rows.extend(other.rows);
        let mut prices = Self {
            rows,
            apart: BTreeSet::new(),
            date: other.date,
        };
        prices.find_profiles_apart();
        prices
    }

    /// The day of which the prices are, as the table says it.
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn set_date(&mut self, date: Option<String>) {
        self.date = date;
    }

    /// Puts a row in. The first of a model and region stays.
    pub(super) fn insert(&mut self, model: &str, region: Option<&str>, row: &Row) {
        self.rows
            .entry(model.to_owned())
            .or_default()
            .entry(region.unwrap_or_default().to_owned())
            .or_insert(*row);
    }

    /// The row of a model or profile. A profile without a row costs what its model does, unless the table says of another
    /// profile of this model that it does not.
    pub(super) fn row(&self, id: &str, region: Option<&str>) -> Option<&Row> {
        self.row_of(id, region).or_else(|| {
            let model = behind_profile(id).filter(|model| !self.apart.contains(*model))?;
            self.row_of(model, region)
        })
    }

    fn row_of(&self, id: &str, region: Option<&str>) -> Option<&Row> {
        let regions = self.rows.get(id)?;
        let own = region.and_then(|region| regions.get(region));
        // GovCloud has prices of its own for everything.
        let is_gov = region.is_some_and(|region| region.starts_with("us-gov-")) && !id.starts_with("us-gov.");
        own.or_else(|| regions.get("").filter(|_| !is_gov))
    }

    fn find_profiles_apart(&mut self) {
        let rows = &self.rows;
        let differs = |(profile, row): (&String, &BTreeMap<String, Row>)| {
            let model = behind_profile(profile)?;
            let usual = |regions: &BTreeMap<String, Row>| regions.get("").map(|row| row.usual);
            (usual(rows.get(model)?) != usual(row)).then(|| model.to_owned())
        };
        self.apart = rows.iter().filter_map(differs).collect();
    }
}
