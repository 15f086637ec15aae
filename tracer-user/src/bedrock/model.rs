//! What a model id or ARN says about the model: which kind of thing it names, where it may run, and which model it is.
//!
//! Some names are opaque: an application inference profile, an imported model, a managed prompt do not say what is behind them.
//! Then the model is not known, and its kind says why.

/// Prefixes of ids that let a call run in several regions (cross-region inference profiles).
const GEOGRAPHIES: [&str; 8] = ["us", "eu", "apac", "jp", "au", "ca", "us-gov", "global"];

/// Which kind of thing a model id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelKind {
    /// A model of a vendor.
    Foundation,
    /// The same in several regions.
    InferenceProfile,
    /// A name of one's own for one of these.
    ApplicationInferenceProfile,
    /// A model with throughput paid for in advance.
    Provisioned,
    /// A model trained further.
    Custom,
    /// Such a model, served.
    CustomDeployment,
    /// A model brought along.
    Imported,
    /// One that chooses among models.
    PromptRouter,
    /// A prompt that names its model.
    Prompt,
    /// A model of the marketplace, behind an endpoint of `SageMaker`.
    MarketplaceEndpoint,
}

impl ModelKind {
    /// Every kind.
    pub const ALL: [ModelKind; 10] = [
        Self::Foundation,
        Self::InferenceProfile,
        Self::ApplicationInferenceProfile,
        Self::Provisioned,
        Self::Custom,
        Self::CustomDeployment,
        Self::Imported,
        Self::PromptRouter,
        Self::Prompt,
        Self::MarketplaceEndpoint,
    ];

    /// Its name, as ARNs have it, words joined by underscores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Foundation => "foundation_model",
            Self::InferenceProfile => "inference_profile",
            Self::ApplicationInferenceProfile => "application_inference_profile",
            Self::Provisioned => "provisioned_model",
            Self::Custom => "custom_model",
            Self::CustomDeployment => "custom_model_deployment",
            Self::Imported => "imported_model",
            Self::PromptRouter => "prompt_router",
            Self::Prompt => "prompt",
            Self::MarketplaceEndpoint => "marketplace_endpoint",
        }
    }
}

/// What a model id or ARN says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelName<'a> {
    /// Which kind of thing it names; `None` where the id is none that Bedrock gives.
    pub kind: Option<ModelKind>,
    /// Where it may run, if in several regions.
    pub geography: Option<&'a str>,
    /// `vendor.model-version`, where the id says it.
    pub base: Option<&'a str>,
}

impl<'a> ModelName<'a> {
    /// Reads an id or ARN as it was sent, percent-decoded.
    pub fn parse(model: &'a str) -> Self {
        let Some(arn) = model.strip_prefix("arn:") else {
            return Self::of_id(model);
        };
        // arn:PARTITION:SERVICE:REGION:ACCOUNT:KIND/ID
        let mut parts = arn.splitn(5, ':');
        let service = parts.nth(1).unwrap_or_default();
        let resource = parts.nth(2).unwrap_or_default();
        let (kind, id) = resource.split_once('/').unwrap_or((resource, ""));
        let opaque = |kind| Self {
            kind: Some(kind),
            geography: None,
            base: None,
        };
        match (service, kind) {
            ("bedrock", "foundation-model" | "inference-profile") => Self::of_id(id),
            ("bedrock", "application-inference-profile") => opaque(ModelKind::ApplicationInferenceProfile),
            ("bedrock", "provisioned-model") => opaque(ModelKind::Provisioned),
            // Some have the model they were made of before their own id.
            ("bedrock", "custom-model") => Self {
                base: id
                    .split_once('/')
                    .map(|(base, _)| base)
                    .filter(|base| is_base(base)),
                ..opaque(ModelKind::Custom)
            },
            ("bedrock", "custom-model-deployment") => opaque(ModelKind::CustomDeployment),
            ("bedrock", "imported-model") => opaque(ModelKind::Imported),
            ("bedrock", "prompt-router" | "default-prompt-router") => opaque(ModelKind::PromptRouter),
            ("bedrock", "prompt") => opaque(ModelKind::Prompt),
            ("sagemaker", "endpoint") => opaque(ModelKind::MarketplaceEndpoint),
            _ => Self {
                kind: None,
                geography: None,
                base: None,
            },
        }
    }

