//! The name of a service whose process was given none.
//!
//! OpenTelemetry would call it `unknown_service:python3`, which tells nobody anything on a host full of Python. An
//! interpreter is therefore called after what it runs:
//!
//! | command line | name |
//! |---|---|
//! | `python3 /srv/chat/worker.py --fast` | `worker` |
//! | `python3 -m chat.worker` | `chat.worker` |
//! | `python3 /usr/bin/celery -A chat worker` | `celery` |
//! | `node --import tsx /srv/chat/dist/index.js` | `chat` |
//! | `java -Xmx1g -jar /srv/chat-1.2.jar` | `chat-1.2` |
//! | `java -cp lib/* com.example.Chat` | `com.example.Chat` |
//! | `python3 -c '…'`, `node -` | `python3`, `node` |
//! | `/usr/local/bin/chat` | `chat` |

/// Name of a process of which not even the executable is known.
const UNKNOWN: &str = "unknown_service";

/// Longest name taken from a command line, in bytes.
const NAME_LENGTH_MAX: usize = 128;

/// File names that only say "this is where it starts"; the directory has the name then.
const ENTRY_POINTS: [&str; 2] = ["__main__", "index"];

/// Directories that say no more than that.
const BUILD_DIRECTORIES: [&str; 6] = ["bin", "build", "dist", "lib", "out", "src"];

/// Extensions of scripts and archives that do not belong to the name.
const EXTENSIONS: [&str; 12] = [
    "cjs", "cts", "jar", "js", "jsx", "mjs", "mts", "php", "pl", "py", "rb", "ts",
];

/// Name of the service from the executable and the command line.
pub(super) fn name(executable: &str, command_line: &[String]) -> String {
    let executable = executable.strip_suffix(" (deleted)").unwrap_or(executable);
    let first = command_line.first().map(String::as_str).unwrap_or_default();
    let program = [executable, first]
        .into_iter()
        .map(base_name)
        .find(|name| !name.is_empty());
    let Some(program) = program else {
        return UNKNOWN.to_owned();
    };
    let arguments = command_line.get(1..).unwrap_or_default();
    Interpreter::of(program)
        .and_then(|interpreter| interpreter.what_it_runs(arguments))
        .filter(|name| is_a_name(name))
        .unwrap_or_else(|| program.to_owned())
}

/// A program that is only the vehicle of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interpreter {
    Python,
    JavaScript,
    Ruby,
    Java,
    Other,
}

impl Interpreter {
    fn of(program: &str) -> Option<Self> {
        // `python3.12`, `ruby3.3` and `php8.4` are Python, Ruby and PHP.
        let family =
            program.trim_end_matches(|character: char| character.is_ascii_digit() || character == '.');
        match family {
            "python" | "pypy" | "pythonw" => Some(Self::Python),
            "node" | "nodejs" | "bun" | "deno" => Some(Self::JavaScript),
            "ruby" | "jruby" | "truffleruby" => Some(Self::Ruby),
            "java" => Some(Self::Java),
            "perl" | "php" => Some(Self::Other),
            _ => None,
        }
    }

    /// Options whose value is the next argument.
    fn takes_value(self, option: &str) -> bool {
        match self {
            Self::Python => matches!(option, "-W" | "-X" | "--check-hash-based-pycs"),
            Self::JavaScript => matches!(
                option,
                "-r" | "--require"
                    | "--import"
                    | "--loader"
                    | "--experimental-loader"
                    | "-C"
                    | "--conditions"
                    | "--env-file"
                    | "--max-old-space-size"
                    | "--stack-trace-limit"
                    | "--title"
            ),
            Self::Ruby => matches!(option, "-I" | "-r" | "-C" | "-E" | "-F" | "-K"),
            Self::Java => matches!(
                option,
                "-cp"
                    | "-classpath"
                    | "--class-path"
                    | "-p"
                    | "--module-path"
                    | "--add-modules"
                    | "--add-opens"
                    | "--add-exports"
                    | "--add-reads"
                    | "--upgrade-module-path"
                    | "--limit-modules"
            ),
            Self::Other => matches!(option, "-I" | "-d" | "-c"),
        }
    }

    /// Options after which there is a program, but no file that would name it. Single letters may come in a cluster
    /// (`-Bc`), and it is better to name too little than to show a program as a name.
    fn is_inline(self, option: &str) -> bool {
        let cluster = option
            .strip_prefix('-')
            .filter(|rest| !rest.starts_with('-'))
            .unwrap_or_default();
        match self {
            Self::Python => !cluster.starts_with(['W', 'X']) && cluster.contains('c'),
            Self::JavaScript => matches!(option, "--eval" | "--print") || cluster.contains(['e', 'p']),
            Self::Ruby => !cluster.starts_with(['I', 'r', 'C', 'E', 'F', 'K', 'W']) && cluster.contains('e'),
            Self::Other => cluster == "r" || cluster.contains(['e', 'E']),
            Self::Java => false,
        }
    }

