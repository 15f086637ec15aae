//! The outcome of a run: JSON for machines, a table for people.

use std::fmt::Write as _;

use serde::Serialize;

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// In the order they were taken.
    pub(crate) figures: Vec<Figure>,
}

/// One measured figure.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// Which measurement it belongs to.
    pub(crate) section: &'static str,
    /// What was measured.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// What was promised, where something was.
    pub(crate) target: Option<Target>,
}

/// A promise about a figure.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// The figure should not be greater.
    AtMost(f64),
    /// The figure should not be less.
    AtLeast(f64),
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Target::AtMost(limit) => value <= limit,
            Target::AtLeast(limit) => value >= limit,
        }
    }
}

impl Report {
    /// Adds a figure about which nothing was promised.
    pub(crate) fn add(
        &mut self,
        section: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) {
        self.figures.push(Figure {
            section,
            name: name.into(),
            value,
            unit,
            target: None,
        });
    }

    /// Adds a figure that has a target.
    pub(crate) fn add_against(
        &mut self,
        section: &'static str,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) {
        self.figures.push(Figure {
            section,
            name: name.into(),
            value,
            unit,
            target: Some(target),
        });
    }

    /// The figures as a table, section by section.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let width = self
            .figures
            .iter()
            .map(|figure| figure.name.len())
            .max()
            .unwrap_or(0);
        let mut section = "";
        for figure in &self.figures {
            if figure.section != section {
                section = figure.section;
                // Writing to a string cannot fail.
                writeln!(table, "\n{section}").ok();
            }
            let verdict = match figure.target {
                None => String::new(),
                Some(target) => {
                    let (sign, limit) = match target {
                        Target::AtMost(limit) => ("≤", limit),
                        Target::AtLeast(limit) => ("≥", limit),
                    };
                    let met = if target.is_met_by(figure.value) {
                        "met"
                    } else {
                        "MISSED"
                    };
                    format!("  target {sign} {limit}: {met}")
                }
            };
            writeln!(
                table,
                "  {:<width$}  {:>12.2} {}{verdict}",
                figure.name, figure.value, figure.unit
            )
            .ok();
        }
        table
    }
}

/// The middle one of several measurements: a single slow one on a shared machine does not count.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{Report, Target, median};

    #[test]
    fn the_table_says_which_targets_are_met() {
        let mut report = Report::default();
        report.add("one call", "no probe", 2.3, "ns");
        report.add_against("one call", "wanted", 1.6, "×", Target::AtMost(1.5));
        report.add_against("replay", "content off", 700.0, "MB/s", Target::AtLeast(500.0));
        let table = report.table();
        assert!(
            table.contains("wanted               1.60 ×  target ≤ 1.5: MISSED"),
            "{table}"
        );
        assert!(table.contains("700.00 MB/s  target ≥ 500: met"), "{table}");
    }

    #[test]
    fn the_median_is_not_moved_by_one_outlier() {
        assert!((median(vec![3.0, 1.0, 900.0]) - 3.0).abs() < f64::EPSILON);
    }
}
