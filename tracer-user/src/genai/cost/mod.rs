//! What a call costs, by the list prices of a table.
//!
//! No price, no number: what is not priced by tokens, or not known well enough, is refused with a reason ([`Unpriced`]).
//! Money is counted in whole pico-dollars, so that sums do not depend on their order. `docs/prices.md` explains the table.

mod charge;
mod litellm;
mod model;
mod rates;
mod table;
#[cfg(test)]
mod tests;
mod toml_file;

pub use charge::{Charge, Cost, dollars};
pub use table::{Prices, PricesError};

/// Why a call has no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unpriced {
    /// The table has no price for this model, region, tier or kind of token.
    NoPrice,
    /// Which model it was is not known.
    ModelUnknown,
    /// How many tokens there were is not known.
    UsageUnknown,
    /// Paid by the hour.
    ProvisionedThroughput,
    /// A customised model.
    CustomModel,
    /// An imported model, paid by the minute.
    ImportedModel,
    /// A profile that does not say which model is behind it.
    ApplicationProfile,
    /// A prompt that does not say which model is behind it.
    ManagedPrompt,
    /// A Marketplace model on an endpoint of its own, paid by the hour.
    MarketplaceEndpoint,
    /// Capacity paid for in advance.
    ReservedTier,
    /// Served by faster hardware, at a price of its own.
    LatencyOptimised,
}

impl Unpriced {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::NoPrice,
        Self::ModelUnknown,
        Self::UsageUnknown,
        Self::ProvisionedThroughput,
        Self::CustomModel,
        Self::ImportedModel,
        Self::ApplicationProfile,
        Self::ManagedPrompt,
        Self::MarketplaceEndpoint,
        Self::ReservedTier,
        Self::LatencyOptimised,
    ];

    /// The reason in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoPrice => "no_price",
            Self::ModelUnknown => "model_unknown",
            Self::UsageUnknown => "usage_unknown",
            Self::ProvisionedThroughput => "provisioned_throughput",
            Self::CustomModel => "custom_model",
            Self::ImportedModel => "imported_model",
            Self::ApplicationProfile => "application_inference_profile",
            Self::ManagedPrompt => "managed_prompt",
            Self::MarketplaceEndpoint => "marketplace_endpoint",
            Self::ReservedTier => "reserved_tier",
            Self::LatencyOptimised => "latency_optimised",
        }
    }
}
