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
fn problems(text: &str) -> String {
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
        assert_eq!(problems(text), said);
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
    insta::assert_snapshot!(problems(text));
}
