//! What a glob means, by what it is held against.

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

/// Longest glob, in bytes: it becomes a regular expression.
const LENGTH_MAX: usize = 4096;

/// A glob that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadGlob {
    /// It matches nothing.
    #[error("is empty: it would fit nothing")]
    Empty,
    /// It is too long to be meant.
    #[error("is longer than {LENGTH_MAX} bytes")]
    TooLong,
    /// It is not written as globs are.
    #[error("`{glob}`: {reason}; write a `\\` before a letter that is meant as it stands")]
    Syntax {
        /// The glob.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a glob is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A path: `*` and `?` do not go beyond a `/`, `**` does. Without any `/` it is held against the file's name alone.
    Path,
    /// A command line, or a word such as a name or the value of a label: `*` is anything.
    Text,
}

/// A glob, ready to be asked. It has to fit the whole text, letter by letter, capitals as they stand.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    matcher: GlobMatcher,
    of_name_alone: bool,
}

impl Glob {
    pub(super) fn new(glob: &str, kind: Kind) -> Result<Self, BadGlob> {
        if glob.is_empty() {
            return Err(BadGlob::Empty);
        }
        if glob.len() > LENGTH_MAX {
            return Err(BadGlob::TooLong);
        }
        let built = GlobBuilder::new(glob)
            .literal_separator(kind == Kind::Path)
            .backslash_escape(true)
            .build()
            .map_err(|error| BadGlob::Syntax {
                glob: glob.to_owned(),
                reason: error.kind().to_string(),
            })?;
        Ok(Self {
            matcher: built.compile_matcher(),
            of_name_alone: kind == Kind::Path && !glob.contains('/'),
        })
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        let text = if self.of_name_alone {
            text.rsplit('/').next().unwrap_or(text)
        } else {
            text
        };
        self.matcher.is_match(text)
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        self.matcher.glob().glob()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(kind: Kind, glob: &str, text: &str) -> bool {
        Glob::new(glob, kind).unwrap().fits(text)
    }

    #[test]
    fn in_a_path_one_star_stays_within_a_folder_and_two_do_not() {
        assert!(fits(Kind::Path, "/usr/bin/python3*", "/usr/bin/python3.12"));
        assert!(!fits(Kind::Path, "/opt/*/node", "/opt/a/bin/node"));
        assert!(fits(Kind::Path, "/opt/**/node", "/opt/a/bin/node"));
        assert!(fits(Kind::Path, "/opt/**", "/opt/a/bin/node"));
        assert!(fits(Kind::Path, "/usr/bin/{node,bun}", "/usr/bin/bun"));
        assert!(
            !fits(Kind::Path, "/usr/bin/node", "/usr/bin/node22"),
            "the whole of it"
        );
        assert!(!fits(Kind::Path, "/usr/bin/NODE", "/usr/bin/node"));
    }

    #[test]
    fn a_path_glob_without_a_slash_is_about_the_name_of_the_file() {
        assert!(fits(Kind::Path, "python3*", "/usr/local/bin/python3.12"));
        assert!(!fits(Kind::Path, "python3*", "/opt/python3/bin/ruby"));
    }

    #[test]
    fn in_a_command_line_a_star_is_anything_lines_and_slashes_too() {
        let line = "/usr/bin/python3 /srv/hr/job.py --note=two\nlines";
        assert!(fits(Kind::Text, "*python3 /srv/hr/*", line));
        assert!(fits(Kind::Text, "*lines", line));
        assert!(!fits(Kind::Text, "python3*", line), "the whole of it");
        assert!(fits(Kind::Text, "*--note=two?lines", line));
    }

    #[test]
    fn a_glob_that_cannot_be_meant_says_why() {
        assert_eq!(Glob::new("", Kind::Path).unwrap_err(), BadGlob::Empty);
        assert_eq!(
            Glob::new(&"*".repeat(5000), Kind::Path).unwrap_err(),
            BadGlob::TooLong
        );
        let error = Glob::new("/opt/[a-", Kind::Path).unwrap_err().to_string();
        assert!(error.contains("`/opt/[a-`: unclosed character class"), "{error}");
    }
}
