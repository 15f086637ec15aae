//! From a model id or ARN to what its price goes by.

use super::Unpriced;
use crate::bedrock::model::{ModelKind, ModelName};

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

/// Reads a model id or ARN.
pub(super) fn named(model: &str) -> Named<'_> {
    match ModelName::parse(model).kind {
        Some(ModelKind::Foundation | ModelKind::InferenceProfile) => Named::Id(last_part(model)),
        Some(ModelKind::PromptRouter) => Named::Router,
        Some(ModelKind::ApplicationInferenceProfile) => Named::Opaque(Unpriced::ApplicationProfile),
        Some(ModelKind::Prompt) => Named::Opaque(Unpriced::ManagedPrompt),
        Some(ModelKind::Provisioned) => Named::Never(Unpriced::ProvisionedThroughput),
        Some(ModelKind::Custom | ModelKind::CustomDeployment) => Named::Never(Unpriced::CustomModel),
        Some(ModelKind::Imported) => Named::Never(Unpriced::ImportedModel),
        Some(ModelKind::MarketplaceEndpoint) => Named::Never(Unpriced::MarketplaceEndpoint),
        None if model.starts_with("arn:") => Named::Never(Unpriced::ModelUnknown),
        // No id as Bedrock gives them, though a table may know it.
        None => Named::Id(model),
    }
}

/// The model behind a profile: `eu.amazon.nova-pro-v1:0` is `amazon.nova-pro-v1:0`.
pub(super) fn behind_profile(id: &str) -> Option<&str> {
    let name = ModelName::parse(id);
    name.geography.and(name.base)
}

/// The id at the end of an ARN, or the id as it is: neither has a slash of its own.
fn last_part(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}
