//! A certificate authority of its own and a server certificate for every name that clients of the fake use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Names that the server certificate is good for.
pub const NAMES: [&str; 3] = [
    "localhost",
    "127.0.0.1",
    "bedrock-runtime.us-east-1.amazonaws.com",
];

/// A fresh authority, a certificate under it, and the files that clients want to be given.
#[derive(Debug)]
pub struct Identity {
    directory: tempfile::TempDir,
    chain: rustls::pki_types::CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// Makes an authority and a server certificate.
    pub fn new() -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "fake Bedrock authority");
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut server = CertificateParams::new(NAMES.map(String::from))?;
        server.distinguished_name.push(DnType::CommonName, "fake Bedrock");
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let server_certificate = server.signed_by(&server_key, &issuer)?;

        let directory = tempfile::Builder::new().prefix("fake-bedrock-").tempdir()?;
        let identity = Self {
            chain: server_certificate.der().clone(),
            key: server_key.serialize_der(),
            directory,
        };
        std::fs::write(identity.authority(), authority_certificate.pem())
            .context("cannot write the certificate of the authority")?;
        std::fs::write(
            identity.directory.path().join("server.pem"),
            server_certificate.pem(),
        )?;
        std::fs::write(
            identity.directory.path().join("server.key"),
            server_key.serialize_pem(),
        )?;
        Ok(identity)
    }

    /// PEM file of the authority: what a client must trust.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// PEM files of the server certificate and its key, for servers that are other programs.
    pub fn server_files(&self) -> (PathBuf, PathBuf) {
        let directory: &Path = self.directory.path();
        (directory.join("server.pem"), directory.join("server.key"))
    }

    /// Configuration of a TLS server that speaks these versions and offers these protocols by ALPN.
    pub fn server_config(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(vec![self.chain.clone()], key)?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}
