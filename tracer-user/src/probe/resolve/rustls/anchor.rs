//! rustls without symbols: by the vtables of its ciphers, which lie among panic locations that name version and provider.
//!
//! Since 0.22 each cipher's module gives, in every optimised build, this run of words in the data of a file:
//!
//! | words | |
//! |---|---|
//! | 4 | the decrypter's vtable: drop, size, alignment, `decrypt` |
//! | 3 | a panic location: the path of the module's source, its length, line and column; another where overflow is checked |
//! | 5 | the encrypter's vtable: drop, size, alignment, `encrypt`, `encrypted_payload_len` |
//!
//! `encrypted_payload_len` adds a constant of the protocol to its argument (RFC 8446 section 5.2, RFC 5288, RFC 7905), and its
//! code says so. Where that or a vtable is found, everything else must be as it has to be, or the library is refused: half
//! an anchor is none.

use std::collections::{BTreeSet, HashMap};

use super::super::image::{Image, Machine};
use super::super::pointers;
use super::super::{Library, Resolver, Sibling, Stack, Unresolved};
use super::growth::growth;
use super::locations::{Locations, Run};
use super::sources::{Source, Version, sources};
use super::{Cipher, Half, Optimised, libraries, refused};

/// Probes on functions that a vtable names.
#[derive(Debug)]
pub(in super::super) struct Anchor;

// Places of words in a vtable.
const SIZE: u64 = 8;
const ALIGNMENT: u64 = 16;
const METHOD: u64 = 24;
const SECOND_METHOD: u64 = 32;
/// Bytes of a vtable with one method.
const DECRYPTER: u64 = 32;

/// No cipher's state comes near this; those of today have 288 to 640 bytes.
const MAX_SIZE: u64 = 1 << 16;
/// For vector registers, at most.
const MAX_ALIGNMENT: u64 = 64;

impl Resolver for Anchor {
    fn name(&self) -> &'static str {
        "vtable anchor"
    }

    fn stack(&self) -> Stack {
        Stack::Rustls
    }

    fn resolve(&self, image: &Image<'_>, _: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        let sources = sources(image);
        let locations = Locations::find(image, &sources);
        let versions: BTreeSet<&Version> = locations.located().map(|source| &source.version).collect();
        let candidates = match image.machine {
            Machine::X86_64 => candidates(image, &locations),
            Machine::Aarch64 => Vec::new(),
        };
        versions
            .into_iter()
            .flat_map(|version| self.of_version(image, version, &locations, &candidates))
            .collect()
    }
}

impl Anchor {
    fn of_version(
        &self,
        image: &Image<'_>,
        version: &Version,
        locations: &Locations<'_>,
        candidates: &[Candidate<'_>],
    ) -> Vec<Result<Library, Unresolved>> {
        if !version.has_providers() {
            let reason = "without symbols: this version gives nothing else to find its functions by";
            return vec![Err(refused(Some(version), reason))];
        }
        let mut ciphers = Vec::new();
        for candidate in candidates
            .iter()
            .filter(|candidate| candidate.source.version == *version)
        {
            match &candidate.pair {
                Ok(pair) => ciphers.extend(candidate.ciphers(*pair)),
                Err(damage) => {
                    let reason = format!(
                        "without symbols, and its vtables of {} are not as they must be: {damage}",
                        candidate.source.path
                    );
                    return vec![Err(refused(Some(version), reason))];
                }
            }
        }
        if version.layout().is_none() {
            return vec![Err(refused(Some(version), "this version is not known yet"))];
        }
        let bare = locations
            .located()
            .filter(|source| source.version == *version && Module::parse(&source.path).is_some())
            .find(|source| !candidates.iter().any(|candidate| candidate.source == *source));
        if ciphers.is_empty() || bare.is_some() {
            let of = bare.map_or("its ciphers", |source| source.path.as_str());
            let reason = format!("without symbols, and no vtables of {of} were found");
            return vec![Err(refused(Some(version), reason))];
        }
        // Without optimisation the anchor is not found.
        libraries(image, version, &ciphers, Optimised::Known, self.name())
    }
}

/// Which versions have sources with panic locations.
pub(super) fn located_versions(image: &Image<'_>, sources: &[Source]) -> BTreeSet<Version> {
    let locations = Locations::find(image, sources);
    locations.located().map(|source| source.version.clone()).collect()
}

/// Which version's vtables hold a function.
pub(super) fn version_of(image: &Image<'_>, sources: &[Source], address: u64) -> Option<Version> {
    let locations = Locations::find(image, sources);
    let candidates = candidates(image, &locations);
    let mut versions = candidates
        .iter()
        .filter(|candidate| {
            candidate
                .pair
                .as_ref()
                .is_ok_and(|pair| pair.encrypt == address || pair.decrypt == address)
        })
        .map(|candidate| &candidate.source.version);
    let version = versions.next()?;
    versions.all(|other| other == version).then(|| version.clone())
}

/// A provider's module as people call it.
pub(super) fn provider(module: &str) -> String {
    module.replace('_', "-")
}

/// Addresses that an anchor gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    encrypt: u64,
    decrypt: u64,
}

/// Panic locations of a cipher's source with a vtable on either side, or with half of what that takes.
struct Candidate<'a> {
    source: &'a Source,
    module: Module<'a>,
    pair: Result<Pair, String>,
}

