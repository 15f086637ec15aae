//! Why a call failed: what a header, a body or an event-stream says, in one spelling.

use super::json::{self, Json};

/// Longest message taken over.
const MAX_MESSAGE: usize = 512;

/// Longest code taken over.
const MAX_CODE: usize = 128;

/// Most objects within one another that an error is looked for in. Every endpoint has at most one around it.
const MAX_NESTED: u8 = 3;

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The provider's code in upper camel case (`ThrottlingException`), or a status code.
    pub code: String,
    /// What the server said.
    pub message: Option<String>,
    /// When an event-stream said it; `None` for a failed response.
    pub in_stream: Option<crate::event::Monotonic>,
}

/// One spelling for a code, from the header `x-amzn-ErrorType: ValidationException:http://…`, a body or an event: without namespace and address, first letter upper case unless its words are joined by underscores. `None` if it is no code.
pub fn code(text: &str) -> Option<String> {
    let text = text.split(':').next()?;
    let text = text.rsplit('#').next()?.trim();
    let plausible = !text.is_empty()
        && text.len() <= MAX_CODE
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    // OpenAI's and Anthropic's codes are words with underscores; they stay as they are.
    if !plausible || text.contains('_') {
        return plausible.then(|| text.to_owned());
    }
    let mut letters = text.chars();
    let first = letters.next()?;
    Some(first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// A message, cut to its longest.
pub fn message(text: &str) -> Option<String> {
    let text = text.trim();
    let end = (0..=MAX_MESSAGE.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))?;
    text.get(..end).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What the body of a failed response says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorBody {
    /// Code, where the body has one.
    pub code: Option<String>,
    /// Message.
    pub message: Option<String>,
}

impl ErrorBody {
    /// Reads Bedrock's `{"message"}` with its `__type` or `code`, and the `{"error": {…}}` of the compatible endpoints.
    pub fn read(body: &[u8]) -> Self {
        let text = json::text(body);
        let mut error = Self::default();
        error.members(Json::new(&text), MAX_NESTED);
        error
    }

    /// `nested`: how many objects within one another may still be looked into.
    fn members(&mut self, object: Json<'_>, nested: u8) {
        let told = |value: Json<'_>| {
            value
                .text()
                .filter(|text| text != "error")
                .and_then(|text| code(&text))
        };
        let (mut amazons, mut own, mut kind) = (None, None, None);
        let _broken = object.members(|name, value| match name {
            "message" | "Message" => {
                self.message = value.string().and_then(|text| message(&text));
            }
            "__type" => amazons = told(value),
            "code" => own = told(value),
            "type" => kind = told(value),
            "error" if nested > 0 => self.members(value, nested - 1),
            _ => {}
        });
        // The most specific of them; of `OpenAI`'s two the code may be null.
        self.code = amazons.or(own).or(kind).or(self.code.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_one_spelling() {
        for (text, expected) in [
            (
                "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/",
                Some("ValidationException"),
            ),
            (
                "com.amazon.coral.service#ExpiredTokenException",
                Some("ExpiredTokenException"),
            ),
            ("throttlingException", Some("ThrottlingException")),
            ("", None),
            ("no code, a sentence", None),
        ] {
            assert_eq!(code(text).as_deref(), expected);
        }
        assert_eq!(code(&"x".repeat(MAX_CODE + 1)), None);
    }

    #[test]
    fn bodies_of_every_endpoint_are_read() {
        for (body, code, message) in [
            (
                r#"{"message": "The model is busy."}"#,
                None,
                Some("The model is busy."),
            ),
            (
                r#"{"Message": "no", "__type": "a.b#AccessDeniedException"}"#,
                Some("AccessDeniedException"),
                Some("no"),
            ),
            (
                r#"{"error": {"message": "bad", "type": "invalid_request_error", "code": null}}"#,
                Some("invalid_request_error"),
                Some("bad"),
            ),
            (
                r#"{"type": "error", "error": {"type": "overloaded_error", "message": "later"}}"#,
                Some("overloaded_error"),
                Some("later"),
            ),
            ("<html>gateway</html>", None, None),
            (r#"{"message": 5}"#, None, None),
        ] {
            let read = ErrorBody::read(body.as_bytes());
            assert_eq!(
                (read.code.as_deref(), read.message.as_deref()),
                (code, message),
                "{body}"
            );
        }
    }

    #[test]
    fn errors_within_errors_are_not_followed_for_ever() {
        let depth = 100_000;
        let body = format!(
            "{}{{\"code\": \"deep\"}}{}, \"message\": \"outside\"}}",
            r#"{"error": "#.repeat(depth),
            "}".repeat(depth - 1)
        );
        let error = ErrorBody::read(body.as_bytes());
        assert_eq!((error.code, error.message.as_deref()), (None, Some("outside")));
    }

    #[test]
    fn long_messages_are_cut_between_letters() {
        let cut = message(&"é".repeat(MAX_MESSAGE)).map(|text| text.len());
        assert_eq!(cut, Some(MAX_MESSAGE));
    }
}
