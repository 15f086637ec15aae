//! Which release of the `gen_ai` conventions the names follow.

/// Releases of the `gen_ai` conventions. They differ in few names; `docs/signals.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Convention {
    /// v1.41, the last that was released with the general conventions: what backends and dashboards know.
    #[default]
    V1_41,
    /// What came after it (`open-telemetry/semantic-conventions-genai`, 1.42.0-dev).
    Latest,
    /// Everything by both names.
    Both,
}

impl Convention {
    /// As `OTEL_SEMCONV_STABILITY_OPT_IN` asks for it: a list parted by commas, of which others' items are passed over.
    /// `gen_ai_latest_experimental` is the latest, and with `/dup` both. `None` if it says nothing of `gen_ai`.
    pub fn from_opt_in(list: &str) -> Option<Self> {
        let mut found = None;
        for item in list.split(',') {
            match item.trim() {
                "gen_ai_latest_experimental/dup" | "gen_ai/dup" => return Some(Self::Both),
                "gen_ai_latest_experimental" | "gen_ai" => found = Some(Self::Latest),
                _ => {}
            }
        }
        found
    }

    /// Whether names that the latest release dropped are told.
    pub fn old_names(self) -> bool {
        match self {
            Self::V1_41 | Self::Both => true,
            Self::Latest => false,
        }
    }

    /// Whether names that the latest release brought instead of others are told.
    pub fn new_names(self) -> bool {
        match self {
            Self::V1_41 => false,
            Self::Latest | Self::Both => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Convention;

    #[test]
    fn the_opt_in_of_other_instrumentations_is_understood() {
        let said = Convention::from_opt_in;
        assert_eq!(said(""), None);
        assert_eq!(said("http,database/dup"), None);
        assert_eq!(said("gen_ai_latest_experimental"), Some(Convention::Latest));
        assert_eq!(
            said("http/dup, gen_ai_latest_experimental/dup"),
            Some(Convention::Both)
        );
        // As the variable is described: `dup` has precedence.
        assert_eq!(said("gen_ai/dup,gen_ai"), Some(Convention::Both));
    }
}