    fn of_id(id: &'a str) -> Self {
        let (geography, base) = match id.split_once('.') {
            Some((prefix, rest)) if GEOGRAPHIES.contains(&prefix) => (Some(prefix), rest),
            _ => (None, id),
        };
        let base = Some(base).filter(|base| is_base(base));
        let kind = match (base, geography) {
            (None, _) => None,
            (Some(_), None) => Some(ModelKind::Foundation),
            (Some(_), Some(_)) => Some(ModelKind::InferenceProfile),
        };
        Self {
            kind,
            geography: geography.filter(|_| base.is_some()),
            base,
        }
    }
}

/// Whether a name is a vendor's: `vendor.model`.
fn is_base(name: &str) -> bool {
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'))
    };
    name.split_once('.')
        .is_some_and(|(vendor, model)| word(vendor) && word(model) && !vendor.contains(':'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_say_what_they_can_and_no_more() {
        let arn = |rest: &str| format!("arn:aws:bedrock:us-east-1:123456789012:{rest}");
        let sonnet = "anthropic.claude-3-5-sonnet-20240620-v1:0";
        for (model, kind, geography, base) in [
            (sonnet.to_owned(), Some(ModelKind::Foundation), None, Some(sonnet)),
            (
                format!("us-gov.{sonnet}"),
                Some(ModelKind::InferenceProfile),
                Some("us-gov"),
                Some(sonnet),
            ),
            (
                format!("global.{sonnet}"),
                Some(ModelKind::InferenceProfile),
                Some("global"),
                Some(sonnet),
            ),
            (
                format!("arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/{sonnet}"),
                Some(ModelKind::Foundation),
                None,
                Some(sonnet),
            ),
            (
                arn(&format!("inference-profile/jp.{sonnet}")),
                Some(ModelKind::InferenceProfile),
                Some("jp"),
                Some(sonnet),
            ),
            (
                arn("custom-model/amazon.titan-text-lite-v1:0:4k/abc"),
                Some(ModelKind::Custom),
                None,
                Some("amazon.titan-text-lite-v1:0:4k"),
            ),
            (
                arn("application-inference-profile/abc"),
                Some(ModelKind::ApplicationInferenceProfile),
                None,
                None,
            ),
            (
                arn("provisioned-model/abc"),
                Some(ModelKind::Provisioned),
                None,
                None,
            ),
            (
                arn("custom-model/imported/abc"),
                Some(ModelKind::Custom),
                None,
                None,
            ),
            (
                arn("custom-model-deployment/abc"),
                Some(ModelKind::CustomDeployment),
                None,
                None,
            ),
            (arn("imported-model/abc"), Some(ModelKind::Imported), None, None),
            (
                arn("default-prompt-router/anthropic.claude:1"),
                Some(ModelKind::PromptRouter),
                None,
                None,
            ),
            (
                arn("prompt-router/abc"),
                Some(ModelKind::PromptRouter),
                None,
                None,
            ),
            (arn("prompt/ABCDEFGHIJ:3"), Some(ModelKind::Prompt), None, None),
            (
                "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e".to_owned(),
                Some(ModelKind::MarketplaceEndpoint),
                None,
                None,
            ),
            // Mantle leaves out the version.
            (
                "openai.gpt-oss-120b".to_owned(),
                Some(ModelKind::Foundation),
                None,
                Some("openai.gpt-oss-120b"),
            ),
            ("does-not-exist".to_owned(), None, None, None),
            ("us.".to_owned(), None, None, None),
            ("arn:aws:s3:::bucket".to_owned(), None, None, None),
            ("arn:".to_owned(), None, None, None),
            (String::new(), None, None, None),
        ] {
            let name = ModelName::parse(&model);
            assert_eq!(
                (name.kind, name.geography, name.base),
                (kind, geography, base),
                "{model}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "(arn:)?[a-z0-9:./-]{0,60}|.{0,40}") {
            let name = ModelName::parse(&text);
            prop_assert!(name.geography.is_none() || name.base.is_some());
        }
    }
}
