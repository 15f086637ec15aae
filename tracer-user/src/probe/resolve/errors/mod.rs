//! Finds functions without symbols by the errors that they report.
//!
//! The error macros of OpenSSL and its relatives pass a name (of the source file, or of the function), a line and a reason to
//! one function, and these survive stripping and link-time optimisation. So the code that mentions such a name is looked up
//! ([`scan`]), each function around is followed through all its paths ([`walk`]), and the set of what it reports tells which
//! one it is.

mod scan;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use memchr::memmem;

pub(super) use self::scan::Scan;
use self::scan::Starts;
use self::walk::Walk;
use super::image::{Function, Image, Machine};
use super::openssl_static::{self, Naming};
use super::{Library, Resolver, Sibling, Stack, Unresolved, boringssl};

/// How far in front of a mention the start of its function may lie.
const REACH: u64 = 8 << 10;
/// Functions followed around the mentions of one text.
const MAX_FUNCTIONS: usize = 1 << 12;
/// Steps taken through all of them.
const MAX_STEPS: usize = 1 << 20;
/// Names found in one file; there are at most three in an honest one.
const MAX_NAMES: usize = 64;

/// Probes on functions that give themselves away by their errors.
#[derive(Debug)]
pub(super) struct ErrorSites;

/// A name that errors are reported under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `…/ssl/ssl_lib.cc`, of BoringSSL.
    CxxSource,
    /// `…/ssl/ssl_lib.c`, of OpenSSL 1.1.1, or of a BoringSSL of before 2017.
    CSource,
    /// A function of OpenSSL 3.
    Function,
}

/// What a name ends with, and of what kind it is.
const ENDINGS: [(&[u8], Kind); 4] = [
    (b"ssl/ssl_lib.cc\0", Kind::CxxSource),
    (b"ssl/ssl_lib.c\0", Kind::CSource),
    (b"ssl_read_internal\0", Kind::Function),
    (b"ssl_write_internal\0", Kind::Function),
];

/// A name that stands in the constants of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    kind: Kind,
    /// Addresses that it may be known by: a linker lets texts share their ends, and what precedes may be no text.
    pub(super) range: Range<u64>,
    pub(super) text: String,
}

/// A function start with what following it gave.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) start: u64,
    pub(super) walk: Walk,
}

impl Resolver for ErrorSites {
    fn name(&self) -> &'static str {
        "error sites"
    }

    fn stack(&self) -> Stack {
        Stack::OpenSsl
    }

    fn resolve(&self, image: &Image<'_>, sibling: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        if image.machine != Machine::X86_64 {
            return Vec::new();
        }
        let names = names(image);
        let of =
            |kind: Kind| -> Vec<Mention> { names.iter().filter(|name| name.kind == kind).cloned().collect() };
        let (sources, old_sources, functions) = (of(Kind::CxxSource), of(Kind::CSource), of(Kind::Function));
        let (names, library) = match (sources.is_empty(), functions.is_empty()) {
            (false, _) => (sources, "BoringSSL"),
            (true, false) => (functions, "OpenSSL"),
            (true, true) => (old_sources, "OpenSSL"),
        };
        let texts: Vec<Range<u64>> = names.iter().map(|name| name.range.clone()).collect();
        let scan = scan::scan(image, &texts);
        // Else it is a text about the library, or a table of names: there is no code that reports under them.
        let Some(name) = names.first().filter(|_| !scan.mentions.is_empty()) else {
            return Vec::new();
        };
        let is_boringssl = name.kind == Kind::CxxSource || name.text.contains("boringssl");
        let look = |with_pointers| {
            let followed =
                follow(image, &scan, &texts, with_pointers).ok_or_else(|| Unresolved::Refused {
                    library: library.to_owned(),
                    reason: "without symbols, and it has too much code to look through".to_owned(),
                })?;
            match name.kind {
                _ if is_boringssl => boringssl::library(image, name, &followed, self.name()),
                Kind::Function => openssl_static::library(
                    image,
                    sibling,
                    Naming::Name(&names),
                    &scan,
                    &followed,
                    self.name(),
                ),
                Kind::CSource | Kind::CxxSource => {
                    openssl_static::library(image, sibling, Naming::Code, &scan, &followed, self.name())
                }
            }
        };
        vec![look(false).or_else(|_| look(true))]
    }
}

