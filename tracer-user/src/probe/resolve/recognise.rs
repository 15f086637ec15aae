//! Names the TLS implementation of a file that no resolver could take, by marks that survive stripping.

use memchr::memmem;

use super::image::{Image, Machine};
use super::{Known, Unresolved};

const RUSTLS: &str = "rustls";

/// A text in the constant data of a file and the library that it gives away.
const MARKS: [(&[u8], &str); 5] = [
    (b"/rustls-0.", RUSTLS),
    (b"boringssl/ssl/", "BoringSSL"),
    (b"aws-lc/ssl/", "AWS-LC"),
    // OpenSSL 3 reports its errors under the names of its functions, 1.1.1 under the names of its files.
    (b"ssl_read_internal", "OpenSSL"),
    (b"ssl/ssl_lib.c\0", "OpenSSL"),
];

/// Public functions of libraries that have another shape than OpenSSL's, and what they give away.
const EXPORTS: [(&str, Known); 2] = [("SSL_ImportFD", Known::Nss), ("JNI_CreateJavaVM", Known::Java)];

/// What is in the file, as far as it gives itself away.
pub(super) fn recognise(image: &Image<'_>) -> Unresolved {
    let exported = image.functions(EXPORTS.map(|(name, _)| name));
    for (function, (_, library)) in exported.iter().zip(EXPORTS) {
        if function.is_some() {
            return Unresolved::Unsupported(library);
        }
    }
    // Where code leads to one of the others on this processor, a resolver has had its say: these are texts and no more.
    let counts = |library: &str| library == RUSTLS || image.machine != Machine::X86_64;
    image
        .search(".rodata", |text| {
            MARKS
                .iter()
                .find(|(mark, library)| counts(library) && memmem::find(text, mark).is_some())
                .map(|(_, library)| Unresolved::NoSymbols { library })
        })
        .unwrap_or(Unresolved::NoTls)
}
