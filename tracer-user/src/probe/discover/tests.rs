//! Finding libraries in processes that really run.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::scan::UNUSED_SCANS;
use super::*;
use crate::probe::coverage::{LibraryStatus, Verdict};

/// A Python that does what it is told, line by line; it ends when this value is dropped.
struct Python {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Python {
    fn start() -> Self {
        Self::start_with(&mut Command::new("python3"))
    }

    fn start_with(command: &mut Command) -> Self {
        let program = "import sys, ctypes, os\nprint('ready', flush=True)\n\
                       for line in sys.stdin:\n    exec(line)\n    print('done', flush=True)\n";
        let mut child = command
            .args(["-c", program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(output.next().unwrap().unwrap(), "ready");
        Self { child, input, output }
    }

    fn run(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        assert_eq!(self.output.next().unwrap().unwrap(), "done");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.input = None;
        self.child.wait().unwrap();
    }
}

fn finder_of(pid: u32) -> Option<Finder> {
    let finder = Finder::start(&Scope::Processes(vec![pid])).unwrap();
    if let Some(error) = finder.watch_error() {
        eprintln!("NOT RUN: following processes needs root or CAP_PERFMON: {error}");
        return None;
    }
    Some(finder)
}

/// Goes on as the tracer does, woken by the descriptors alone, until something is found.
fn wait_for_found(finder: &mut Finder) -> Vec<Found> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(20) {
        let found = finder.take(Instant::now());
        if !found.is_empty() {
            return found;
        }
        let mut waits: Vec<PollFd<'_>> = finder
            .descriptors()
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        let second = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        poll(&mut waits, Some(&second)).expect("poll");
    }
    Vec::new()
}

fn targets(found: Vec<Found>) -> Vec<Target> {
    found
        .into_iter()
        .map(|found| match found {
            Found::Attach(target) => target,
            Found::Detach(_) | Found::LookedAhead(_) => panic!("nothing else: {found:?}"),
        })
        .collect()
}

fn system_libssl() -> PathBuf {
    prescan::system()
        .into_iter()
        .find(|path| path.ends_with("libssl.so.3"))
        .expect("a system libssl.so.3")
}

#[test]
fn a_library_loaded_late_is_offered_once_and_covers_the_process() {
    let mut python = Python::start();
    let pid = python.pid();
    let Some(mut finder) = finder_of(pid) else { return };
    assert!(finder.look_at_everything().is_empty(), "no TLS yet");
    assert_eq!(finder.coverage()[0].verdict(), Verdict::NoTls);

    python.run("library = ctypes.CDLL('libssl.so.3')");
    let offered = targets(wait_for_found(&mut finder));
    assert_eq!(offered.len(), 1);
    assert!(offered[0].path.ends_with("libssl.so.3"));
    assert!(offered[0].attach_path().exists());
    assert_eq!(finder.coverage()[0].verdict(), Verdict::Traceable);

    finder.attached(offered[0].identity, Ok(5));
    let coverage = finder.coverage();
    assert_eq!(coverage[0].verdict(), Verdict::Traced);
    assert_eq!(coverage[0].pid, pid);
    let text = coverage[0].libraries[0].to_string();
    assert!(text.starts_with("traced: OpenSSL 3."), "{text}");
    assert!(finder.look_at_everything().is_empty(), "offered once");
}

#[test]
fn a_deleted_library_is_found_through_the_mapping() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libssl-3e69114b.so.3");
    fs::copy(system_libssl(), &copy).unwrap();
    let mut python = Python::start();
    python.run(&format!(
        "library = ctypes.CDLL('{}'); os.unlink('{0}')",
        copy.display()
    ));
    assert!(!copy.exists());

    let mut finder = Finder::start(&Scope::Processes(vec![python.pid()])).unwrap();
    let offered = targets(finder.look_at_everything());
    let target = offered
        .iter()
        .find(|target| target.path == copy)
        .expect("found though deleted");
    assert!(target.resolved.points().count() > 0);
    assert_eq!(
        fs::read(target.attach_path()).unwrap(),
        fs::read(system_libssl()).unwrap()
    );
}

#[test]
fn a_library_in_another_mount_namespace_is_found_through_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let hidden = folder.path().join("image");
    fs::create_dir(&hidden).unwrap();
    // The copy exists on a file system that only this process has mounted.
    let script = format!(
        "mount -t tmpfs geophone {0} && cp {1} {0}/libssl.so.3 && exec python3 \"$@\"",
        hidden.display(),
        system_libssl().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]);
    if !Command::new("unshare")
        .args(["--mount", "true"])
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("NOT RUN: a mount namespace needs root");
        return;
    }
    let mut python = Python::start_with(&mut command);
    let library = hidden.join("libssl.so.3");
    python.run(&format!("library = ctypes.CDLL('{}')", library.display()));
    assert!(!library.exists(), "not visible from here");

    let mut finder = Finder::start(&Scope::Processes(vec![python.pid()])).unwrap();
    let offered = targets(finder.look_at_everything());
    assert!(offered.iter().any(|target| target.path == library), "{offered:?}");
}

