//! Where TLS libraries are before any process has them: so that probes are in place before a program's first instruction.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::places;

/// Folders that loaders search, beside those that `/etc/ld.so.conf.d` names.
const LIBRARY_FOLDERS: [&str; 8] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
];

/// Programs that carry TLS in their own executable.
const PROGRAMS: [&str; 2] = ["node", "nodejs"];

/// A script may name a script; Linux follows four (`BINPRM_MAX_RECURSION` is 5 with the program itself).
const MAX_INTERPRETERS: usize = 4;

/// TLS libraries in this system's standard places, and the programs that bring their own.
pub(super) fn system() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = LIBRARY_FOLDERS.iter().map(PathBuf::from).collect();
    for configuration in entries(Path::new("/etc/ld.so.conf.d")) {
        let text = fs::read_to_string(configuration).unwrap_or_default();
        folders.extend(
            text.lines()
                .map(str::trim)
                .filter(|line| line.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    let libraries = folders.iter().flat_map(|folder| tls_libraries(folder));
    let programs = PROGRAMS
        .iter()
        .filter_map(|name| find_program(OsStr::new(name), &search_path()));
    distinct(libraries.chain(programs))
}

/// Files that a command is going to run code from: its program, the interpreters of a script, TLS libraries of the prefix that
/// each is installed in (`/opt/conda/bin/python` has `/opt/conda/lib`), and the programs that a script of an npm package starts.
pub(super) fn command(program: &OsStr) -> Vec<PathBuf> {
    let search_path = search_path();
    let mut files = Vec::new();
    let mut next = find_program(program, &search_path);
    for _ in 0..=MAX_INTERPRETERS {
        let Some(file) = next else { break };
        next = interpreter(&file, &search_path);
        let real = file.canonicalize().unwrap_or_default();
        if let Some(prefix) = real.parent().and_then(Path::parent) {
            files.extend(tls_libraries(&prefix.join("lib")));
        }
        if next.is_some() {
            files.extend(places::started_by(&real));
        }
        files.push(file);
    }
    distinct(files.into_iter())
}

pub(super) fn search_path() -> OsString {
    env::var_os("PATH").unwrap_or_default()
}

fn find_program(program: &OsStr, search_path: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    env::split_paths(search_path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// The program that runs a script, from its first line; `env` is looked through, since it only searches the path.
fn interpreter(file: &Path, search_path: &OsStr) -> Option<PathBuf> {
    /// `BINPRM_BUF_SIZE`: Linux looks no further.
    const FIRST_LINE: u64 = 256;
    let mut start = Vec::new();
    File::open(file)
        .ok()?
        .take(FIRST_LINE)
        .read_to_end(&mut start)
        .ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()));
    let program = PathBuf::from(words.next()?);
    if program.file_name() == Some(OsStr::new("env")) {
        let name =
            words.find(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'='))?;
        return find_program(&name, search_path);
    }
    Some(program)
}

fn tls_libraries(folder: &Path) -> Vec<PathBuf> {
    entries(folder)
        .filter(|path| {
            path.file_name()
                .and_then(OsStr::to_str)
                .is_some_and(|name| name.starts_with("libssl") && name.contains(".so"))
        })
        .collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
}

/// Links resolved, each file once.
fn distinct(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut real: Vec<PathBuf> = paths.filter_map(|path| path.canonicalize().ok()).collect();
    real.sort();
    real.dedup();
    real
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_systems_library_is_found_once_however_many_names_it_has() {
        let found = system();
        let libraries: Vec<_> = found
            .iter()
            .filter(|path| path.file_name() == Some(OsStr::new("libssl.so.3")))
            .collect();
        assert_eq!(libraries.len(), 1, "{found:?}");
    }

    #[test]
    fn a_script_leads_to_its_interpreter_and_the_libraries_beside_that() {
        let prefix = tempfile::tempdir().unwrap();
        let (programs, libraries) = (prefix.path().join("bin"), prefix.path().join("lib"));
        fs::create_dir(&programs).unwrap();
        fs::create_dir(&libraries).unwrap();
        let python = programs.join("python3.12");
        let library = libraries.join("libssl.so.1.1");
        fs::write(&python, "\x7fELF").unwrap();
        fs::write(&library, "\x7fELF").unwrap();
        symlink(&python, programs.join("python")).unwrap();
        let script = prefix.path().join("app.py");
        fs::write(
            &script,
            format!("#! {}/python -u\nimport boto3\n", programs.display()),
        )
        .unwrap();

        let found = command(script.as_os_str());
        for expected in [script, python, library] {
            assert!(found.contains(&expected.canonicalize().unwrap()), "{found:?}");
        }
    }

    #[test]
    fn a_script_of_an_npm_package_leads_to_the_program_that_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("lib/node_modules");
        let processor = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        let program = modules.join(format!("@deno/linux-{processor}-glibc/deno"));
        let script = modules.join("deno/bin.cjs");
        for file in [&program, &script] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        fs::write(&script, "#!/usr/bin/env sh\n").unwrap();
        File::create(&program).unwrap().set_len(100 << 20).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let shim = folder.path().join("deno");
        symlink(&script, &shim).unwrap();
        let found = command(shim.as_os_str());
        assert!(found.contains(&program.canonicalize().unwrap()), "{found:?}");
    }

    #[test]
    fn env_in_a_first_line_is_looked_through() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("tool");
        fs::write(&script, "#!/usr/bin/env -S LC_ALL=C sh -e\n").unwrap();
        let shell = interpreter(&script, OsStr::new("/bin:/usr/bin")).unwrap();
        assert_eq!(shell.file_name(), Some(OsStr::new("sh")));
    }

    #[test]
    fn a_script_that_runs_itself_and_a_command_that_is_not_there_end_well() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("loop");
        fs::write(&script, format!("#!{}\n", script.display())).unwrap();
        assert_eq!(command(script.as_os_str()), [script.canonicalize().unwrap()]);
        assert!(command(OsStr::new("no-such-command-anywhere")).is_empty());
    }
}
