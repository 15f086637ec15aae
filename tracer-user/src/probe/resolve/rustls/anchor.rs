//! rustls without symbols: by the vtables of its ciphers, which lie among panic locations that name version and provider.
//!
//! Since 0.22 each cipher's module gives, in every optimised build, this run of words in the data of a file:
//!
//! | words | |
//! |---|---|
//! | 3 | a panic location: the path of the module's source, its length, line and column |
//! | 4 | the decrypter's vtable: drop, size, alignment, `decrypt` |
//! | 3 | a panic location of the same source |
//! | 5 | the encrypter's vtable: drop, size, alignment, `encrypt`, `encrypted_payload_len` |
//!
//! `encrypted_payload_len` adds a constant of the protocol to its argument (RFC 8446 section 5.2, RFC 5288, RFC 7905), so its
//! code is known to the byte. Where the two locations stand, everything else must be as it has to be, or the library is
//! refused: half an anchor is none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::image::{Image, Machine};
use super::super::pointers::{self, Contents, Pointer};
use super::super::{Library, Resolver, Sibling, Stack, Unresolved};
use super::sources::{Source, Version, sources};
use super::{Cipher, Half, Optimised, libraries, refused};

/// Probes on functions that a vtable names.
#[derive(Debug)]
pub(in super::super) struct Anchor;

/// A path may have so much before the crate's name.
const LONGEST_PREFIX: u64 = 1024;
/// All of rustls has some hundred panic locations; other texts lie beside its paths.
const MAX_LOCATIONS: usize = 1 << 17;
/// No source has more lines, no line more columns.
const MAX_LINE: u64 = 1 << 20;

// Places of words, from the first location.
const DECRYPTER: u64 = 24;
const SECOND_LOCATION: u64 = 56;
const ENCRYPTER: u64 = 80;
// Places of words in a vtable.
const SIZE: u64 = 8;
const ALIGNMENT: u64 = 16;
const METHOD: u64 = 24;
const SECOND_METHOD: u64 = 32;

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
            Machine::X86_64 => locations.candidates(image),
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
    let candidates = locations.candidates(image);
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

/// Two panic locations of a cipher's source, as far apart as vtables between them want it, and what is there.
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

/// Panic locations in rustls's own sources: where they stand, and which source they are in. A text that merely mentions such
/// a path is not one of its sources.
struct Locations<'a> {
    sources: &'a [Source],
    places: BTreeMap<u64, usize>,
}

impl<'a> Locations<'a> {
    fn find(image: &Image<'_>, sources: &'a [Source]) -> Self {
        let mut locations = Self {
            sources,
            places: BTreeMap::new(),
        };
        let is_near = |text: u64| {
            let next = sources.partition_point(|source| source.begin < text);
            let source = sources.get(next);
            source.is_some_and(|source| source.begin - text <= LONGEST_PREFIX)
        };
        let Some(pointers) = pointers::to(image, MAX_LOCATIONS, is_near) else {
            return locations;
        };
        let mut contents = Contents::default();
        for Pointer { place, value } in pointers {
            let source = locations.source_at(image, &mut contents, place, value);
            locations.places.extend(source.map(|source| (place, source)));
        }
        locations
    }

    /// `core::panic::Location`: the text of a path, a line, a column.
    fn source_at(&self, image: &Image<'_>, contents: &mut Contents, place: u64, text: u64) -> Option<usize> {
        let end = text.checked_add(contents.word(image, place.checked_add(8)?)?)?;
        let line_and_column = contents.word(image, place.checked_add(16)?)?;
        let [line, column] = [line_and_column & u64::from(u32::MAX), line_and_column >> 32];
        // In the order of addresses.
        let next = self.sources.partition_point(|source| source.end < end);
        let source = self.sources.get(next)?;
        let fits = source.end == end
            && text <= source.begin
            && (1..MAX_LINE).contains(&line)
            && (1..MAX_LINE).contains(&column);
        fits.then_some(next)
    }

