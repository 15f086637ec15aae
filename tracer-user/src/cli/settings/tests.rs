//! Settings as users write them, right and wrong.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser as _;

use super::super::arguments::Arguments;
use super::super::failure::Failure;
use super::problem::Problems;
use super::{Settings, file, load};

impl Settings {
    /// The settings of `geophone run` with some flags and variables.
    pub(in crate::cli) fn of(flags: &[&str], variables: &[(&str, &str)]) -> Result<Self, Failure> {
        let arguments = ["geophone", "attach", "--pid", "1"].iter().chain(flags);
        let arguments = Arguments::try_parse_from(arguments).expect("usage");
        let variable = |name: &str| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        load(&arguments, &variable).map(|loaded| loaded.settings)
    }
}

/// What is said of a file.
pub(in crate::cli) fn mistakes(text: &str) -> String {
    let mut problems = Problems::default();
    let file = Arc::new(PathBuf::from("geophone.toml"));
    file::give(file, text, &mut Settings::default(), &mut problems);
    problems.sorted().to_string()
}

#[test]
fn a_wrong_key_is_named_with_the_nearest_right_one() {
    for (text, said) in [
        (
            "[metrics]\npromethius = 9464",
            "geophone.toml:2:1: unknown key `metrics.promethius`, did you mean `metrics.prometheus`?",
        ),
        (
            "[metric]\nprometheus = 9464",
            "geophone.toml:1:2: unknown table `metric`, did you mean `metrics`?",
        ),
        (
            "prometheus = 9464",
            "geophone.toml:1:1: unknown key `prometheus`, did you mean `metrics.prometheus`?",
        ),
        (
            "[otlp.traces]\nendpiont = 'x'",
            "geophone.toml:2:1: unknown key `otlp.traces.endpiont`, did you mean `otlp.traces.endpoint`?",
        ),
        ("[spans]\nzzz = 1", "geophone.toml:2:1: unknown key `spans.zzz`"),
        (
            "content = \"span\"",
            "geophone.toml:1:11: `content` is of type string, expected a table: write `[content]`",
        ),
    ] {
        assert_eq!(mistakes(text), said);
    }
}

#[test]
fn a_file_with_many_mistakes_is_told_all_of_them_at_once() {
    let text = "\
[content]
capture = \"all\"
limit = \"64k\"
[metrics]
prometheus = true
interval_ms = 0
[redaction]
builtin = [\"email\", \"emial\", 3]
patterns = ['(']
[[redaction.rules]]
name = \"customer\"
patern = 'CUST-\\d+'
[[redaction.rules]]
name = \"nothing\"
[sessions]
headers = [\"Authorization\"]
[otlp]
headers = { authorization = 3 }
[log]
filter = \"tracer_user=loud\"
";
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn a_flag_goes_before_a_variable_and_that_before_the_file() {
    use super::super::arguments::Content;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("geophone.toml");
    std::fs::write(
        &file,
        "[content]\ncapture = 'span'\nlimit = 2048\n[prices]\nfile = 'prices.toml'\n[redaction]\nbuiltin = ['email']\n",
    )
    .expect("it is written");
    let file = file.to_str().expect("a path").to_owned();
    let named = ("GEOPHONE_CONFIG", file.as_str());
    let shared = ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "event_only");
    let own = ("GEOPHONE_CONTENT_CAPTURE", "both");
    let content = |flags: &[&str], variables: &[(&str, &str)]| {
        let settings = Settings::of(flags, variables).expect("fine");
        let capture = &settings.content.capture;
        (capture.get().copied(), capture.origin().to_string())
    };
    assert_eq!(content(&[], &[]), (None, "default".to_owned()));
    assert_eq!(content(&[], &[named]), (Some(Content::Span), format!("{file}:2")));
    assert_eq!(
        content(&[], &[named, shared]),
        (Some(Content::Event), shared.0.to_owned())
    );
    assert_eq!(
        content(&[], &[named, shared, own]),
        (Some(Content::Both), own.0.to_owned())
    );
    let all = content(&["--content=none"], &[named, shared, own]);
    assert_eq!(all, (Some(Content::None), "--content".to_owned()));
    // An empty variable is none.
    assert_eq!(
        content(&[], &[named, (own.0, " ")]),
        (Some(Content::Span), format!("{file}:2"))
    );

    let settings = Settings::of(&["--redact", "iban", "--config", &file], &[]).expect("fine");
    let names: Vec<&str> = settings
        .redaction
        .builtin
        .all()
        .map(|name| name.0.as_str())
        .collect();
    assert_eq!(names, ["email", "iban"], "redaction adds up");
    let prices = settings.prices.file.get().map(|file| file.0.clone());
    assert_eq!(prices, Some(directory.path().join("prices.toml")));
}

#[test]
fn a_wrong_variable_is_told_by_its_name_and_all_of_them_at_once() {
    let wrong = [
        ("GEOPHONE_CONTENT_LIMIT", "5"),
        ("GEOPHONE_SPANS_TOOL_LOOP", "perhaps"),
        ("GEOPHONE_SESSIONS_HEADERS", "x-session-id,cookie"),
    ];
    let failure = Settings::of(&[], &wrong).expect_err("wrong");
    assert_eq!(failure.exit_code(), 2);
    insta::assert_snapshot!(failure.to_string());
}

/// Whoever wrote it in the file looks for it there.
#[test]
fn an_endpoint_that_cannot_be_used_is_told_by_where_it_was_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("geophone.toml");
    std::fs::write(&file, "[otlp]\nendpoint = 'collector:4318'\n").expect("it is written");
    let file = file.to_str().expect("a path");
    let settings = Settings::of(&["--config", file], &[]).expect("fine so far");
    let failure = settings
        .otlp_of(crate::export::Signal::Traces)
        .expect_err("wrong")
        .to_string();
    assert!(
        failure.contains(&format!("{file}:2:12: `otlp.endpoint` is not an address")),
        "{failure}"
    );
}
