//! What the calls of the tests cost: the list prices of their few models, looked up and reckoned a second time.

use crate::fake::{Served, Usage};

/// Pico-dollars a token, which are millionths of the dollars a million tokens cost.
struct Price {
    input: u64,
    output: u64,
    cache_read: Option<u64>,
}

/// The price of a model in the regions of the tests, if it has a list price.
fn price(model: &str) -> Option<Price> {
    let (input, output, cache_read) = if model.contains("amazon.nova-lite-v1") {
        (60_000, 240_000, Some(15_000))
    } else if model.contains("amazon.titan-text-express-v1") {
        (200_000, 600_000, None)
    } else if model.contains("amazon.titan-embed-text-v2") {
        (20_000, 0, None)
    } else if model.contains("openai.gpt-oss-20b") {
        (70_000, 300_000, None)
    } else {
        return None;
    };
    Some(Price {
        input,
        output,
        cache_read,
    })
}

/// What a call costs in dollars, or why that is not told; nothing where nothing is to be paid.
pub(crate) fn cost(served: &Served) -> Option<Result<f64, &'static str>> {
    (served.operation.is_some() && served.status < 400).then(|| reckon(served))
}

fn reckon(served: &Served) -> Result<f64, &'static str> {
    const NO_PRICE: &str = "no_price";
    const USAGE_UNKNOWN: &str = "usage_unknown";
    let Price {
        input: of_input,
        output: of_output,
        cache_read: of_cache_read,
    } = price(&served.model).ok_or(NO_PRICE)?;
    let Usage {
        input,
        output,
        cache_read,
        cache_write,
    } = served.usage.ok_or(USAGE_UNKNOWN)?;
    let output = match output {
        None if of_output == 0 => 0,
        output => output.ok_or(USAGE_UNKNOWN)?,
    };
    let read = match (cache_read.unwrap_or(0), of_cache_read) {
        (0, _) => 0,
        (tokens, price) => tokens * price.ok_or(NO_PRICE)?,
    };
    if cache_write.is_some_and(|tokens| tokens > 0) {
        return Err(NO_PRICE);
    }
    let pico = input * of_input + output * of_output + read;
    #[expect(
        clippy::cast_precision_loss,
        reason = "some thousand tokens cost less than 2^53"
    )]
    let dollars = pico as f64 / 1e12;
    Ok(dollars)
}
