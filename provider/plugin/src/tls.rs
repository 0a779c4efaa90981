//! Mutual TLS as go-plugin does it: each side shows a certificate it has just made, and knows the other's by heart.
//!
//! The host's certificate is P-521 and marked as an authority. The usual verifier refuses an authority as an end
//! entity, and a library without P-521 would ask for no certificate at all; so the one exact certificate is pinned
//! here, and its signature checked by aws-lc.

use std::{sync::Arc, time::SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName as RootName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime, pem::PemObject};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// How far back the certificate is valid, in seconds, so that it survives a clock that steps.
const BACKDATED_SECONDS: u64 = 5 * 60;

/// How long the certificate is valid, in seconds: as long as go-plugin's own, 30 years.
const VALID_SECONDS: u64 = 30 * 365 * 24 * 3600;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("PLUGIN_CLIENT_CERT is not a certificate in PEM form")]
    ClientCertificate(#[source] rustls_pki_types::pem::Error),
    #[error("no certificate could be made")]
    OwnCertificate(#[from] rcgen::Error),
    #[error("TLS could not be set up")]
    Setup(#[from] rustls::Error),
}

/// The server's side of mutual TLS.
#[derive(Clone)]
pub(crate) struct MutualTls {
    /// Wraps accepted connections.
    pub(crate) acceptor: TlsAcceptor,
    /// The server's certificate, for the handshake line.
    pub(crate) certificate: CertificateDer<'static>,
}

impl MutualTls {
    /// Prepares TLS for exactly one client, given by its certificate in PEM form.
    pub(crate) fn for_client(pem: &str) -> Result<MutualTls, TlsError> {
        let client = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(TlsError::ClientCertificate)?;
        let (certificate, key) = own_certificate()?;
        // Never the process's default: which one that is depends on what else is linked.
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(PinnedClient {
            client,
            crypto: Arc::clone(&crypto),
        });
        let mut config = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.clone()], key)?;
        // grpc-go refuses a server that does not choose a protocol.
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(MutualTls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate,
        })
    }
}

/// Makes a self-signed certificate of the kind Go accepts: for `localhost` by subject alternative name, usable by
/// servers.
fn own_certificate() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let at = |seconds: u64| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds);
    params.not_before = at(now.saturating_sub(BACKDATED_SECONDS));
    params.not_after = at(now + VALID_SECONDS);
    let certificate = params.self_signed(&key)?;
    Ok((
        certificate.der().clone(),
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    ))
}

/// Lets in whoever holds the key of one certificate.
#[derive(Debug)]
struct PinnedClient {
    client: CertificateDer<'static>,
    crypto: Arc<CryptoProvider>,
}

impl ClientCertVerifier for PinnedClient {
    fn root_hint_subjects(&self) -> &[RootName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if end_entity.as_ref() == self.client.as_ref() {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
