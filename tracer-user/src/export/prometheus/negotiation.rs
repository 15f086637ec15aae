//! Which of Prometheus's formats a client wants.

/// A format of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format, version 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
}

impl Format {
    /// As `Accept` asks for it (RFC 9110 §12.5.1): `OpenMetrics` only for those who name it.
    pub(super) fn of(accept: &str) -> Self {
        let mut open = 0;
        let mut text = 0;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let weight = thousandths(quality.unwrap_or("1"));
            match name.as_str() {
                "application/openmetrics-text" => open = open.max(weight),
                "text/plain" | "text/*" => text = text.max(weight),
                _ => {}
            }
        }
        if open > 0 && open >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A quality between 0 and 1, in thousandths; one that is none is 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn thousandths(quality: &str) -> u32 {
    match quality.parse::<f64>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0) as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        assert_eq!(Format::of(""), Format::Text);
        assert_eq!(Format::of("*/*"), Format::Text);
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(Format::of(prometheus), Format::OpenMetrics);
        assert_eq!(
            Format::of("application/openmetrics-text;q=0.1,text/plain"),
            Format::Text
        );
        assert_eq!(Format::of("application/openmetrics-text;q=0"), Format::Text);
    }
}
