//! rustls: the functions that every record passes, `MessageEncrypter::encrypt` and `MessageDecrypter::decrypt`.
//!
//! Ciphers are trait objects, so the compiler keeps these two as functions of their own in every build, link-time
//! optimisation included, while `Reader` and `Writer` are inlined away. They are found by name where there are symbols
//! ([`symbols`]), else by the shape of their vtables ([`anchor`]).

mod anchor;
mod growth;
mod layout;
mod locations;
mod sources;
mod symbols;

use std::collections::BTreeMap;

use self::sources::Version;
pub(super) use self::{anchor::Anchor, symbols::Symbols};
use super::image::{Function, Image, Machine};
use super::openssl::point;
use super::{Library, Role, RustlsLayout, Unresolved};

/// What the two functions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Half {
    Encrypt,
    Decrypt,
}

impl Half {
    fn role(self, layout: RustlsLayout) -> Role {
        match self {
            Half::Encrypt => Role::RustlsEncrypt(layout),
            Half::Decrypt => Role::RustlsDecrypt(layout),
        }
    }
}

/// One of the two functions of one cipher.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cipher {
    half: Half,
    address: u64,
    /// For people.
    name: String,
    /// What does the cryptography, as people call it.
    provider: String,
}

/// Whether the code of a build can be asked for its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Optimised {
    /// It is known to be: then the code has to tell.
    Known,
    /// It may not be: then it is enough that the code does not contradict.
    Unknown,
}

/// The ciphers of one version as libraries, one for each provider.
///
/// A linker may have folded functions with the same code into one: such a function gets one probe, as long as all of them
/// do the same.
fn libraries(
    image: &Image<'_>,
    version: &Version,
    ciphers: &[Cipher],
    optimised: Optimised,
    resolver: &'static str,
) -> Vec<Result<Library, Unresolved>> {
    let Some(layout) = version.layout() else {
        return vec![Err(refused(Some(version), "this version is not known yet"))];
    };
    if image.machine != Machine::X86_64 {
        return vec![Err(refused(Some(version), "can be traced on x86-64 only"))];
    }
    for cipher in ciphers.iter().filter(|cipher| cipher.half == Half::Encrypt) {
        let told = layout::of_encrypt(image, cipher.address);
        let is_silent = told.is_none() && optimised == Optimised::Unknown;
        if told != Some(layout) && !is_silent {
            let reason = format!(
                "the code of {} at {:#x} does not read a record as this version does",
                cipher.name, cipher.address
            );
            return vec![Err(refused(Some(version), reason))];
        }
    }
    let mut halves: BTreeMap<u64, Half> = BTreeMap::new();
    let mut by_provider: BTreeMap<&str, Vec<&Cipher>> = BTreeMap::new();
    for cipher in ciphers {
        match halves.insert(cipher.address, cipher.half) {
            None => by_provider.entry(&cipher.provider).or_default().push(cipher),
            Some(half) if half == cipher.half => {}
            Some(_) => {
                let reason = format!("encrypts and decrypts in one function, at {:#x}", cipher.address);
                return vec![Err(refused(Some(version), reason))];
            }
        }
    }
    let library = |(provider, ciphers): (&str, Vec<&Cipher>)| {
        for half in [Half::Encrypt, Half::Decrypt] {
            if !ciphers.iter().any(|cipher| cipher.half == half) {
                return Err(refused(
                    Some(version),
                    format!("no {half:?} function of {provider}"),
                ));
            }
        }
        let points = ciphers.iter().map(|cipher| {
            let function = Function {
                address: cipher.address,
                size: 0,
            };
            point(image, cipher.half.role(layout), function, &cipher.name)
        });
        Ok(Library {
            name: "rustls",
            version: Some(version.to_string()),
            provider: Some(provider.to_owned()),
            resolver,
            points: points.collect::<Result<_, _>>()?,
        })
    };
    by_provider.into_iter().map(library).collect()
}

fn refused(version: Option<&Version>, reason: impl Into<String>) -> Unresolved {
    Unresolved::Refused {
        library: version.map_or_else(|| "rustls".to_owned(), |version| format!("rustls {version}")),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests;
