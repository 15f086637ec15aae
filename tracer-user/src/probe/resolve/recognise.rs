//! Names the TLS implementation of a file that no resolver could take, by marks that survive stripping.

use memchr::memmem;

use super::image::Image;
use super::{Known, Unresolved};

/// A text in the constant data of a file and what it gives away.
const MARKS: [(&[u8], Unresolved); 4] = [
    (b"boringssl/ssl/", Unresolved::Unsupported(Known::BoringSsl)),
    (b"/rustls-0.", Unresolved::NoSymbols { library: "rustls" }),
    // OpenSSL 3 reports its errors under the names of its functions, 1.1.1 under the names of its files.
    (b"ssl_read_internal", Unresolved::NoSymbols { library: "OpenSSL" }),
    (b"ssl/ssl_lib.c\0", Unresolved::NoSymbols { library: "OpenSSL" }),
];

/// Public functions of libraries that have another shape than OpenSSL's, and what they give away.
const EXPORTS: [(&str, Known); 4] = [
    ("gnutls_record_send", Known::GnuTls),
    ("SSL_ImportFD", Known::Nss),
    ("s2n_send", Known::S2n),
    ("JNI_CreateJavaVM", Known::Java),
];

/// What is in the file, as far as it gives itself away.
pub(super) fn recognise(image: &Image<'_>) -> Unresolved {
    if image.has_section(".gopclntab") {
        return if image.mentions(".gopclntab", b"crypto/tls.(*Conn).Write") {
            Unresolved::Unsupported(Known::Go)
        } else {
            Unresolved::NoTls
        };
    }
    let exported = image.functions(EXPORTS.map(|(name, _)| name));
    for (function, (_, library)) in exported.iter().zip(EXPORTS) {
        if function.is_some() {
            return Unresolved::Unsupported(library);
        }
    }
    image
        .search(".rodata", |text| {
            MARKS
                .iter()
                .find(|(mark, _)| memmem::find(text, mark).is_some())
                .map(|(_, reason)| reason.clone())
        })
        .unwrap_or(Unresolved::NoTls)
}
