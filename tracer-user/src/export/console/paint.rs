//! Colours for people.

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Nothing special.
    Plain,
    /// A heading.
    Strong,
    /// What can be overlooked.
    Dim,
    /// The name of a call.
    Name,
    /// A failure.
    Bad,
    /// Something is missing.
    Warning,
}

/// Paints, or does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    /// The text in its style, by ECMA-48 sequences that every terminal knows.
    pub(super) fn style(self, style: Style, text: &str) -> String {
        let code = match style {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Strong => "1",
            Style::Dim => "2",
            Style::Name => "36",
            Style::Bad => "31",
            Style::Warning => "33",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
