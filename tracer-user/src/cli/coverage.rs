//! Says at the start who is traced and who is not, and why: no probe on a process is never silent.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;

use super::note;
use super::target::is_running;
use crate::probe::coverage::{Coverage, Figures, Verdict};

/// How the processes stand that were asked for, one by one.
pub(super) fn tell_processes(found: &[Coverage], pids: &[u32]) {
    for pid in pids {
        let Some(process) = found.iter().find(|process| process.pid == *pid) else {
            if is_running(*pid) {
                note(format_args!(
                    "{pid}: its libraries cannot be read; `geophone doctor` says which rights that takes"
                ));
            } else {
                note(format_args!("{pid}: it has ended"));
            }
            continue;
        };
        let name = program(process);
        for library in &process.libraries {
            note(format_args!("{pid} {name}: {library}"));
        }
        if process.libraries.is_empty() {
            note(format_args!(
                "{pid} {name}: no TLS library that geophone knows yet; it is traced once it loads one"
            ));
        }
    }
}

/// How the host stands, in numbers.
pub(super) fn tell_host(found: &[Coverage]) {
    let count = |verdict| {
        found
            .iter()
            .filter(|process| process.verdict() == verdict)
            .count()
    };
    let traced = count(Verdict::Traced);
    let not_traced = count(Verdict::NotTraceable) + count(Verdict::Traceable);
    let figures = Figures::of(found);
    let left_alone = match count(Verdict::LeftAlone) {
        0 => String::new(),
        count => format!(", {count} are left alone"),
    };
    note(format_args!(
        "{traced} processes with TLS have probes{}, {not_traced} cannot be traced{}{left_alone} (`geophone doctor` says why)",
        Parts(&figures.traced),
        Parts(&figures.not_traced),
    ));
}

/// ` (OpenSSL: 3, rustls: 1)`, or nothing.
struct Parts<'a>(&'a BTreeMap<&'static str, u64>);

impl fmt::Display for Parts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = " (";
        for (name, count) in self.0 {
            write!(formatter, "{separator}{name}: {count}")?;
            separator = ", ";
        }
        if self.0.is_empty() {
            Ok(())
        } else {
            formatter.write_str(")")
        }
    }
}

/// The executable and, where the next word is no option, that as well: an interpreter's script. More of a command line may
/// be a secret, and what the doctor says is often passed on.
pub(super) fn program(process: &Coverage) -> String {
    let mut name = if process.executable.is_empty() {
        process.command_line.first().cloned().unwrap_or_default()
    } else {
        process.executable.clone()
    };
    if let Some(word) = process.command_line.get(1).filter(|word| is_script(word)) {
        write!(name, " {word}").ok();
    }
    name.chars().filter(|letter| !letter.is_control()).collect()
}

fn is_script(word: &str) -> bool {
    !word.starts_with('-') && Path::new(word).extension().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_library_where_there_are_any() {
        let figures = BTreeMap::from([("OpenSSL", 3), ("rustls", 1)]);
        assert_eq!(Parts(&figures).to_string(), " (OpenSSL: 3, rustls: 1)");
        assert_eq!(Parts(&BTreeMap::new()).to_string(), "");
    }

    #[test]
    fn a_command_line_is_told_only_as_far_as_it_says_which_program_it_is() {
        let process = |words: &[&str]| Coverage {
            pid: 1,
            executable: "/usr/bin/python3".to_owned(),
            command_line: words.iter().map(|&word| word.to_owned()).collect(),
            libraries: Vec::new(),
            left_alone: false,
        };
        assert_eq!(
            program(&process(&["python3", "app.py", "--key=s3cret"])),
            "/usr/bin/python3 app.py"
        );
        assert_eq!(
            program(&process(&["python3", "-c", "print('s3cret')"])),
            "/usr/bin/python3"
        );
        assert_eq!(program(&process(&["python3", "s3cret"])), "/usr/bin/python3");
    }
}
