//! From a file to the places where probes go, or to the reason why there are none.
//!
//! Each way of finding the functions of a TLS library is a resolver in a file of its own. They are asked in order, each
//! fails closed: a probe in a wrong place can crash the process that runs over it, so what is not proven is refused.

mod entry;
mod flow;
mod image;
mod openssl;
mod openssl_internal;
mod recognise;

use std::fmt;
use std::fs::File;

use object::read::ReadCache;
use thiserror::Error;

use self::image::Image;

/// Opens a library by file name that stands beside the one in question.
pub type Sibling<'a> = &'a dyn Fn(&str) -> Option<File>;

/// One way of finding the functions of a TLS library.
trait Resolver {
    /// For people who ask why a process is traced.
    fn name(&self) -> &'static str;

    /// The attach points, or why not; [`Unresolved::NoTls`] when this way does not fit the file.
    fn resolve(&self, image: &Image<'_>, sibling: Sibling<'_>) -> Result<Resolved, Unresolved>;
}

/// Best first.
const RESOLVERS: [&dyn Resolver; 2] = [&openssl_internal::Internal, &openssl::Exports];

/// Looks for a TLS library in an opened file. Reads only headers and symbol names of files that have none.
pub fn resolve(file: &File, sibling: Sibling<'_>) -> Result<Resolved, Unresolved> {
    let cache = ReadCache::new(file);
    let image = Image::parse(file, &cache)?;
    let mut reason = Unresolved::NoTls;
    for resolver in RESOLVERS {
        match resolver.resolve(&image, sibling) {
            Ok(resolved) => return Ok(resolved),
            Err(Unresolved::NoTls) => {}
            Err(other) => reason = other,
        }
    }
    Err(reason)
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

/// What a TLS file gives: where to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Which library was found in the file.
    pub library: Library,
    /// Every place that takes a probe.
    pub points: Vec<AttachPoint>,
    /// Name of the resolver that found them.
    pub resolver: &'static str,
}

/// A TLS library as far as its file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Whose code it is.
    pub name: &'static str,
    /// Version, when the file carries it.
    pub version: Option<String>,
    /// GNU build id in hexadecimal.
    pub build_id: Option<String>,
}

impl fmt::Display for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)?;
        match &self.version {
            Some(version) => write!(formatter, " {version}"),
            None => Ok(()),
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
    #[error("{0}: not supported yet")]
    Unsupported(Known),
    /// The library is there, its functions cannot be found.
    #[error("{library} without symbols: its functions cannot be found safely")]
    NoSymbols {
        /// Which library.
        library: &'static str,
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

/// TLS implementations that are recognised by cheap marks and not traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// Go's own `crypto/tls`.
    Go,
    /// rustls.
    Rustls,
    /// BoringSSL without symbols, as in Bun or Chromium.
    BoringSsl,
    /// GnuTLS.
    GnuTls,
    /// Mozilla NSS.
    Nss,
    /// Amazon's s2n-tls.
    S2n,
    /// The Java virtual machine, whose TLS is bytecode.
    Java,
}

impl fmt::Display for Known {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Known::Go => "Go crypto/tls",
            Known::Rustls => "rustls",
            Known::BoringSsl => "BoringSSL without symbols",
            Known::GnuTls => "GnuTLS",
            Known::Nss => "NSS",
            Known::S2n => "s2n-tls",
            Known::Java => "Java's own TLS (JSSE)",
        })
    }
}

#[cfg(test)]
mod live_tests;
#[cfg(test)]
mod tests;
