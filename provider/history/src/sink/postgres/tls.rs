//! TLS to a PostgreSQL server, with libpq's meanings of `sslmode`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::url::{Roots, Trust};

/// The protocol that a server asks for which starts TLS without being asked (`sslnegotiation=direct`).
const ALPN: &[u8] = b"postgresql";

/// Makes the TLS configuration; authorities are read now, in a worker thread.
pub(super) async fn client_config(trust: &Trust) -> Result<ClientConfig, String> {
    let trust = trust.clone();
    let made = tokio::task::spawn_blocking(move || make(&trust));
    made.await.map_err(|error| error.to_string())?
}

fn make(trust: &Trust) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier {
        policy: policy(trust, &provider)?,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(shown)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn shown(error: impl fmt::Display) -> String {
    error.to_string()
}

#[derive(Debug)]
enum Policy {
    Anybody,
    Authorities {
        chains: Arc<WebPkiServerVerifier>,
        /// A server's own self-signed certificate may stand in `sslrootcert`.
        exact: Vec<CertificateDer<'static>>,
        check_name: bool,
    },
}

fn policy(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Policy, String> {
    let (roots, check_name) = match trust {
        Trust::Anybody => return Ok(Policy::Anybody),
        Trust::Signed(roots) => (roots, false),
        Trust::Named(roots) => (roots, true),
    };
    let certificates = match roots {
        Roots::System => rustls_native_certs::load_native_certs().certs,
        Roots::File(path) => from_file(path)?,
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates.iter().cloned());
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build();
    Ok(Policy::Authorities {
        chains: chains.map_err(shown)?,
        exact: certificates,
        check_name,
    })
}

fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let of_file = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| of_file(&error))?;
    certificates.collect::<Result<_, _>>().map_err(|error| of_file(&error))
}

#[derive(Debug)]
struct Verifier {
    policy: Policy,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (chains, exact, check_name) = match &self.policy {
            Policy::Anybody => return Ok(ServerCertVerified::assertion()),
            Policy::Authorities {
                chains,
                exact,
                check_name,
            } => (chains, exact, *check_name),
        };
        if exact.contains(end_entity) {
            if check_name {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: all else is in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !check_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
