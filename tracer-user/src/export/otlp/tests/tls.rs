//! Over TLS, with a certificate authority of one's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tonic::transport::{Identity, ServerTlsConfig};

use super::backend::{Answer, Backend};
use super::{PATIENCE, grpc, problem, send, settings};
use crate::export::{Format, OpenError, OtlpSettings, OutletSettings, Outlets, TlsError};

/// A certificate authority and the files that a user of it has.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { issuer, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Certificate and key in PEM for a name or an address.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    fn acceptor(&self, wants_client: bool) -> tokio_rustls::TlsAcceptor {
        let (certificate, key) = self.issue("127.0.0.1");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("our own");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS");
        let builder = if wants_client {
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
        Arc::new(
            builder
                .with_single_cert(chain, key)
                .expect("they belong together"),
        )
        .into()
    }
}

fn secure(port: u16, more: &[(&str, &Path)]) -> OtlpSettings {
    let endpoint = format!("https://127.0.0.1:{port}");
    let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    variables.extend(
        more.iter()
            .map(|(name, path)| (*name, path.to_str().expect("UTF-8"))),
    );
    settings(&variables)
}

fn open_error(otlp: OtlpSettings) -> OpenError {
    let settings = OutletSettings {
        format: Format::None,
        otlp: Some(otlp),
        ..OutletSettings::default()
    };
    Outlets::open(settings).expect_err("this cannot work")
}

#[test]
fn a_private_authority_is_trusted_when_its_certificate_is_named() {
    let authority = Authority::new();
    let backend = Backend::start_tls(authority.acceptor(false), |_, _| Answer::ok());
    let settings = secure(
        backend.address.port(),
        &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &authority.path("ca.pem"))],
    );
    let report = send(settings, 2, PATIENCE);
    assert_eq!((report.exported, report.problems.len()), (2, 0), "{report:?}");
}

#[test]
fn without_it_the_backend_is_not_trusted_and_the_remedy_is_named() {
    let authority = Authority::new();
    let backend = Backend::start_tls(authority.acceptor(false), |_, _| Answer::ok());
    let report = send(secure(backend.address.port(), &[]), 2, Duration::from_secs(1));
    assert_eq!(report.exported, 0);
    let problem = problem(&report);
    assert!(problem.contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{problem}");
}

#[test]
fn a_backend_that_wants_to_know_us_gets_our_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("geophone");
    let (certificate_path, key_path) = (authority.path("client.pem"), authority.path("client.key"));
    std::fs::write(&certificate_path, certificate).expect("written");
    std::fs::write(&key_path, key).expect("written");
    let backend = Backend::start_tls(authority.acceptor(true), |_, _| Answer::ok());
    let ca = authority.path("ca.pem");
    let known = secure(
        backend.address.port(),
        &[
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &certificate_path),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key_path),
        ],
    );
    assert_eq!(send(known, 1, PATIENCE).exported, 1);
    let unknown = secure(backend.address.port(), &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca)]);
    assert_eq!(send(unknown, 1, Duration::from_secs(1)).exported, 0);
}

#[test]
fn grpc_trusts_a_private_authority_too() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1");
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let backend = grpc::Backend::serve(Some(tls), |_, _| Ok(grpc::taken()));
    let ca = authority.path("ca.pem");
    let over_grpc = |certificate: &[(&str, &Path)]| OtlpSettings {
        protocol: crate::export::OtlpProtocol::Grpc,
        ..secure(backend.address.port(), certificate)
    };
    let report = send(over_grpc(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca)]), 2, PATIENCE);
    assert_eq!((report.exported, report.problems.len()), (2, 0), "{report:?}");
    let report = send(over_grpc(&[]), 2, Duration::from_secs(1));
    assert_eq!(report.exported, 0);
    assert!(
        problem(&report).contains("OTEL_EXPORTER_OTLP_CERTIFICATE"),
        "{report:?}"
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let missing = authority.path("missing.pem");
    let error = open_error(secure(1, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &missing)]));
    assert!(
        matches!(error, OpenError::Tls(TlsError::Unreadable { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("missing.pem"), "{error}");

    let empty = authority.path("empty.pem");
    std::fs::write(&empty, "not a certificate\n").expect("written");
    let error = open_error(secure(1, &[("OTEL_EXPORTER_OTLP_CERTIFICATE", &empty)]));
    assert!(
        matches!(error, OpenError::Tls(TlsError::Unusable { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("BEGIN CERTIFICATE"), "{error}");
}
