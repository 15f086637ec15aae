//! Patterns that can be switched on by name. Where a form has check digits they are checked, so that an order number is not
//! taken for a card.

use regex::Regex;

use super::{Check, Pattern};

/// Names of single patterns.
pub(super) const NAMES: [&str; 11] = [
    "api-key",
    "aws-access-key-id",
    "aws-secret-access-key",
    "credit-card",
    "email",
    "iban",
    "ipv4",
    "jwt",
    "phone",
    "private-key",
    "us-ssn",
];

/// Names for several patterns at once.
pub(super) const GROUPS: [(&str, &[&str]); 3] = [
    (
        "secrets",
        &[
            "api-key",
            "aws-access-key-id",
            "aws-secret-access-key",
            "jwt",
            "private-key",
        ],
    ),
    (
        "personal",
        &["credit-card", "email", "iban", "ipv4", "phone", "us-ssn"],
    ),
    ("all", &NAMES),
];

/// The pattern of that name.
pub(super) fn pattern(name: &str) -> Option<Pattern> {
    let (expression, check): (&str, Option<Check>) = match name {
        // Bedrock's own keys begin with ABSK or bedrock-api-key-; then OpenAI and Anthropic, GitHub, Slack, Google, GitLab.
        "api-key" => (
            r"(?-u)\b(?:ABSK[A-Za-z0-9+/=]{40,}|bedrock-api-key-[A-Za-z0-9+/=_-]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}|xox[abeprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{35}|glpat-[A-Za-z0-9_-]{20,})",
            None,
        ),
        "aws-access-key-id" => (r"(?-u)\b(?:AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16}\b", None),
        // 40 digits of base64 are a secret only where something says so.
        "aws-secret-access-key" => (
            r#"(?i)secret[a-z_ -]{0,20}["']?\s{0,4}[:=]\s{0,4}["']?(?P<redact>[a-z0-9/+]{40})"#,
            None,
        ),
        "credit-card" => (r"(?-u)\b[2-6](?:[ -]?[0-9]){11,17}[0-9]\b", Some(is_card)),
        "email" => (
            r"(?i-u)\b[a-z0-9._%+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}\b",
            None,
        ),
        "iban" => (
            r"(?-u)\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
            Some(is_iban),
        ),
        "ipv4" => (
            r"(?-u)\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\b",
            None,
        ),
        "jwt" => (
            r"(?-u)\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
            None,
        ),
        // E.164: a plus sign and at most 15 digits.
        "phone" => (r"(?-u)\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}\b", None),
        "private-key" => (
            r"(?s)-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\z)",
            None,
        ),
        "us-ssn" => (r"(?-u)\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}\b", Some(is_ssn)),
        _ => return None,
    };
    Some(Pattern {
        name: name.to_owned(),
        expression: Regex::new(expression).ok()?,
        check,
    })
}

/// Luhn's check digit (ISO/IEC 7812-1), and a length that cards have.
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

/// Remainder 1 of a division by 97, the first four characters put last and letters counted from 10 (ISO 13616).
fn is_iban(text: &str) -> bool {
    let characters: Vec<char> = text.chars().filter(|character| *character != ' ').collect();
    let (Some(head), Some(tail)) = (characters.get(..4), characters.get(4..)) else {
        return false;
    };
    let remainder = tail.iter().chain(head).try_fold(0_u32, |remainder, character| {
        let value = character.to_digit(36)?;
        let shift = if value < 10 { 10 } else { 100 };
        Some((remainder * shift + value) % 97)
    });
    (15..=34).contains(&characters.len()) && remainder == Some(1)
}

/// Numbers that are never given out.
fn is_ssn(text: &str) -> bool {
    let mut groups = text.split('-');
    let area = groups.next();
    let rest_is_given = groups.all(|group| group.bytes().any(|digit| digit != b'0'));
    area != Some("000") && area != Some("666") && rest_is_given
}
