//! What a crash of geophone leaves behind: where it happened, and nothing of what passed.
//!
//! The memory of geophone holds what traced processes said. Messages of a panic may quote it, a core dump has all of it. So
//! neither is written, unless [`DETAILS`] asks for them.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{Location, PanicHookInfo};
use std::thread;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::note;

/// Asks for whole messages and core dumps, by any value but none and 0.
const DETAILS: &str = "GEOPHONE_CRASH_DETAILS";

/// From now on a crash tells nothing but its place. Commands that geophone starts crash as ever: the kernel forgets the
/// choice when a process runs another program.
pub(super) fn keep_quiet() {
    if std::env::var_os(DETAILS).is_some_and(|value| !value.is_empty() && value != "0") {
        return;
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps cannot be switched off: one would hold what was traced");
    }
    std::panic::set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    note(format_args!(
        "{}",
        report(thread.name(), panic.location(), panic.payload())
    ));
    // It has names of functions, no values; RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        note(format_args!("{backtrace}"));
    }
}

fn report(thread: Option<&str>, location: Option<&Location<'_>>, payload: &(dyn Any + Send)) -> String {
    let thread = thread.unwrap_or("without a name");
    let location = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = harmless(payload).unwrap_or("its message is kept back, since it may quote what was traced");
    format!(
        "a fault of geophone {} at {location}, thread {thread}: {message}\n  \
         try: report it with this line; start geophone with {DETAILS}=1 to have the whole message and a core dump next \
         time, which may hold prompts",
        env!("CARGO_PKG_VERSION")
    )
}

/// The message of a panic, if it can be no one else's words: a text of the program, or numbers in one of the forms that Rust
/// itself has for a place outside of a slice.
fn harmless(payload: &(dyn Any + Send)) -> Option<&str> {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        return Some(text);
    }
    let text = payload.downcast_ref::<String>()?;
    FORMS.contains(&without_numbers(text).as_str()).then_some(text)
}

/// Numbers stand as `#`.
const FORMS: [&str; 4] = [
    "index out of bounds: the len is # but the index is #",
    "range start index # out of range for slice of length #",
    "range end index # out of range for slice of length #",
    "slice index starts at # but ends at #",
];

fn without_numbers(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    for letter in text.chars() {
        if !letter.is_ascii_digit() {
            form.push(letter);
        } else if !form.ends_with('#') {
            form.push('#');
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::panic::catch_unwind;

    use super::*;

    const CANARY: &str = "what the user said";

    /// What is told of a panic.
    fn told(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let payload = catch_unwind(work).expect_err("it panics");
        report(Some("otlp"), Some(Location::caller()), &*payload)
    }

    #[test]
    fn a_place_outside_of_a_slice_is_told() {
        let bytes = black_box([0; 3].as_slice());
        let index = black_box(5);
        for (told, form) in [
            (
                told(|| _ = black_box(bytes[index])),
                "the len is 3 but the index is 5",
            ),
            (
                told(|| _ = black_box(&bytes[..index])),
                "range end index 5 out of range",
            ),
            (
                told(|| _ = black_box(&bytes[index..])),
                "range start index 5 out of range",
            ),
            (
                told(|| _ = black_box(&bytes[2..black_box(1)])),
                "slice index starts at 2 but ends at 1",
            ),
        ] {
            assert!(told.contains(form), "{told}");
            assert!(told.contains(file!()) && told.contains("thread otlp"), "{told}");
        }
        assert!(told(|| panic!("a rule of the house")).contains("a rule of the house"));
    }

    #[test]
    fn what_may_quote_somebody_is_kept_back() {
        let body: Result<u8, String> = black_box(Err(CANARY.to_owned()));
        let text = black_box(CANARY);
        let umlaut = black_box("wüst");
        for told in [
            told(move || _ = body.unwrap()),
            told(move || panic!("{text}")),
            told(move || panic!("index out of bounds: the len is {text} but the index is 1")),
            told(move || std::panic::panic_any(text.as_bytes().to_vec())),
            told(move || _ = black_box(&umlaut[..2])),
        ] {
            assert!(told.contains("is kept back"), "{told}");
            assert!(!told.contains(CANARY) && !told.contains("wüst"), "{told}");
        }
    }
}
