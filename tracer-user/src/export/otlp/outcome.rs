//! What a backend made of a request.

use std::error::Error;
use std::time::Duration;

/// Longest piece of a backend's own words that is shown.
const SHOWN_MAX: usize = 200;

/// What a backend made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It took the spans, all but so many.
    Accepted {
        /// Spans it did not take (OTLP partial success); sending them again is of no use.
        rejected: u64,
        /// Why, in its words.
        message: String,
    },
    /// Not now: the same request may do later.
    Later {
        /// What happened.
        reason: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// Too much at once: half of it may do.
    TooLarge {
        /// What happened.
        reason: String,
    },
    /// Never: the same request will be refused again.
    Refused {
        /// What happened, with what can be done.
        reason: String,
    },
}

/// An error with all that caused it, since the last of them is what a person needs ("connection refused").
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        // Some libraries repeat the cause in the text of the outer error.
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

/// Adds what can be done when a backend's certificate is not trusted; the words before are those of `rustls`.
pub(super) fn with_certificate_remedy(reason: String) -> String {
    let remedy = if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        "if the backend has a certificate authority of its own, name its PEM file in OTEL_EXPORTER_OTLP_CERTIFICATE"
    } else if reason.contains("not valid for name") || reason.contains("NotValidForName") {
        "the certificate is for another name: set OTEL_EXPORTER_OTLP_ENDPOINT to one that is in it"
    } else if reason.contains("certificate expired") || reason.contains("certificate not valid yet") {
        "renew the certificate of the backend, or set the clock of this host"
    } else {
        return reason;
    };
    format!("{reason}; {remedy}")
}

/// A backend's own words, short and on one line.
pub(super) fn excerpt(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable = line.chars().filter(|character| !character.is_control());
    let mut text: String = printable.take(SHOWN_MAX + 1).collect();
    if let Some((end, _)) = text.char_indices().nth(SHOWN_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}