    /// Sources that have a location.
    fn located(&self) -> impl Iterator<Item = &'a Source> {
        let distinct: BTreeSet<usize> = self.places.values().copied().collect();
        distinct.into_iter().filter_map(|source| self.sources.get(source))
    }

    /// Every place where two locations invite vtables between and behind them.
    fn candidates(&self, image: &Image<'_>) -> Vec<Candidate<'a>> {
        let starts: Vec<(u64, &Source, Module<'_>)> = self
            .places
            .iter()
            .filter(|(place, source)| {
                let second = place.checked_add(SECOND_LOCATION);
                second.and_then(|second| self.places.get(&second)) == Some(*source)
            })
            .filter_map(|(place, source)| {
                let source = self.sources.get(*source)?;
                Some((*place, source, Module::parse(&source.path)?))
            })
            .collect();
        let places: Vec<u64> = starts
            .iter()
            .flat_map(|(start, ..)| {
                [
                    DECRYPTER,
                    DECRYPTER + METHOD,
                    ENCRYPTER,
                    ENCRYPTER + METHOD,
                    ENCRYPTER + SECOND_METHOD,
                ]
                .map(|into| start.saturating_add(into))
            })
            .collect();
        if places.is_empty() {
            return Vec::new();
        }
        let vtables = Vtables {
            image,
            pointers: pointers::at(image, &places),
        };
        let candidate = |(start, source, module): (u64, &'a Source, Module<'a>)| {
            let pair = vtables.pair(start, module.protocol)?;
            Some(Candidate { source, module, pair })
        };
        starts.into_iter().filter_map(candidate).collect()
    }
}

/// What vtables hold.
struct Vtables<'image, 'data> {
    image: &'image Image<'data>,
    pointers: HashMap<u64, u64>,
}

impl Vtables<'_, '_> {
    /// Takes the words apart that follow a first location; `None` when that are no vtables at all.
    fn pair(&self, start: u64, protocol: Protocol) -> Option<Result<Pair, String>> {
        let decrypt = self.method(start, DECRYPTER);
        let encrypt = self.method(start, ENCRYPTER);
        let length = self.function(start.saturating_add(ENCRYPTER + SECOND_METHOD));
        let growth = length.and_then(|length| growth(self.image.bytes_at(length, LONGEST_GROWTH)));
        match (decrypt, encrypt, length, growth) {
            (Some(decrypt), Some(encrypt), Some(length), Some(bytes)) if protocol.grows_by(bytes) => {
                let differ = encrypt != decrypt && encrypt != length && decrypt != length;
                Some(if differ {
                    Ok(Pair { encrypt, decrypt })
                } else {
                    Err(format!("two of the functions at {start:#x} are one"))
                })
            }
            (Some(_), Some(_), Some(length), _) => Some(Err(format!(
                "the code at {length:#x} does not tell by how much a record grows (a build without optimisation?)"
            ))),
            (_, _, Some(_), Some(bytes)) if protocol.grows_by(bytes) => Some(Err(format!(
                "there are no two whole vtables at {start:#x} in front of what tells by how much a record grows"
            ))),
            _ => None,
        }
    }

    /// Checks a vtable and gives its first method.
    fn method(&self, start: u64, vtable: u64) -> Option<u64> {
        let place = start.saturating_add(vtable);
        let of = |into| word(self.image, place.saturating_add(into));
        // No pointer there means that nothing needs to be done to drop it: 0.
        if self.pointers.contains_key(&place) && !(self.image.is_fixed && of(0) == Some(0)) {
            self.function(place)?;
        }
        let (size, alignment) = (of(SIZE)?, of(ALIGNMENT)?);
        let is_sane = alignment.is_power_of_two()
            && alignment <= MAX_ALIGNMENT
            && size <= MAX_SIZE
            && size.is_multiple_of(alignment);
        is_sane.then(|| self.function(place.saturating_add(METHOD)))?
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

const LONGEST_GROWTH: u64 = 16;

/// Reads the code of a function that adds a small constant to its second argument: `lea rax, [rsi + N]; ret`, with a frame
/// or without.
fn growth(code: &[u8]) -> Option<u8> {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    let code = code.strip_prefix(&ENDBR64).unwrap_or(code);
    match code {
        [0x48, 0x8d, 0x46, bytes, 0xc3, ..]
        | [0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x46, bytes, 0x5d, 0xc3, ..] => Some(*bytes),
        _ => None,
    }
}
