//! `Filter`: which rows are shown.

/// Most characters of a filter.
pub(super) const FILTER_MAX: usize = 100;

/// Words that a row must hold, each anywhere, in whatever case. A word after `!` must not be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter {
    text: String,
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Filter {
    /// Reads what was typed. A single `!` is not finished yet and asks for nothing.
    pub(super) fn new(text: &str) -> Self {
        let mut filter = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        for word in text.to_lowercase().split_whitespace() {
            match word.strip_prefix('!') {
                Some("") => {}
                Some(word) => filter.unwanted.push(word.to_owned()),
                None => filter.wanted.push(word.to_owned()),
            }
        }
        filter
    }

    /// As it was typed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it lets everything pass.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty()
    }

    /// Whether a row with these texts is shown.
    pub(super) fn takes<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        if self.is_empty() {
            return true;
        }
        // Lines cannot be typed, so that no word reaches from one text into the next.
        let mut all = String::new();
        for text in texts {
            all.push_str(&text.to_lowercase());
            all.push('\n');
        }
        let holds = |word: &String| all.contains(word.as_str());
        self.wanted.iter().all(holds) && !self.unwanted.iter().any(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    const ROW: [&str; 3] = ["worker", "us.amazon.Nova-lite-v1:0", "ThrottlingException"];

    #[test]
    fn every_word_must_be_there_in_whatever_case_and_place() {
        for (typed, shown) in [
            ("", true),
            ("   ", true),
            ("nova", true),
            ("NOVA throttl", true),
            ("nova claude", false),
            ("workerus", false),
            ("!claude", true),
            ("worker !nova", false),
            ("worker !", true),
        ] {
            assert_eq!(Filter::new(typed).takes(ROW), shown, "{typed:?}");
        }
    }
}
