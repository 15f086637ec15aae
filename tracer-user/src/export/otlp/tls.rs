//! Whom to trust when spans are sent over TLS, by rustls.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tonic::transport::{ClientTlsConfig, Identity};

use super::settings::{ClientCertificate, OtlpSettings};

/// TLS that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}, which {variable} names: {source}; correct the path or its permissions", path.display())]
    Unreadable {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no certificate or key in it that can be used.
    #[error(
        "{}, which {variable} names, holds no usable {what}: {reason}; it has to be PEM, with lines such as `-----BEGIN CERTIFICATE-----`",
        path.display()
    )]
    Unusable {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Certificate or key.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not belong together, or TLS refuses them.
    #[error(
        "the client certificate cannot be used: {0}; do OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY belong together?"
    )]
    Client(String),
}

const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

/// For HTTP.
pub(super) fn for_http(settings: &OtlpSettings) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Client(error.to_string()))?
        .with_root_certificates(roots(settings)?);
    let Some(client) = &settings.client else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, key) = client_identity(client)?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| TlsError::Client(error.to_string()))
}

/// For gRPC.
pub(super) fn for_grpc(settings: &OtlpSettings) -> Result<ClientTlsConfig, TlsError> {
    let config = ClientTlsConfig::new().trust_anchors(roots(settings)?.roots);
    let Some(client) = &settings.client else {
        return Ok(config);
    };
    // Read by us as well, for an error that says which file is wrong.
    client_identity(client)?;
    let certificate = read(CLIENT_CERTIFICATE, &client.certificate)?;
    let key = read(CLIENT_KEY, &client.key)?;
    Ok(config.identity(Identity::from_pem(certificate, key)))
}

/// The certificates of `OTEL_EXPORTER_OTLP_CERTIFICATE` and no others, else the system's, else, in a container that has
/// none, Mozilla's.
fn roots(settings: &OtlpSettings) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    if let Some(path) = &settings.certificate {
        for certificate in certificates(CERTIFICATE, path)? {
            store
                .add(certificate)
                .map_err(|error| unusable(CERTIFICATE, path, "certificate", &error))?;
        }
        return Ok(store);
    }
    let system = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(system.certs);
    if store.is_empty() {
        tracing::debug!("no certificates found on this system: Mozilla's are trusted");
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(store)
}

fn client_identity(
    client: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(CLIENT_CERTIFICATE, &client.certificate)?;
    let pem = read(CLIENT_KEY, &client.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| unusable(CLIENT_KEY, &client.key, "private key", &error))?;
    Ok((chain, key))
}

fn certificates(variable: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(variable, path)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(variable, path, "certificate", &error))?;
    if certificates.is_empty() {
        return Err(unusable(variable, path, "certificate", &"there is none in it"));
    }
    Ok(certificates)
}

fn read(variable: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable {
        variable,
        path: path.to_path_buf(),
        source,
    })
}

fn unusable(variable: &'static str, path: &Path, what: &'static str, reason: &impl ToString) -> TlsError {
    TlsError::Unusable {
        variable,
        path: path.to_path_buf(),
        what,
        reason: reason.to_string(),
    }
}
