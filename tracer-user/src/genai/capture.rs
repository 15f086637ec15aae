//! Where prompts and completions go, if anywhere.

/// Where prompts and completions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Capture {
    /// Nowhere: they are not even built.
    #[default]
    Nothing,
    /// On spans.
    Span,
    /// On events.
    Event,
    /// On both.
    SpanAndEvent,
}

impl Capture {
    /// As `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says it; `None` for a word that means nothing.
    pub fn from_variable(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "false" | "no_content" => Some(Self::Nothing),
            "true" | "span_only" => Some(Self::Span),
            "event_only" => Some(Self::Event),
            "span_and_event" => Some(Self::SpanAndEvent),
            _ => None,
        }
    }

    /// Whether they go anywhere.
    pub fn any(self) -> bool {
        self != Self::Nothing
    }

    /// Whether they go on spans.
    pub fn on_spans(self) -> bool {
        match self {
            Self::Span | Self::SpanAndEvent => true,
            Self::Nothing | Self::Event => false,
        }
    }

    /// Whether they go on events.
    pub fn on_events(self) -> bool {
        match self {
            Self::Event | Self::SpanAndEvent => true,
            Self::Nothing | Self::Span => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Capture;

    #[test]
    fn the_variable_of_other_instrumentations_is_understood() {
        let said = Capture::from_variable;
        assert_eq!(said("TRUE"), Some(Capture::Span));
        assert_eq!(said("SPAN_ONLY"), Some(Capture::Span));
        assert_eq!(said("event_only"), Some(Capture::Event));
        assert_eq!(said(" Span_And_Event "), Some(Capture::SpanAndEvent));
        assert_eq!(said("NO_CONTENT"), Some(Capture::Nothing));
        assert_eq!(said("everything"), None);
    }
}
