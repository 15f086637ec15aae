//! The price table of the `LiteLLM` project: JSON, a member for each model, prices in USD per token.

use std::collections::BTreeMap;

use serde_json::Value;

use super::rates::{self, Rates, Row};
use super::table::{Prices, PricesError};

/// Providers whose models are Bedrock's, those of the main endpoint first.
const PROVIDERS: [&str; 3] = ["bedrock", "bedrock_converse", "bedrock_mantle"];

/// Thousands of input tokens above which a price may differ, as they stand in names of members.
const LONG: [u64; 4] = [100, 128, 200, 272];

pub(super) fn parse(text: &str) -> Result<Prices, PricesError> {
    let entries: BTreeMap<String, Value> =
        serde_json::from_str(text).map_err(|error| PricesError::Syntax {
            line: error.line(),
            reason: error.to_string(),
        })?;
    let mut prices = Prices::default();
    for provider in PROVIDERS {
        for (key, entry) in &entries {
            if entry.get("litellm_provider").and_then(Value::as_str) != Some(provider) {
                continue;
            }
            // Priced by image, second or query, or by several kinds of input at once.
            let by_token = entry.get("input_cost_per_token").is_some()
                && entry.get("input_cost_per_audio_token").is_none()
                && entry.get("input_cost_per_second").is_none();
            if let Some((model, region)) = model(key)
                && by_token
            {
                prices.insert(model, region, &row(key, entry)?);
            }
        }
    }
    Ok(prices)
}

/// Model and region of a key such as `bedrock/us-gov-west-1/amazon.nova-lite-v1:0`. What is paid by the month, or has no
/// model id of Bedrock's, is none.
fn model(key: &str) -> Option<(&str, Option<&str>)> {
    let mut parts: Vec<&str> = key.split('/').collect();
    if parts.first().is_some_and(|first| PROVIDERS.contains(first)) {
        parts.remove(0);
    }
    match parts.as_slice() {
        [model] | ["invoke" | "converse", model] => Some((*model, None)),
        [region, model] if is_region(region) => Some((*model, Some(*region))),
        _ => None,
    }
    .filter(|(model, _)| model.contains('.'))
}

/// `us-gov-west-1`, `eu-central-1`.
fn is_region(word: &str) -> bool {
    let Some((place, number)) = word.rsplit_once('-') else {
        return false;
    };
    place.contains('-') && number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty()
}

fn row(key: &str, entry: &Value) -> Result<Row, PricesError> {
    let rates = |suffix: &str| rates(key, entry, suffix);
    let tier = |suffix: &str| rates(suffix).map(|rates| (rates != Rates::default()).then_some(rates));
    let mut usual = rates("")?;
    if entry.get("mode").and_then(Value::as_str) == Some("embedding") {
        usual.output = Some(0);
    }
    let mut long = None;
    for thousands in LONG {
        let rates = rates(&format!("_above_{thousands}k_tokens"))?;
        if long.is_none() && rates != Rates::default() {
            long = Some((thousands * 1000, rates));
        }
    }
    Ok(Row {
        usual,
        flex: tier("_flex")?,
        priority: tier("_priority")?,
        batch: tier("_batches")?,
        long,
    })
}

fn rates(model: &str, entry: &Value, suffix: &str) -> Result<Rates, PricesError> {
    let rate = |name: &str| {
        let key = format!("{name}{suffix}");
        let Some(value) = entry.get(&key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let price = value.as_f64().and_then(rates::per_token);
        price.map(Some).ok_or_else(|| PricesError::Price {
            model: model.to_owned(),
            key,
            value: value.to_string(),
            unit: "USD per token",
        })
    };
    Ok(Rates {
        input: rate("input_cost_per_token")?,
        output: rate("output_cost_per_token")?,
        cache_read: rate("cache_read_input_token_cost")?,
        cache_write: rate("cache_creation_input_token_cost")?,
        cache_write_1h: rate("cache_creation_input_token_cost_above_1hr")?,
    })
}
