//! What decides the price of a call beside its model and tokens.

use super::json::Json;

/// What decides the price of a call beside its model and tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Billing {
    /// Tier of service that was asked for or, where the answer says so, given.
    pub tier: Option<ServiceTier>,
    /// Whether the faster, dearer hardware served (`performanceConfig.latency` is `optimized`).
    pub latency_optimised: bool,
}

/// Tiers of service (`ServiceTierType` of the service model, and what Anthropic's bodies say).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceTier {
    /// The usual one.
    Standard,
    /// Cheaper, slower.
    Flex,
    /// Dearer, before others.
    Priority,
    /// Capacity paid for in advance.
    Reserved,
    /// Part of a batch.
    Batch,
    /// One that is not known.
    Other,
}

impl ServiceTier {
    /// Its word in headers and bodies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "default",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Reserved => "reserved",
            Self::Batch => "batch",
            Self::Other => "other",
        }
    }

    /// Reads the word of a header or body.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "default" | "standard" | "standard_only" | "auto" | "on_demand" => Self::Standard,
            "flex" => Self::Flex,
            "priority" => Self::Priority,
            "reserved" => Self::Reserved,
            "batch" => Self::Batch,
            _ => Self::Other,
        }
    }
}

impl Billing {
    /// What a tier's word says; the answer is read later than the request, so that what it says stays.
    pub(super) fn take_tier(&mut self, word: Option<&str>) {
        if let Some(word) = word {
            self.tier = Some(ServiceTier::of(word));
        }
    }

    /// What a latency's word says.
    pub(super) fn take_latency(&mut self, word: Option<&str>) {
        if let Some(word) = word {
            self.latency_optimised = word == "optimized";
        }
    }

    /// Members of Converse's requests, responses and `metadata` events.
    pub(super) fn take(&mut self, name: &str, value: Json<'_>) {
        let word = |member| value.member(member).and_then(Json::text);
        match name {
            "serviceTier" => self.take_tier(word("type").as_deref()),
            "performanceConfig" => self.take_latency(word("latency").as_deref()),
            _ => {}
        }
    }
}
