//! From a file to the places where probes go, or to the reason why there are none.
//!
//! Each way of finding the functions of a TLS library is a resolver in a file of its own. They are asked in order, each
//! fails closed: a probe in a wrong place can crash the process that runs over it, so what is not proven is refused.
//!
//! One file can hold several libraries: OpenSSL's exports and rustls, or rustls twice. Every [`Stack`] is taken by one
//! resolver at most, the first that finds it, so that no byte is seen on two levels of the same code.

mod boringssl;
mod entry;
mod errors;
pub mod fingerprint;
mod flow;
mod gnutls;
mod go;
mod image;
mod openssl;
mod openssl_internal;
mod openssl_static;
mod pointers;
mod recognise;
mod rustls;
mod s2n;

use std::fmt;
use std::fs::File;

use object::read::ReadCache;
use thiserror::Error;

use self::image::Image;

/// Opens a library by file name that stands beside the one in question.
pub type Sibling<'a> = &'a dyn Fn(&str) -> Option<File>;

/// TLS code bases: what shares one has the same functions, of which one level is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stack {
    /// OpenSSL and what descends from it: BoringSSL, `LibreSSL`, AWS-LC's libssl.
    OpenSsl,
    /// rustls, whatever provider does its cryptography.
    Rustls,
    /// Go's own `crypto/tls`.
    Go,
    /// `GnuTLS`.
    GnuTls,
    /// Amazon's s2n-tls.
    S2n,
}

/// One way of finding the functions of a TLS library.
trait Resolver {
    /// For people who ask why a process is traced.
    fn name(&self) -> &'static str;

    /// Whose functions it finds.
    fn stack(&self) -> Stack;

    /// For each copy of the library in the file its attach points, or why they are refused; nothing when this way does
    /// not fit the file.
    fn resolve(&self, image: &Image<'_>, sibling: Sibling<'_>) -> Vec<Result<Library, Unresolved>>;
}

/// Best first.
const RESOLVERS: [&dyn Resolver; 8] = [
    &openssl_internal::Internal,
    &openssl::Exports,
    &errors::ErrorSites,
    &rustls::Symbols,
    &rustls::Anchor,
    &go::FunctionTable,
    &gnutls::Exports,
    &s2n::Symbols,
];

/// Looks for TLS libraries in an opened file. Of files that have none it reads headers, symbol names and constants, each once
/// for those who ask.
pub fn resolve(file: &File, sibling: Sibling<'_>) -> Result<Resolved, Unresolved> {
    let cache = ReadCache::new(file);
    let image = Image::parse(file, &cache)?;
    let mut libraries: Vec<(Stack, Library)> = Vec::new();
    let mut refused: Vec<(Stack, Unresolved)> = Vec::new();
    for resolver in RESOLVERS {
        let stack = resolver.stack();
        if libraries.iter().any(|(taken, _)| *taken == stack) {
            continue;
        }
        let found = resolver.resolve(&image, sibling);
        if found.iter().any(Result::is_ok) {
            refused.retain(|(of, _)| *of != stack);
        }
        for copy in found {
            match copy {
                Ok(library) => libraries.push((stack, library)),
                Err(reason) => refused.push((stack, reason)),
            }
        }
    }
    let mut refused = refused.into_iter().map(|(_, reason)| reason);
    if libraries.is_empty() {
        return Err(refused.next().unwrap_or(Unresolved::NoTls));
    }
    Ok(Resolved {
        libraries: libraries.into_iter().map(|(_, library)| library).collect(),
        refused: refused.collect(),
        build_id: image.build_id(),
    })
}

/// Says more about a file that did not resolve: which TLS library that geophone cannot trace is in it, if any. Searches
/// through all its constant data, so this is for people who ask, not for every file as it is mapped.
pub fn explain(file: &File) -> Unresolved {
    let cache = ReadCache::new(file);
    match Image::parse(file, &cache) {
        Ok(image) => recognise::recognise(&image),
        Err(reason) => reason,
    }
}

/// What a file with TLS in it gives: where to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The libraries found in the file, one at least.
    pub libraries: Vec<Library>,
    /// Why further libraries in the same file get no probes.
    pub refused: Vec<Unresolved>,
    /// GNU build id in hexadecimal.
    pub build_id: Option<String>,
}

impl Resolved {
    /// The places of all libraries.
    pub fn points(&self) -> impl Iterator<Item = &AttachPoint> {
        self.libraries.iter().flat_map(|library| &library.points)
    }

    /// Everything, for people: each library with its places in the order of the file.
    pub fn listing(&self) -> String {
        let mut lines = Vec::new();
        for library in &self.libraries {
            lines.push(library.to_string());
            let mut points: Vec<&AttachPoint> = library.points.iter().collect();
            points.sort_by_key(|point| point.offset);
            for AttachPoint { role, offset, symbol } in points {
                lines.push(format!("  {offset:#x} {role:?} {symbol}"));
            }
        }
        lines.extend(self.refused.iter().map(|reason| format!("not traced: {reason}")));
        lines.extend(self.build_id.iter().map(|id| format!("build id {id}")));
        lines.push(String::new());
        lines.join("\n")
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, library) in self.libraries.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" and ")?;
            }
            library.fmt(formatter)?;
        }
        Ok(())
    }
}