impl Candidate<'_> {
    fn ciphers(&self, pair: Pair) -> [Cipher; 2] {
        let Module { provider, protocol } = self.module;
        let cipher = |half, address, method| Cipher {
            half,
            address,
            name: format!("rustls::crypto::{provider}::{}::{method}", protocol.module()),
            provider: self::provider(provider),
        };
        [
            cipher(Half::Encrypt, pair.encrypt, "MessageEncrypter::encrypt"),
            cipher(Half::Decrypt, pair.decrypt, "MessageDecrypter::decrypt"),
        ]
    }
}

/// The module of a cipher, `crypto/PROVIDER/tls13.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Module<'a> {
    provider: &'a str,
    protocol: Protocol,
}

impl<'a> Module<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let (provider, file) = path.strip_prefix("crypto/")?.split_once('/')?;
        let protocol = match file {
            "tls12.rs" => Protocol::Tls12,
            "tls13.rs" => Protocol::Tls13,
            _ => return None,
        };
        Some(Self { provider, protocol })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tls12,
    Tls13,
}

impl Protocol {
    fn module(self) -> &'static str {
        match self {
            Protocol::Tls12 => "tls12",
            Protocol::Tls13 => "tls13",
        }
    }

    /// By how much a record grows: the authentication tag, and the type byte of TLS 1.3 or the explicit nonce of AES-GCM
    /// in TLS 1.2, which `ChaCha20` does without.
    fn grows_by(self, bytes: u8) -> bool {
        const TAG: u8 = 16;
        match self {
            Protocol::Tls12 => bytes == TAG + 8 || bytes == TAG,
            Protocol::Tls13 => bytes == TAG + 1,
        }
    }
}

/// Every place where locations of a cipher's source have a vtable beside them.
fn candidates<'a>(image: &Image<'_>, locations: &Locations<'a>) -> Vec<Candidate<'a>> {
    let runs: Vec<(Run<'a>, Module<'a>)> = locations
        .runs(DECRYPTER)
        .into_iter()
        .filter_map(|run| {
            let module = Module::parse(&run.source.path)?;
            Some((run, module))
        })
        .collect();
    if runs.is_empty() {
        return Vec::new();
    }
    let words = |Run { locations, .. }: &Run<'_>| {
        let decrypter = locations.start.saturating_sub(DECRYPTER);
        let encrypter = locations.end;
        [
            decrypter,
            decrypter.saturating_add(METHOD),
            encrypter,
            encrypter.saturating_add(METHOD),
            encrypter.saturating_add(SECOND_METHOD),
        ]
    };
    let places: Vec<u64> = runs.iter().flat_map(|(run, _)| words(run)).collect();
    let vtables = Vtables {
        image,
        pointers: pointers::at(image, &places),
    };
    let candidate = |(run, module): (Run<'a>, Module<'a>)| {
        let pair = vtables.pair(&run, module.protocol)?;
        Some(Candidate {
            source: run.source,
            module,
            pair,
        })
    };
    runs.into_iter().filter_map(candidate).collect()
}

/// What vtables hold.
struct Vtables<'image, 'data> {
    image: &'image Image<'data>,
    pointers: HashMap<u64, u64>,
}

impl Vtables<'_, '_> {
    /// Takes the words apart before and behind locations; `None` when that are no vtables at all.
    fn pair(&self, run: &Run<'_>, protocol: Protocol) -> Option<Result<Pair, String>> {
        let Run {
            locations, is_framed, ..
        } = run;
        let decrypt = self.method(locations.start.checked_sub(DECRYPTER)?);
        let encrypt = self.method(locations.end);
        let length = self.function(locations.end.saturating_add(SECOND_METHOD));
        let growth = length.and_then(|length| growth(self.image, length));
        match (decrypt, encrypt, length, growth) {
            (Some(decrypt), Some(encrypt), Some(length), Some(bytes)) if protocol.grows_by(bytes) => {
                let differ = encrypt != decrypt && encrypt != length && decrypt != length;
                Some(if differ {
                    Ok(Pair { encrypt, decrypt })
                } else {
                    Err(format!(
                        "two of the functions around {:#x} are one",
                        locations.end
                    ))
                })
            }
            // Vtables of other traits may lie like that, but not with a location in front as well.
            (Some(_), Some(_), Some(length), _) if *is_framed => Some(Err(format!(
                "the code at {length:#x} does not tell by how much a record grows (a build without optimisation?)"
            ))),
            (_, _, Some(_), Some(bytes)) if protocol.grows_by(bytes) => Some(Err(format!(
                "there are no two whole vtables around {:#x}, where a record is said to grow by {bytes} bytes",
                locations.end
            ))),
            _ => None,
        }
    }

    /// Checks a vtable and gives its first method.
    fn method(&self, place: u64) -> Option<u64> {
        let of = |into| word(self.image, place.checked_add(into)?);
        // 0 when nothing needs to be done to drop it.
        if self.function(place).is_none() && (self.is_pointer(place) || of(0) != Some(0)) {
            return None;
        }
        let (size, alignment) = (of(SIZE)?, of(ALIGNMENT)?);
        let is_sane = alignment.is_power_of_two()
            && alignment <= MAX_ALIGNMENT
            && size <= MAX_SIZE
            && size.is_multiple_of(alignment);
        is_sane.then(|| self.function(place.checked_add(METHOD)?))?
    }

    /// Whether a word is one for the loader, other than 0.
    fn is_pointer(&self, place: u64) -> bool {
        self.pointers.get(&place).is_some_and(|value| *value != 0)
    }

    fn function(&self, place: u64) -> Option<u64> {
        self.pointers
            .get(&place)
            .copied()
            .filter(|address| self.image.code_offset(*address).is_some())
    }
}

fn word(image: &Image<'_>, address: u64) -> Option<u64> {
    image.bytes_at(address, 8).try_into().ok().map(u64::from_le_bytes)
}
