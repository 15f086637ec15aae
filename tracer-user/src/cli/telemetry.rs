//! What telemetry is to look like: as the flags say, else as OpenTelemetry's variables do.

use std::sync::Arc;

use super::arguments::{Content, Semconv, SpanOptions};
use super::failure::Failure;
use super::{note, prices, redaction};
use crate::genai::{Capture, Convention};
use crate::pipeline::Settings;

/// Opt-in to newer conventions, as all instrumentations understand it.
const OPT_IN: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";

/// Where prompts and completions go, as instrumentations for `gen_ai` understand it.
const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// Settings of the pipeline.
pub(super) fn settings(
    options: &SpanOptions,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Settings, Failure> {
    Ok(Settings {
        convention: convention(options.semconv, &variable),
        content: capture(options.content, &variable),
        content_limit: options.content_limit,
        redaction: Arc::new(redaction::rules(&options.redaction)?),
        session_headers: options.session_headers.clone(),
        prices: Some(prices::load(options.prices.as_deref())?),
        metrics: false,
        tool_loop: options.tool_loop,
    })
}

fn convention(asked: Option<Semconv>, variable: impl Fn(&str) -> Option<String>) -> Convention {
    match asked {
        Some(Semconv::V1_41) => Convention::V1_41,
        Some(Semconv::Latest) => Convention::Latest,
        Some(Semconv::Both) => Convention::Both,
        None => variable(OPT_IN)
            .and_then(|list| Convention::from_opt_in(&list))
            .unwrap_or_default(),
    }
}

fn capture(asked: Option<Content>, variable: impl Fn(&str) -> Option<String>) -> Capture {
    match asked {
        Some(Content::None) => Capture::Nothing,
        Some(Content::Span) => Capture::Span,
        Some(Content::Event) => Capture::Event,
        Some(Content::Both) => Capture::SpanAndEvent,
        None => variable(CAPTURE).map_or(Capture::Nothing, |text| {
            // It may be meant for other programs too: no reason to end, but to keep prompts back.
            Capture::from_variable(&text).unwrap_or_else(|| {
                note(format_args!(
                    "{CAPTURE} is {text:?}, which is none of no_content, span_only, event_only, span_and_event: \
                     prompts and completions stay away"
                ));
                Capture::Nothing
            })
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_goes_before_a_variable_and_a_variable_before_the_default() {
        let set = |name: &str| match name {
            OPT_IN => Some("gen_ai_latest_experimental/dup".to_owned()),
            CAPTURE => Some("EVENT_ONLY".to_owned()),
            _ => None,
        };
        let unset = |_: &str| None;
        assert_eq!(convention(None, unset), Convention::V1_41);
        assert_eq!(convention(None, set), Convention::Both);
        assert_eq!(convention(Some(Semconv::Latest), set), Convention::Latest);
        assert_eq!(capture(None, unset), Capture::Nothing);
        assert_eq!(capture(None, set), Capture::Event);
        assert_eq!(capture(Some(Content::None), set), Capture::Nothing);
        assert_eq!(capture(None, |_| Some("yes".to_owned())), Capture::Nothing);
    }
}
