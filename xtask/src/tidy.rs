//! The rules of the house that a compiler does not know. Each finding names the file, the line, the rule and its reason.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{root, say};

/// Stages in the order of the pipeline: a file may name those before its own, never one after it.
const STAGES: [&str; 18] = [
    "counters", "event", "select", "rights", "hpack", "probe", "capture", "scrub", "conn", "http", "wire",
    "bedrock", "genai", "pipeline", "enrich", "export", "top", "cli",
];

/// Stages that are the core: no IO, no clock, no thread, no kernel.
const CORE: [&str; 11] = [
    "counters", "event", "select", "hpack", "scrub", "conn", "http", "wire", "bedrock", "genai", "pipeline",
];

/// What the core must not name.
const NOT_IN_CORE: [&str; 13] = [
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
    "tokio::",
    "aya::",
    "rustix::",
    "libc::",
    "opentelemetry",
];

/// Longest file, in lines, before it is two rooms in one.
const LINES_MAX: usize = 600;

/// Only these may hold `unsafe`.
const UNSAFE_ALLOWED: [&str; 2] = ["tracer-ebpf/", "tracer-user/src/probe/sys.rs"];

/// A rule that a line breaks.
struct Finding {
    file: PathBuf,
    line: usize,
    rule: String,
}

pub(crate) fn run() -> Result<()> {
    let root = root();
    let mut findings = Vec::new();
    let mut count = 0_usize;
    for file in rust_files(&root)? {
        let text = std::fs::read_to_string(root.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        check(&file, &text, &mut findings);
        count += 1;
    }
    for Finding { file, line, rule } in &findings {
        say(&format!("{}:{line}: {rule}", file.display()));
    }
    if !findings.is_empty() {
        bail!("{} places break the rules of the house", findings.len());
    }
    say(&format!("tidy: {count} files in order"));
    Ok(())
}

/// Every Rust file that git knows or would take, relative to the root.
fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = std::process::Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            "*.rs",
        ])
        .current_dir(root)
        .output()
        .context("cannot run git, which lists the files to check")?;
    if !output.status.success() {
        bail!(
            "git cannot list the files: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(listing
        .lines()
        .map(PathBuf::from)
        .filter(|file| root.join(file).exists())
        .collect())
}

fn check(file: &Path, text: &str, findings: &mut Vec<Finding>) {
    let name = file.to_string_lossy();
    let mut find = |line: usize, rule: String| {
        findings.push(Finding {
            file: file.to_path_buf(),
            line,
            rule,
        });
    };

    if !text.starts_with("//!") && !text.starts_with("#!") {
        find(
            1,
            "begins without a module comment (`//!`) that says what it is for".into(),
        );
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        find(
            LINES_MAX,
            format!("{lines} lines: more than {LINES_MAX}; find the second room in it"),
        );
    }

    let stage = stage_of(&name);
    let core = stage.is_some_and(|stage| CORE.contains(&stage)) && !is_test_file(file);
    let mut in_tests = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        let code = line.split("//").next().unwrap_or(line);
        if line.ends_with(' ') || line.ends_with('\t') {
            find(number, "ends in white space".into());
        }
        if has_word(code, "unsafe")
            && !UNSAFE_ALLOWED.iter().any(|allowed| name.starts_with(allowed))
            && !is_tidy(file)
        {
            find(
                number,
                format!("`unsafe` may stand in {} only", UNSAFE_ALLOWED.join(" and ")),
            );
        }
        if let Some(stage) = stage
            && !in_tests
            && !is_test_file(file)
        {
            for later in STAGES.iter().skip_while(|name| **name != stage).skip(1) {
                if names_stage(code, later) {
                    find(
                        number,
                        format!("stage `{stage}` names `{later}`, which comes after it in the pipeline"),
                    );
                }
            }
        }
        if starts_a_thread(code)
            && name.starts_with("tracer-user/src/")
            && !name.ends_with("src/rights.rs")
            && !in_tests
            && !is_test_file(file)
        {
            find(
                number,
                "threads are started by `rights::spawn`, with the rights of their work and no others".into(),
            );
        }
        if core && !in_tests {
            for banned in NOT_IN_CORE.iter().filter(|banned| code.contains(**banned)) {
                find(
                    number,
                    format!("the core is free of IO, clocks and threads: it cannot name `{banned}`"),
                );
            }
        }
        let spells_attribute = code.contains("\"gen_ai.") || code.contains("\"aws.bedrock.");
        let own_room = name.ends_with("genai/semconv.rs") || !name.starts_with("tracer-user/src/");
        if spells_attribute && !own_room && !in_tests && !is_test_file(file) {
            find(
                number,
                "attribute names are spelled in genai/semconv.rs only".into(),
            );
        }
        if UNFINISHED.iter().any(|mark| line.contains(mark)) && !is_tidy(file) {
            find(
                number,
                "an unfinished mark: do it, or write the limit down where a user meets it".into(),
            );
        }
    }
}

