//! Our own table, in TOML: prices in USD per million tokens. `docs/prices.md` explains it.

use serde::Deserialize;

use super::rates::{self, Rates, Row};
use super::table::{Prices, PricesError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    date: Option<String>,
    #[serde(default)]
    price: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    model: String,
    region: Option<String>,
    input: Option<f64>,
    output: Option<f64>,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
    flex: Option<Tier>,
    priority: Option<Tier>,
    batch: Option<Tier>,
    long: Option<Long>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    input: Option<f64>,
    output: Option<f64>,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    above: u64,
    input: Option<f64>,
    output: Option<f64>,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    cache_write_1h: Option<f64>,
}

pub(super) fn parse(text: &str) -> Result<Prices, PricesError> {
    let File { date, price } = toml::from_str(text).map_err(|error| PricesError::Syntax {
        line: error.span().map_or(1, |span| line(text, span.start)),
        reason: error.message().to_owned(),
    })?;
    let mut prices = Prices::default();
    prices.set_date(date);
    for entry in price {
        let (model, region, row) = row(entry)?;
        prices.insert(&model, region.as_deref(), &row);
    }
    Ok(prices)
}

fn row(entry: Entry) -> Result<(String, Option<String>, Row), PricesError> {
    let Entry {
        model,
        region,
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
        flex,
        priority,
        batch,
        long,
    } = entry;
    let usual = Tier {
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
    };
    let tier = |name, tier: Option<Tier>| tier.map(|tier| rates(&model, name, &tier)).transpose();
    let row = Row {
        usual: rates(&model, "", &usual)?,
        flex: tier("flex.", flex)?,
        priority: tier("priority.", priority)?,
        batch: tier("batch.", batch)?,
        long: long
            .map(|long| {
                let Long {
                    above,
                    input,
                    output,
                    cache_read,
                    cache_write,
                    cache_write_1h,
                } = long;
                let tier = Tier {
                    input,
                    output,
                    cache_read,
                    cache_write,
                    cache_write_1h,
                };
                rates(&model, "long.", &tier).map(|rates| (above, rates))
            })
            .transpose()?,
    };
    Ok((model, region, row))
}

fn rates(model: &str, tier: &str, prices: &Tier) -> Result<Rates, PricesError> {
    let Tier {
        input,
        output,
        cache_read,
        cache_write,
        cache_write_1h,
    } = *prices;
    let rate = |key: &str, usd: Option<f64>| {
        usd.map(|usd| {
            rates::per_token(usd / 1e6).ok_or_else(|| PricesError::Price {
                model: model.to_owned(),
                key: format!("{tier}{key}"),
                value: usd.to_string(),
                unit: "USD per million tokens",
            })
        })
        .transpose()
    };
    Ok(Rates {
        input: rate("input", input)?,
        output: rate("output", output)?,
        cache_read: rate("cache_read", cache_read)?,
        cache_write: rate("cache_write", cache_write)?,
        cache_write_1h: rate("cache_write_1h", cache_write_1h)?,
    })
}

/// Which line a byte is in, counted from one.
fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count() + 1
}
