//! The price of a call.

use crate::bedrock::Call;
use crate::bedrock::billing::{Billing, ServiceTier};
use crate::bedrock::call::Usage;
use crate::bedrock::family::Task;
use crate::bedrock::operation::Purpose;

use super::model::{Named, named};
use super::rates::{PicoDollars, Rates, Row};
use super::{Prices, Unpriced};

/// What became of the question what a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// It costs this.
    Priced(Cost),
    /// It costs something, but how much is not told.
    Refused(Unpriced),
    /// There is nothing to pay by tokens: it failed before a token was made, or it is no inference.
    Nothing,
}

/// What a call costs, in pico-dollars, by kind of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Input tokens that no cache had.
    pub input: PicoDollars,
    /// Output tokens.
    pub output: PicoDollars,
    /// Input tokens read from a cache.
    pub cache_read: PicoDollars,
    /// Input tokens written to a cache.
    pub cache_write: PicoDollars,
}

impl Cost {
    /// All of it.
    pub fn total(self) -> u128 {
        [self.input, self.output, self.cache_read, self.cache_write]
            .into_iter()
            .map(u128::from)
            .sum()
    }
}

/// Pico-dollars as dollars.
#[allow(
    clippy::cast_precision_loss,
    reason = "sums of money beyond 2^53 pico-dollars round to less than a pico-dollar in a million"
)]
pub fn dollars(pico: u128) -> f64 {
    pico as f64 / 1e12
}

impl Prices {
    /// What a call costs.
    pub fn charge(&self, call: &Call) -> Charge {
        let pays = matches!(call.route.operation.purpose(), Purpose::Chat | Purpose::Model);
        let refused = call.status.is_none_or(|status| status >= 400);
        if !pays || (refused && call.usage.output.is_none() && !call.gaps.unpaired) {
            return Charge::Nothing;
        }
        match self.price(call) {
            Ok(cost) => Charge::Priced(cost),
            Err(reason) => Charge::Refused(reason),
        }
    }

    fn price(&self, call: &Call) -> Result<Cost, Unpriced> {
        let asked = call.route.resource.model.as_deref();
        let row = self.row_of_model(asked, call)?;
        let Billing {
            tier,
            latency_optimised,
        } = call.billing;
        if latency_optimised {
            return Err(Unpriced::LatencyOptimised);
        }
        let counted = Tokens::of(call)?;
        let rates = match tier {
            None | Some(ServiceTier::Standard) => Some(usual(row, counted.input_total)),
            Some(ServiceTier::Flex) => row.flex,
            Some(ServiceTier::Priority) => row.priority,
            Some(ServiceTier::Batch) => row.batch,
            Some(ServiceTier::Reserved) => return Err(Unpriced::ReservedTier),
            Some(ServiceTier::Other) => None,
        };
        let rates = rates.ok_or(Unpriced::NoPrice)?;
        counted.cost(&rates).ok_or(Unpriced::NoPrice)
    }

    fn row_of_model(&self, asked: Option<&str>, call: &Call) -> Result<&Row, Unpriced> {
        let region = call.route.region.as_deref();
        let asked = asked.ok_or(Unpriced::ModelUnknown)?;
        let id = match named(asked) {
            Named::Id(id) => id,
            // Who made a profile knows what is behind it, and may have put its ARN into the table.
            Named::Opaque(reason) => return self.row(asked, region).ok_or(reason),
            Named::Never(reason) => return Err(reason),
            Named::Router => match call.response_model.as_deref().map(named) {
                Some(Named::Id(id)) => id,
                Some(Named::Never(reason) | Named::Opaque(reason)) => return Err(reason),
                Some(Named::Router) | None => return Err(Unpriced::ModelUnknown),
            },
        };
        self.row(id, region).ok_or(Unpriced::NoPrice)
    }
}

fn usual(row: &Row, input: u64) -> Rates {
    match row.long {
        Some((above, rates)) if input > above => rates,
        _ => row.usual,
    }
}

/// Tokens by how they are paid.
struct Tokens {
    input_total: u64,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    cache_write_1h: u64,
}

impl Tokens {
    fn of(call: &Call) -> Result<Self, Unpriced> {
        let usage: Usage = call.usage;
        let written = usage.cache_write.unwrap_or(0);
        let cache_read = usage.cache_read.unwrap_or(0);
        let cache_write_1h = usage.cache_write_1h.unwrap_or(0).min(written);
        let input = usage.input.ok_or(Unpriced::UsageUnknown)?;
        // What gives no text has no output tokens.
        let output = match (usage.output, call.task) {
            (Some(output), _) => output,
            (None, Some(Task::Embedding)) => 0,
            (None, _) => return Err(Unpriced::UsageUnknown),
        };
        Ok(Self {
            input_total: usage.input_with_cache().unwrap_or(input),
            input: if usage.input_is_total {
                input.saturating_sub(cache_read).saturating_sub(written)
            } else {
                input
            },
            output,
            cache_read,
            cache_write: written - cache_write_1h,
            cache_write_1h,
        })
    }

    /// `None` where a kind of token that there was has no price.
    fn cost(&self, rates: &Rates) -> Option<Cost> {
        let pay = |tokens: u64, rate: Option<PicoDollars>| match tokens {
            0 => Some(0),
            tokens => rate.map(|rate| tokens.saturating_mul(rate)),
        };
        Some(Cost {
            input: pay(self.input, rates.input)?,
            output: pay(self.output, rates.output)?,
            cache_read: pay(self.cache_read, rates.cache_read)?,
            cache_write: pay(self.cache_write, rates.cache_write)?
                .saturating_add(pay(self.cache_write_1h, rates.cache_write_1h)?),
        })
    }
}