#[test]
fn a_child_of_a_followed_process_is_followed_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libssl-child.so.3");
    fs::copy(system_libssl(), &copy).unwrap();
    let mut python = Python::start();
    let mut stranger = Python::start();
    let Some(mut finder) = finder_of(python.pid()) else {
        return;
    };
    finder.look_at_everything();

    stranger.run("library = ctypes.CDLL('libssl.so.3')");
    python.run(&format!(
        "os.system(\"python3 -c \\\"import ctypes; ctypes.CDLL('{}')\\\"\")",
        copy.display()
    ));
    let offered = targets(wait_for_found(&mut finder));
    assert!(offered.iter().all(|target| target.path == copy), "{offered:?}");
}

#[test]
fn a_file_that_nobody_uses_any_more_gives_its_probes_back() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libssl-old.so.3");
    fs::copy(system_libssl(), &copy).unwrap();
    let mut python = Python::start();
    python.run(&format!("library = ctypes.CDLL('{}')", copy.display()));
    let mut finder = Finder::start(&Scope::Processes(vec![python.pid()])).unwrap();
    let offered = targets(finder.look_at_everything());
    let identity = offered
        .iter()
        .find(|target| target.path == copy)
        .unwrap()
        .identity;
    finder.attached(identity, Ok(5));
    assert!(finder.look_at_everything().is_empty(), "still in use");
    drop(python);

    let mut detached = Vec::new();
    for _ in 0..UNUSED_SCANS {
        detached.extend(finder.look_at_everything());
    }
    assert!(
        detached
            .iter()
            .any(|found| matches!(found, Found::Detach(gone) if *gone == identity)),
        "{detached:?}"
    );
}

#[test]
fn a_failed_attach_is_told_once_and_tried_again_after_a_pause() {
    let mut python = Python::start();
    python.run("library = ctypes.CDLL('libssl.so.3')");
    let mut finder = Finder::start(&Scope::Processes(vec![python.pid()])).unwrap();
    let offered = targets(finder.look_at_everything());
    let refused = || Err("the kernel refused".to_owned());
    assert_eq!(finder.attached(offered[0].identity, refused()), News::Refused);
    let coverage = finder.coverage();
    assert!(matches!(
        coverage[0].libraries[0].status,
        LibraryStatus::Failed { .. }
    ));
    assert!(finder.look_at_everything().is_empty(), "too soon");
    for news in [News::None, News::Granted(2)] {
        let offered = targets(wait_for_found(&mut finder));
        assert_eq!(offered.len(), 1, "offered again");
        let result = if news == News::None { refused() } else { Ok(5) };
        assert_eq!(finder.attached(offered[0].identity, result), news);
    }
    assert_eq!(finder.coverage()[0].verdict(), Verdict::Traced);
}

#[test]
fn a_command_is_prepared_before_it_runs() {
    let mut finder = Finder::start(&Scope::Processes(Vec::new())).unwrap();
    let offered = targets(finder.prepare_command(OsStr::new("curl")));
    assert!(offered.iter().any(|target| target.path == system_libssl()));
}

#[test]
fn a_process_that_is_not_there_is_an_error() {
    let mut finder = Finder::start(&Scope::Processes(Vec::new())).unwrap();
    let mut child = Command::new("true").arg0("gone").spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    assert!(finder.add_process(pid).is_err());
}

#[test]
fn an_installed_program_keeps_its_probes_until_it_is_gone() {
    let mut finder = Finder::start(&Scope::Processes(Vec::new())).unwrap();
    let mut files = Files::new(Arc::default());
    let Opened::Unknown(unknown) = files.open_path(&system_libssl()).unwrap() else {
        panic!("nobody has looked into it");
    };
    let looked = unknown.look(&Arc::default());
    let identity = looked.identity;
    let mut found = Vec::new();
    finder.take_in(Done::Expected(looked), &mut found);
    assert_eq!(targets(found).len(), 1);
    finder.attached(identity, Ok(5));
    for _ in 0..=UNUSED_SCANS {
        assert!(
            finder.look_at_everything().is_empty(),
            "nobody runs it, and it may be run"
        );
    }
    finder.take_in(Done::Round(HashSet::new()), &mut Vec::new());
    let gone: Vec<Found> = (0..UNUSED_SCANS)
        .flat_map(|_| finder.look_at_everything())
        .collect();
    assert!(
        matches!(gone.as_slice(), [Found::Detach(which)] if *which == identity),
        "{gone:?}"
    );
}
