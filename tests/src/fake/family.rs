//! Body families: which provider's JSON goes in and out of InvokeModel.

/// A family whose bodies the fake knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic Claude, Messages API.
    Anthropic,
    /// Amazon Nova.
    Nova,
    /// Amazon Titan Text.
    Titan,
    /// Amazon Titan Text Embeddings.
    TitanEmbeddings,
    /// `OpenAI`'s open models, Chat Completions alone.
    OpenAi,
}

const PROFILES: [&str; 8] = ["us.", "eu.", "apac.", "jp.", "au.", "ca.", "us-gov.", "global."];

impl Family {
    /// The family of a model id, an inference profile or an ARN of either.
    pub(super) fn of(model: &str) -> Option<Self> {
        let id = match model.strip_prefix("arn:aws:bedrock:") {
            Some(_) => model.rsplit('/').next()?,
            None => model,
        };
        let id = PROFILES
            .iter()
            .find_map(|profile| id.strip_prefix(profile))
            .unwrap_or(id);
        if id.starts_with("anthropic.claude") {
            Some(Family::Anthropic)
        } else if id.starts_with("amazon.nova") {
            Some(Family::Nova)
        } else if id.starts_with("amazon.titan-text") || id.starts_with("amazon.titan-tg1") {
            Some(Family::Titan)
        } else if id.starts_with("amazon.titan-embed-text") {
            Some(Family::TitanEmbeddings)
        } else if id.starts_with("openai.gpt-oss") {
            Some(Family::OpenAi)
        } else {
            None
        }
    }

    /// Whether the model can call tools.
    pub(super) fn has_tools(self) -> bool {
        match self {
            Family::Anthropic | Family::Nova | Family::OpenAi => true,
            Family::Titan | Family::TitanEmbeddings => false,
        }
    }
}

/// Model name as Claude puts it into its bodies: `anthropic.claude-3-haiku-20240307-v1:0` → `claude-3-haiku-20240307`.
pub(super) fn anthropic_name(model: &str) -> String {
    let id = model.rsplit('/').next().unwrap_or(model);
    let id = id.split_once("anthropic.").map_or(id, |(_, name)| name);
    let id = id.split(':').next().unwrap_or(id);
    match id.rsplit_once("-v") {
        Some((name, version)) if version.chars().all(|digit| digit.is_ascii_digit()) => name.to_owned(),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_arns_lead_to_the_family() {
        for (model, family) in [
            ("anthropic.claude-3-haiku-20240307-v1:0", Some(Family::Anthropic)),
            (
                "us.anthropic.claude-3-haiku-20240307-v1:0",
                Some(Family::Anthropic),
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
                Some(Family::Nova),
            ),
            ("amazon.titan-text-express-v1", Some(Family::Titan)),
            ("nonsense", None),
        ] {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }

    #[test]
    fn claude_leaves_profile_and_version_out_of_its_name() {
        assert_eq!(
            anthropic_name("us.anthropic.claude-3-haiku-20240307-v1:0"),
            "claude-3-haiku-20240307"
        );
    }
}