/// By the standard library, outside of the one place that gives rights up.
fn starts_a_thread(code: &str) -> bool {
    code.contains("thread::spawn(") || code.contains("thread::Builder::new(")
}

const UNFINISHED: [&str; 5] = ["TODO", "FIXME", "todo!(", "unimplemented!(", "#[ignore"];

/// First path component below `tracer-user/src`, without the extension.
fn stage_of(name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix("tracer-user/src/")?;
    let first = rest.split('/').next()?.trim_end_matches(".rs");
    STAGES.into_iter().find(|stage| *stage == first)
}

fn is_test_file(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "tests")
        || file
            .file_stem()
            .is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
}

fn is_tidy(file: &Path) -> bool {
    file.ends_with("xtask/src/tidy.rs")
}

fn names_stage(code: &str, stage: &str) -> bool {
    code.match_indices("crate::").any(|(at, found)| {
        let rest = code.get(at + found.len()..).unwrap_or_default();
        rest.strip_prefix(stage)
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::{Finding, check};
    use std::path::Path;

    fn rules(file: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(Path::new(file), text, &mut findings);
        findings
            .into_iter()
            .map(|Finding { line, rule, .. }| format!("{line}: {rule}"))
            .collect()
    }

    #[test]
    fn the_tree_is_tidy() {
        super::run().expect("`cargo xtask tidy` lists what is wrong");
    }

    #[test]
    fn a_stage_that_names_a_later_one_is_found() {
        let found = rules(
            "tracer-user/src/wire/sse.rs",
            "//! Events.\nuse crate::bedrock::Call;\n",
        );
        assert_eq!(
            found,
            ["2: stage `wire` names `bedrock`, which comes after it in the pipeline"]
        );
    }

    #[test]
    fn a_stage_may_name_an_earlier_one_and_one_whose_name_begins_alike() {
        assert!(
            rules(
                "tracer-user/src/genai/span.rs",
                "//! Spans.\nuse crate::event::Host;\n"
            )
            .is_empty()
        );
        assert!(
            rules(
                "tracer-user/src/conn/table.rs",
                "//! Table.\nuse crate::wired::X;\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_clock_in_the_core_is_found_but_not_in_its_tests() {
        let found = rules(
            "tracer-user/src/conn/mod.rs",
            "//! C.\nlet now = std::time::Instant::now();\n",
        );
        assert_eq!(found.len(), 1, "{found:?}");
        let tests = "//! C.\n#[cfg(test)]\nmod tests { fn f() { std::time::Instant::now(); } }\n";
        assert!(rules("tracer-user/src/conn/mod.rs", tests).is_empty());
    }

    #[test]
    fn unsafe_outside_its_two_rooms_is_found() {
        assert_eq!(
            rules("tracer-user/src/cli/mod.rs", "//! C.\nunsafe { x() }\n").len(),
            1
        );
        assert!(rules("tracer-user/src/probe/sys.rs", "//! C.\nunsafe { x() }\n").is_empty());
        assert!(
            rules(
                "tracer-user/src/cli/mod.rs",
                "//! C.\n// unsafe would be wrong here\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_thread_with_the_rights_of_its_parent_is_found() {
        let text = "//! W.\nstd::thread::spawn(work);\nthread::Builder::new()\n";
        assert_eq!(rules("tracer-user/src/export/writer.rs", text).len(), 2);
        assert!(rules("tracer-user/src/rights.rs", text).is_empty());
        assert!(rules("tests/src/program.rs", text).is_empty());
    }

    #[test]
    fn a_long_file_and_a_stray_attribute_name_are_found() {
        let long = format!("//! L.\n{}", "\n".repeat(700));
        assert_eq!(rules("tracer-user/src/cli/mod.rs", &long).len(), 1);
        assert_eq!(
            rules(
                "tracer-user/src/export/otlp.rs",
                "//! L.\nlet a = \"gen_ai.x\";\n"
            )
            .len(),
            1
        );
    }
}