/// All names that errors may be reported under.
fn names(image: &Image<'_>) -> Vec<Mention> {
    let finders = ENDINGS.map(|(ending, kind)| (memmem::Finder::new(ending), kind));
    // By address, since windows overlap.
    let mut found: BTreeMap<u64, Mention> = BTreeMap::new();
    for stretch in image.constants() {
        let full = image.windows(stretch, |address, window| {
            for (finder, kind) in &finders {
                for place in finder.find_iter(window) {
                    let (before, behind) = window.split_at_checked(place).unwrap_or_default();
                    // Of a path only the end is known.
                    let prefix = match kind {
                        Kind::Function => 0,
                        Kind::CxxSource | Kind::CSource => before
                            .iter()
                            .rev()
                            .take_while(|letter| letter.is_ascii_graphic())
                            .count(),
                    };
                    let end = memchr::memchr(0, behind).unwrap_or(0);
                    let bytes = window.get(place - prefix..place + end).unwrap_or_default();
                    let place = address.wrapping_add(place as u64);
                    let mention = Mention {
                        kind: *kind,
                        range: place.wrapping_sub(prefix as u64)..place.wrapping_add(1),
                        text: String::from_utf8_lossy(bytes).into_owned(),
                    };
                    let known = found.entry(place).or_insert_with(|| mention.clone());
                    // At the start of a window the beginning was cut off.
                    if mention.text.len() > known.text.len() {
                        *known = mention;
                    }
                }
            }
            (found.len() > MAX_NAMES).then_some(())
        });
        if full.is_some() {
            break;
        }
    }
    found.into_values().collect()
}

/// Follows every function that may hold one of the mentions; `None` when there are too many.
fn follow(
    image: &Image<'_>,
    scan: &Scan,
    texts: &[Range<u64>],
    with_pointers: bool,
) -> Option<Vec<Followed>> {
    let starts = scan.starts(image, &regions(&scan.mentions), with_pointers);
    let mut followed = Vec::new();
    let mut steps = MAX_STEPS;
    for start in near(&starts, &scan.mentions) {
        let walk = walk::walk(image, &starts, start, texts);
        steps = steps.checked_sub(walk.steps)?;
        if !walk.reports.is_empty() {
            followed.push(Followed { start, walk });
        }
        if followed.len() > MAX_FUNCTIONS {
            return None;
        }
    }
    Some(followed)
}

/// Functions that may call the one at `address`, as long as the next function is away.
pub(super) fn callers(image: &Image<'_>, scan: &Scan, address: u64) -> Vec<Function> {
    const MAX_CALLERS: usize = 64;
    let calls = scan::calls(image, address);
    let starts = scan.starts(image, &regions(&calls), true);
    let mut found = BTreeSet::new();
    for call in calls {
        // The nearest few: one of them may be none.
        for start in starts.before(call).take(2).filter(|start| call - start <= REACH) {
            let end = starts.after(call).unwrap_or(call.saturating_add(REACH));
            found.insert((start, end - start));
        }
    }
    found
        .into_iter()
        .take(MAX_CALLERS)
        .map(|(address, size)| Function { address, size })
        .collect()
}

/// Starts that have a mention not far behind them.
fn near<'a>(starts: &'a Starts, mentions: &'a [u64]) -> impl Iterator<Item = u64> + 'a {
    starts.all().filter(|start| {
        mentions
            .get(mentions.partition_point(|mention| mention < start))
            .is_some_and(|mention| mention - start <= REACH)
    })
}

/// Stretches of code in which functions with these mentions may begin, joined where they touch.
fn regions(mentions: &[u64]) -> Vec<Range<u64>> {
    let mut regions: BTreeMap<u64, u64> = BTreeMap::new();
    for mention in mentions {
        let (begin, end) = (mention.saturating_sub(REACH), mention.saturating_add(REACH));
        match regions.last_entry() {
            Some(mut last) if *last.get() >= begin => {
                last.insert(end);
            }
            _ => {
                regions.insert(begin, end);
            }
        }
    }
    regions.into_iter().map(|(begin, end)| begin..end).collect()
}

/// The one function that fits, if it is proven to be one. What lies on the way of another that fits as well is a part of it.
pub(super) fn single<'a>(fitting: &[&'a Followed], name: &str) -> Result<&'a Followed, String> {
    let outermost: Vec<&&Followed> = fitting
        .iter()
        .filter(|one| {
            !fitting
                .iter()
                .any(|other| other.start != one.start && other.walk.instructions.contains(&one.start))
        })
        .collect();
    match outermost.as_slice() {
        [] => Err(format!("no function reports the errors of {name}")),
        [one] => match one.walk.flaw {
            None => Ok(one),
            Some(flaw) => Err(format!(
                "the function that reports the errors of {name} is not safe to probe: {flaw}"
            )),
        },
        several => Err(format!("{} functions report the errors of {name}", several.len())),
    }
}

#[cfg(test)]
mod tests;