/// A TLS library in a file, with the places where its plaintext passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Whose code it is.
    pub name: &'static str,
    /// Version, when the file carries it.
    pub version: Option<String>,
    /// What does the cryptography, where the library leaves a choice.
    pub provider: Option<String>,
    /// Name of the resolver that found it.
    pub resolver: &'static str,
    /// Every place that takes a probe.
    pub points: Vec<AttachPoint>,
}

/// `rustls 0.23.46 (aws-lc-rs, by vtable anchor)`
impl fmt::Display for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)?;
        if let Some(version) = &self.version {
            write!(formatter, " {version}")?;
        }
        match &self.provider {
            Some(provider) => write!(formatter, " ({provider}, by {})", self.resolver),
            None => write!(formatter, " (by {})", self.resolver),
        }
    }
}

/// One place in a file that takes a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachPoint {
    /// What the function does, which decides the program.
    pub role: Role,
    /// Offset in the file (not an address), as the kernel wants it.
    pub offset: u64,
    /// Name of the function, for people.
    pub symbol: String,
}

/// What a probed function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `f(SSL *, void *buf, num, …)` that fills `buf`.
    Read(CountReturn),
    /// `f(SSL *, const void *buf, num, …)` that sends `buf`.
    Write(CountReturn),
    /// `SSL *SSL_new(SSL_CTX *)`.
    New,
    /// `void SSL_free(SSL *)`.
    Free,
    /// `long SSL_ctrl(SSL *, int cmd, long, void *)`; cmd 55 sets the server name.
    Control,
    /// rustls `MessageEncrypter::encrypt`, which takes plaintext: read at its entry.
    RustlsEncrypt(RustlsLayout),
    /// rustls `MessageDecrypter::decrypt`, which decrypts in place: read at its return.
    RustlsDecrypt(RustlsLayout),
    /// Go `crypto/tls.(*Conn).Write`, read at its entry.
    GoWrite,
    /// Entry of Go `crypto/tls.(*Conn).Read`. The plaintext is taken at [`Role::GoReadReturn`].
    GoRead,
    /// One `RET` of Go `crypto/tls.(*Conn).Read`: a return probe would move a stack that Go moves itself.
    GoReadReturn,
    /// Entry of Go `crypto/tls.(*Conn).clientHandshake`: a connection begins.
    GoHandshake,
    /// Entry of Go `crypto/tls.(*Conn).Close`.
    GoClose,
}

/// How rustls passes a record to its cipher, which changed between its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RustlsLayout {
    /// 0.21 and 0.22: one slice out, an owned vector back.
    Owned,
    /// 0.23: one or several slices out, a slice of the input back.
    Borrowed,
}

/// How a function tells how many bytes it moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CountReturn {
    /// As its `int` result; zero and less mean nothing was moved.
    ReturnValue,
    /// Through a `size_t *` argument, valid when the `int` result is above zero.
    OutPointer {
        /// Which argument, counted from 0.
        argument: u8,
    },
}

/// Why a file gets no probes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// Nothing in the file looks like TLS.
    #[error("no TLS library in it")]
    NoTls,
    /// A TLS library that geophone knows but cannot trace.
    #[error("{0}")]
    Unsupported(Known),
    /// The library is there, its functions cannot be found.
    #[error("{library} without symbols: its functions cannot be found safely")]
    NoSymbols {
        /// Which library.
        library: &'static str,
    },
    /// The library is there, but not all of it is as it must be for a probe to be safe.
    #[error("{library}: {reason}")]
    Refused {
        /// Which library, with its version where that is known.
        library: String,
        /// What is not as it must be.
        reason: String,
    },
    /// Code for another processor than this host's.
    #[error("built for another processor ({0})")]
    Architecture(String),
    /// The file cannot be taken apart.
    #[error("not a readable ELF file: {0}")]
    Malformed(String),
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Io(String),
}

impl Unresolved {
    /// In a few words that do not vary: to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Unresolved::NoTls => "no TLS",
            Unresolved::Unsupported(Known::Nss) => "NSS",
            Unresolved::Unsupported(Known::Java) => "Java",
            Unresolved::NoSymbols { .. } => "no symbols",
            Unresolved::Refused { .. } => "half an anchor, or an unknown version",
            Unresolved::Architecture(_) => "another processor",
            Unresolved::Malformed(_) => "no readable ELF file",
            Unresolved::Io(_) => "not readable",
        }
    }
}

/// TLS implementations that are recognised by cheap marks and not traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// Mozilla NSS.
    Nss,
    /// The Java virtual machine, whose TLS is bytecode.
    Java,
}

/// With the reason.
impl fmt::Display for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Known::Nss => "NSS: geophone has no probes for its functions yet",
            Known::Java => {
                "Java: its own TLS (JSSE) is bytecode, which has no place for a probe; TLS through a native library \
                 (netty-tcnative, the AWS Common Runtime) is traced"
            }
        })
    }
}

#[cfg(any(test, fuzzing))]
mod fixtures;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod live_tests;
#[cfg(test)]
pub(super) mod tests;
