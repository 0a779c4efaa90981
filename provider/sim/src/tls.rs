//! Self-signed certificates, one per host, as a fresh XenServer has them.

use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

/// A host's certificate and the TLS configuration that serves it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) pem: String,
    /// `sha256:AB:CD:...`
    pub(crate) fingerprint: String,
    pub(crate) config: Arc<ServerConfig>,
}

impl Identity {
    /// Makes a new key and certificate.
    pub(crate) fn generate(host: &str) -> Result<Self, String> {
        let text = |error: rcgen::Error| error.to_string();
        let key = KeyPair::generate().map_err(text)?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), host.to_owned()];
        let mut params = CertificateParams::new(names).map_err(text)?;
        params.distinguished_name.push(DnType::CommonName, host);
        let certificate = params.self_signed(&key).map_err(text)?;
        let digest = Sha256::digest(certificate.der());
        let hex: Vec<String> = digest.iter().map(|b| format!("{b:02X}")).collect();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|b| {
                b.with_no_client_auth()
                    .with_single_cert(vec![certificate.der().clone()], private)
            })
            .map_err(|error| error.to_string())?;
        let fingerprint = format!("sha256:{}", hex.join(":"));
        Ok(Self {
            pem: certificate.pem(),
            fingerprint,
            config: Arc::new(config),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_certificate_is_its_own() {
        let (a, b) = (Identity::generate("xen1").unwrap(), Identity::generate("xen1").unwrap());
        assert_ne!(a.fingerprint, b.fingerprint);
        assert_eq!(a.fingerprint.len(), "sha256:".len() + 32 * 3 - 1);
        assert!(a.pem.starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
