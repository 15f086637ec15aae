//! Which versions of rustls are in a file: by the paths of its sources, which every panic message carries.
//!
//! Cargo unpacks a crate into a folder of its name and version, so that a path reads
//! `…/rustls-0.23.46/src/crypto/ring/tls13.rs` whatever stands before that. It survives stripping and link-time optimisation.

use std::collections::BTreeMap;
use std::fmt;

use memchr::memmem;

use super::super::RustlsLayout;
use super::super::image::Image;

const NAME: &[u8] = b"rustls";
/// One version of rustls has about 60 source files that can panic.
const MAX_SOURCES: usize = 4096;
/// Longest text from the crate's name to `.rs`.
const LONGEST: usize = 128;

/// A version of rustls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Version {
    minor: u32,
    text: String,
}

impl Version {
    /// `0.23.46`, also with what is behind a `-`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |digits: &str| -> Option<u32> {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().ok())?
        };
        let (patch, _) = patch.split_once(['-', '+']).unwrap_or((patch, ""));
        number(patch)?;
        Some(Self {
            // All of 1.0 and later is beyond what is known.
            minor: if number(major)? == 0 {
                number(minor)?
            } else {
                u32::MAX
            },
            text: text.to_owned(),
        })
    }

    /// A build from a checkout or a vendored copy: the folder has no version.
    fn unknown() -> Self {
        Self {
            minor: u32::MAX,
            text: "of unknown version".to_owned(),
        }
    }

    /// How it passes a record to a cipher, for versions that were looked at.
    pub(super) fn layout(&self) -> Option<RustlsLayout> {
        match self.minor {
            21 | 22 => Some(RustlsLayout::Owned),
            23 => Some(RustlsLayout::Borrowed),
            _ => None,
        }
    }

    /// Before 0.22 the ciphers were not in a provider, and had no method that could serve as an anchor.
    pub(super) fn has_providers(&self) -> bool {
        self.minor >= 22
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// The path of one of rustls's source files, somewhere in a file's constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) version: Version,
    /// Address of the crate's name within the path.
    pub(super) begin: u64,
    /// Address behind the path.
    pub(super) end: u64,
    /// The path below the crate's `src`, such as `crypto/ring/tls13.rs`.
    pub(super) path: String,
}

/// Finds all of them.
pub(super) fn sources(image: &Image<'_>) -> Vec<Source> {
    let finder = memmem::Finder::new(NAME);
    // By address, since windows overlap.
    let mut found: BTreeMap<u64, Source> = BTreeMap::new();
    for stretch in image.constants() {
        let full: Option<()> = image.windows(stretch, |address, window| {
            for place in finder.find_iter(window) {
                let begin = address.wrapping_add(place as u64);
                let before = place.checked_sub(1).and_then(|before| window.get(before));
                let text = window.get(place..).unwrap_or_default();
                // At the start of a window it has been seen in the one before, with what is before it.
                let begins_here = before.map_or(begin == stretch.address, |byte| !is_in_name(*byte));
                if begins_here && let Some(source) = parse(text, begin) {
                    found.insert(begin, source);
                }
            }
            (found.len() >= MAX_SOURCES).then_some(())
        });
        if full.is_some() {
            break;
        }
    }
    found.into_values().collect()
}

/// `tokio-rustls` is another crate.
fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// `rustls-VERSION/src/PATH.rs` at the start of a text that goes on with other texts; in a checkout, without the version.
fn parse(text: &[u8], begin: u64) -> Option<Source> {
    const FOLDER: &[u8] = b"/src/";
    const EXTENSION: &[u8] = b".rs";
    let text = text.get(..LONGEST.min(text.len()))?;
    let folder = memmem::find(text, FOLDER)?;
    let version = match text.get(NAME.len()..folder)?.split_first() {
        None => Version::unknown(),
        Some((b'-', version)) => Version::parse(std::str::from_utf8(version).ok()?)?,
        Some(_) => return None,
    };
    let path = text.get(folder + FOLDER.len()..)?;
    let length = memmem::find(path, EXTENSION)? + EXTENSION.len();
    let path = std::str::from_utf8(path.get(..length)?).ok()?;
    let is_path = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.'));
    let whole = folder + FOLDER.len() + length;
    is_path.then(|| Source {
        version,
        begin,
        end: begin.wrapping_add(whole as u64),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_where_it_ends_though_the_next_text_follows_at_once() {
        let text = b"rustls-0.23.46/src/crypto/ring/tls13.rsinvalid certificate.rs";
        let source = parse(text, 0x1000).unwrap();
        assert_eq!(source.path, "crypto/ring/tls13.rs");
        assert_eq!(source.version.to_string(), "0.23.46");
        assert_eq!(source.version.layout(), Some(RustlsLayout::Borrowed));
        assert_eq!(source.end - source.begin, 39);
    }

    #[test]
    fn versions_that_nobody_has_looked_at_have_no_layout() {
        for (text, layout) in [
            ("0.21.12", Some(RustlsLayout::Owned)),
            ("0.22.4", Some(RustlsLayout::Owned)),
            ("0.23.0-alpha.1", Some(RustlsLayout::Borrowed)),
            ("0.20.9", None),
            ("0.24.0", None),
            ("1.23.0", None),
        ] {
            assert_eq!(Version::parse(text).unwrap().layout(), layout, "{text}");
        }
    }

    #[test]
    fn a_checkout_names_no_version() {
        let source = parse(b"rustls/src/crypto/ring/tls13.rs", 0).unwrap();
        assert_eq!(source.version, Version::unknown());
        assert_eq!(source.version.layout(), None);
    }

    #[test]
    fn crates_with_a_like_name_are_not_taken_for_it() {
        for text in [
            &b"rustls-webpki-0.103.16/src/lib.rs"[..],
            b"rustls-pki-types-1.13.0/src/lib.rs",
            b"rustls-0.23/src/lib.rs",
            b"rustls-0.23.46/examples/a.rs",
            b"rustls-0.23.46/src/lib",
            b"rustls-",
            b"rustls_native/src/lib.rs",
        ] {
            assert_eq!(parse(text, 0), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
