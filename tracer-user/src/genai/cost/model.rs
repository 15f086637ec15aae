//! From a model id or ARN to what its price goes by.

use super::Unpriced;

/// What the price of a model goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named<'m> {
    /// A model, or a profile that AWS made of it for a group of regions.
    Id(&'m str),
    /// A router: the answer tells which model it chose.
    Router,
    /// Something of the account's own: it has no list price, though its owner may know one.
    Opaque(Unpriced),
    /// Not paid by token.
    Never(Unpriced),
}

/// Reads a model id or ARN: `arn:aws:bedrock:REGION:ACCOUNT:KIND/ID`.
pub(super) fn named(model: &str) -> Named<'_> {
    let Some(arn) = model.strip_prefix("arn:") else {
        return Named::Id(model);
    };
    let mut parts = arn.splitn(5, ':');
    let service = parts.nth(1).unwrap_or_default();
    let (kind, id) = parts
        .nth(2)
        .and_then(|resource| resource.split_once('/'))
        .unwrap_or_default();
    match (service, kind) {
        ("sagemaker", _) => Named::Never(Unpriced::MarketplaceEndpoint),
        (_, "foundation-model" | "inference-profile") => Named::Id(id),
        (_, "prompt-router" | "default-prompt-router") => Named::Router,
        (_, "application-inference-profile") => Named::Opaque(Unpriced::ApplicationProfile),
        (_, "prompt") => Named::Opaque(Unpriced::ManagedPrompt),
        (_, "provisioned-model") => Named::Never(Unpriced::ProvisionedThroughput),
        (_, "custom-model" | "custom-model-deployment") => Named::Never(Unpriced::CustomModel),
        (_, "imported-model") => Named::Never(Unpriced::ImportedModel),
        _ => Named::Never(Unpriced::ModelUnknown),
    }
}

/// Groups of regions that AWS makes profiles for.
const GROUPS: [&str; 8] = ["us", "eu", "apac", "jp", "au", "ca", "us-gov", "global"];

/// The model behind a profile: `eu.amazon.nova-pro-v1:0` is `amazon.nova-pro-v1:0`.
pub(super) fn behind_profile(id: &str) -> Option<&str> {
    let (group, model) = id.split_once('.')?;
    GROUPS.contains(&group).then_some(model)
}
