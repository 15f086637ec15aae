//! Prices of tokens.

/// Whole pico-dollars (1e-12 USD): the price of one token, or a cost.
pub(super) type PicoDollars = u64;

/// What a token costs, by its kind. `None` where that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rates {
    pub(super) input: Option<PicoDollars>,
    pub(super) output: Option<PicoDollars>,
    pub(super) cache_read: Option<PicoDollars>,
    /// For five minutes.
    pub(super) cache_write: Option<PicoDollars>,
    /// For an hour.
    pub(super) cache_write_1h: Option<PicoDollars>,
}

/// What a model costs in one region, or in every region that has no row of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Row {
    pub(super) usual: Rates,
    pub(super) flex: Option<Rates>,
    pub(super) priority: Option<Rates>,
    pub(super) batch: Option<Rates>,
    /// Rates of the usual tier when there are more input tokens than this, cached ones among them.
    pub(super) long: Option<(u64, Rates)>,
}

/// Dearer than any token will be: above it a price was given in the wrong unit.
const USD_PER_TOKEN_MAX: f64 = 1.0;

/// A price in USD per token, if it is one.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
pub(super) fn per_token(usd: f64) -> Option<PicoDollars> {
    (0.0..=USD_PER_TOKEN_MAX)
        .contains(&usd)
        .then(|| (usd * 1e12).round() as PicoDollars)
}
