//! A query held against what is served: each selector finds a series, each label is one of the series that it is taken from.

use std::collections::BTreeSet;

use promql_parser::label::Labels;
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorSelector};

use super::scrape::Series;

/// Labels that the answer to a query has.
pub(super) type Names = BTreeSet<String>;

/// The labels of the answer, or what the query asks for in vain.
pub(super) fn check(query: &str, served: &[Series]) -> Result<Names, String> {
    let parsed = parser::parse(query)?;
    labels(&parsed, served)
}

fn labels(query: &Expr, served: &[Series]) -> Result<Names, String> {
    match query {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Ok(Names::new()),
        Expr::VectorSelector(selector) => selected(selector, served),
        Expr::MatrixSelector(selector) => selected(&selector.vs, served),
        Expr::Paren(inner) => labels(&inner.expr, served),
        Expr::Unary(inner) => labels(&inner.expr, served),
        Expr::Subquery(inner) => labels(&inner.expr, served),
        Expr::Aggregate(aggregate) => aggregated(aggregate, served),
        Expr::Call(call) => called(call, served),
        Expr::Binary(binary) => combined(binary, served),
        Expr::Extension(_) => Err("the parser of Prometheus knows no extensions".to_owned()),
    }
}

fn selected(selector: &VectorSelector, served: &[Series]) -> Result<Names, String> {
    let name = selector.name.as_deref().ok_or("a selector without a name")?;
    let mut named = served.iter().filter(|series| series.name == name).peekable();
    if named.peek().is_none() {
        return Err(format!("{name} is not served"));
    }
    let matchers = &selector.matchers.matchers;
    let series: Vec<&Series> = named.collect();
    for matcher in matchers {
        if !series
            .iter()
            .any(|series| series.labels.contains_key(&matcher.name))
        {
            return Err(format!("{name} has no label {}", matcher.name));
        }
    }
    let found: Vec<_> = series
        .into_iter()
        .filter(|series| {
            // A label that is not there is an empty one.
            let value = |name: &String| series.labels.get(name).map_or("", String::as_str);
            matchers
                .iter()
                .all(|matcher| matcher.is_match(value(&matcher.name)))
        })
        .collect();
    if found.is_empty() {
        return Err(format!("no series is found by {selector}"));
    }
    Ok(found
        .into_iter()
        .flat_map(|series| series.labels.keys().cloned())
        .collect())
}

fn aggregated(aggregate: &AggregateExpr, served: &[Series]) -> Result<Names, String> {
    let inner = labels(&aggregate.expr, served)?;
    match &aggregate.modifier {
        None => Ok(Names::new()),
        Some(LabelModifier::Include(by)) => among(by, &inner),
        Some(LabelModifier::Exclude(without)) => {
            let without = among(without, &inner)?;
            Ok(inner.difference(&without).cloned().collect())
        }
    }
}

fn called(call: &Call, served: &[Series]) -> Result<Names, String> {
    let mut all = Names::new();
    for argument in &call.args.args {
        all.extend(labels(argument, served)?);
    }
    if call.func.name == "histogram_quantile" && !all.remove("le") {
        return Err("a quantile of what has no label le".to_owned());
    }
    Ok(all)
}

fn combined(binary: &BinaryExpr, served: &[Series]) -> Result<Names, String> {
    let (left, right) = (labels(&binary.lhs, served)?, labels(&binary.rhs, served)?);
    let Some(modifier) = &binary.modifier else {
        return both_alike(binary, left, &right);
    };
    if let Some(matching) = &modifier.matching {
        among(matching.labels(), &left)?;
        among(matching.labels(), &right)?;
    } else {
        return both_alike(binary, left, &right);
    }
    let mut all = left;
    if let Some(taken_over) = modifier.card.labels() {
        all.extend(among(taken_over, &right)?);
    }
    Ok(all)
}

/// Without `on`, only series with the same labels meet; a number meets all.
fn both_alike(binary: &BinaryExpr, left: Names, right: &Names) -> Result<Names, String> {
    let is_number = |side: &Expr| matches!(side, Expr::NumberLiteral(_));
    if left == *right || is_number(&binary.rhs) {
        Ok(left)
    } else if is_number(&binary.lhs) {
        Ok(right.clone())
    } else {
        Err(format!("{left:?} and {right:?} are combined and never meet"))
    }
}

fn among(wanted: &Labels, known: &Names) -> Result<Names, String> {
    let wanted: Names = wanted.labels.iter().cloned().collect();
    match wanted.difference(known).next() {
        Some(missing) => Err(format!("there is no label {missing} among {known:?}")),
        None => Ok(wanted),
    }
}