    fn what_it_runs(self, arguments: &[String]) -> Option<String> {
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            match argument {
                "-" => return None,
                "--" => return arguments.next().and_then(program_name),
                "-m" if self == Self::Python => return arguments.next().map(str::to_owned),
                "-m" | "--module" if self == Self::Java => return arguments.next().map(str::to_owned),
                "-jar" if self == Self::Java => return arguments.next().and_then(program_name),
                "run" if self == Self::JavaScript => {}
                option if self.takes_value(option) => {
                    arguments.next();
                }
                option if self.is_inline(option) => return None,
                option if option.starts_with('-') => {}
                class if self == Self::Java => return Some(class.to_owned()),
                file => return program_name(file),
            }
        }
        None
    }
}

/// Whether it can be shown: a last guard against taking a program or a secret for a name.
fn is_a_name(name: &str) -> bool {
    let allowed = |character: char| character.is_alphanumeric() || "._-+@:/$".contains(character);
    !name.is_empty() && name.len() <= NAME_LENGTH_MAX && name.chars().all(allowed)
}

/// `/srv/chat/dist/index.js` is `chat`.
fn program_name(path: &str) -> Option<String> {
    let mut parts = path.rsplit('/').filter(|part| !part.is_empty() && *part != ".");
    let file = parts.next()?;
    let stem = match file.rsplit_once('.') {
        Some((stem, extension)) if EXTENSIONS.contains(&extension) && !stem.is_empty() => stem,
        _ => file,
    };
    if !ENTRY_POINTS.contains(&stem) {
        return Some(stem.to_owned());
    }
    let directory = parts.find(|part| !BUILD_DIRECTORIES.contains(part) && *part != "..");
    Some(directory.unwrap_or(stem).to_owned())
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    fn name(executable: &str, command_line: &str) -> String {
        let command_line: Vec<String> = command_line.split(' ').map(str::to_owned).collect();
        super::name(executable, &command_line)
    }

    #[test]
    fn an_interpreter_is_called_after_what_it_runs() {
        for (executable, command_line, expected) in [
            (
                "/usr/bin/python3.13",
                "python3 /srv/chat/worker.py --fast",
                "worker",
            ),
            ("/usr/bin/python3.13", "python -u -X dev -W ignore app.py", "app"),
            ("/usr/bin/python3.13", "python3 -m chat.worker -v", "chat.worker"),
            (
                "/venv/bin/python",
                "/venv/bin/python /usr/bin/celery -A chat worker",
                "celery",
            ),
            ("/usr/bin/python3", "python3 /srv/chat/__main__.py", "chat"),
            (
                "/usr/bin/node",
                "node --import tsx --inspect=0:9229 /srv/chat/dist/index.js",
                "chat",
            ),
            ("/usr/bin/node", "node server.mjs", "server"),
            ("/usr/bin/bun", "bun run agent.ts", "agent"),
            ("/usr/bin/ruby3.3", "ruby -I lib -W0 bin/agent.rb", "agent"),
            (
                "/opt/jdk/bin/java",
                "java -Xmx1g -jar /srv/chat-1.2.jar --port 1",
                "chat-1.2",
            ),
            (
                "/opt/jdk/bin/java",
                "java -cp lib/a.jar:lib/b.jar -Dx=y com.example.Chat",
                "com.example.Chat",
            ),
            ("/usr/bin/php8.4", "php -d memory_limit=1G artisan", "artisan"),
        ] {
            assert_eq!(name(executable, command_line), expected, "{command_line}");
        }
    }

    #[test]
    fn a_program_given_on_the_command_line_is_never_shown() {
        for (executable, command_line, expected) in [
            ("/usr/bin/python3.13", "python3 -c import(secret)", "python3.13"),
            ("/usr/bin/python3.13", "python3 -Bc secret", "python3.13"),
            ("/usr/bin/perl", "perl -lane secret", "perl"),
            ("/usr/bin/python3.13", "python3 print('secret')", "python3.13"),
            ("/usr/bin/node", "node -e secret", "node"),
            ("/usr/bin/ruby", "ruby -e secret", "ruby"),
            ("/usr/bin/python3", "python3 -", "python3"),
            ("/usr/bin/python3", "python3", "python3"),
        ] {
            assert_eq!(name(executable, command_line), expected, "{command_line}");
        }
    }

    #[test]
    fn any_other_program_has_its_own_name() {
        assert_eq!(name("/usr/local/bin/chat", "chat --key secret"), "chat");
        assert_eq!(name("/usr/local/bin/chat (deleted)", "chat"), "chat");
        assert_eq!(
            name("", "/srv/agent run"),
            "agent",
            "the executable could not be read"
        );
        assert_eq!(super::name("", &[]), "unknown_service");
    }

    #[test]
    fn an_entry_point_without_a_directory_keeps_its_name() {
        assert_eq!(name("/usr/bin/node", "node index.js"), "index");
        assert_eq!(name("/usr/bin/node", "node ../dist/index.js"), "index");
    }
}
