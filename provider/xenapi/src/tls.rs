//! Which certificates are trusted.
//!
//! XenServer makes each host a self-signed certificate, so the usual way is to pin fingerprints, one per host. A refused certificate
//! travels inside the TLS error with its fingerprint, so that the message can say how to pin it.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

/// Which certificates are trusted.
#[derive(Clone, Debug, Default)]
pub enum TlsTrust {
    /// Those that the machine's certificate authorities signed, for the name in the URL.
    #[default]
    SystemRoots,
    /// Those that one of these authorities signed, for the name in the URL; and these very certificates.
    CaFile(CaPem),
    /// Exactly these certificates, whatever name they carry.
    Fingerprints(Vec<Fingerprint>),
    /// Every certificate: the traffic is encrypted, to whom is not known.
    Insecure,
}

/// Certificates read from PEM text.
#[derive(Clone)]
pub struct CaPem(Vec<CertificateDer<'static>>);

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// What is wrong with a TLS setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The PEM text holds no certificate, or a broken one.
    #[error("no usable certificate in the PEM text: {0}")]
    Pem(String),
    /// The text is no fingerprint.
    #[error("{0:?} is no fingerprint: expected sha256: and 32 bytes in hexadecimal")]
    Fingerprint(String),
    /// No fingerprints are given, so that nothing could be trusted.
    #[error("the list of fingerprints is empty")]
    NoFingerprints,
    /// The TLS library refuses the setting.
    #[error("{0}")]
    Library(String),
}

impl CaPem {
    /// Reads PEM text with one or more certificates.
    ///
    /// # Errors
    /// There is none, or one is broken.
    pub fn parse(pem: &[u8]) -> Result<Self, TlsError> {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsError::Pem(error.to_string()))?;
        if certificates.is_empty() {
            return Err(TlsError::Pem("there is none".to_owned()));
        }
        Ok(Self(certificates))
    }
}

impl fmt::Debug for CaPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaPem({} certificates)", self.0.len())
    }
}

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate.as_ref()).into())
    }
}

impl FromStr for Fingerprint {
    type Err = TlsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || TlsError::Fingerprint(text.chars().take(120).collect());
        let trimmed = text.trim();
        let digits = match trimmed.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("sha256:") || prefix.eq_ignore_ascii_case("sha-256") => {
                trimmed.get(7..).unwrap_or_default().trim_start_matches(':')
            }
            Some(_) | None => trimmed,
        };
        let mut bytes = [0_u8; 32];
        let mut nibbles = digits.chars().filter(|c| !matches!(c, ':' | ' '));
        for byte in &mut bytes {
            let high = nibbles.next().and_then(|c| c.to_digit(16)).ok_or_else(invalid)?;
            let low = nibbles.next().and_then(|c| c.to_digit(16)).ok_or_else(invalid)?;
            *byte = u8::try_from(high << 4 | low).map_err(|_| invalid())?;
        }
        if nibbles.next().is_some() {
            return Err(invalid());
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256")?;
        for byte in self.0 {
            write!(f, ":{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate that was refused; travels inside the TLS error.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is not trusted: {reason}")]
pub(crate) struct Refused {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) reason: String,
}

/// Finds the refused certificate in the causes of a connection error.
pub(crate) fn refused_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Refused> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) =
            error.downcast_ref::<rustls::Error>()
        {
            return inner.downcast_ref::<Refused>();
        }
        // An I/O error that wraps another names that one's source as its own, and so hides what it wraps.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

/// Makes the TLS configuration of one pool.
pub(crate) fn client_config(trust: &TlsTrust) -> Result<ClientConfig, TlsError> {
    let library = |error: &dyn fmt::Display| TlsError::Library(error.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let policy = match trust {
        TlsTrust::SystemRoots => Policy::System {
            verifier: OnceLock::new(),
            provider: Arc::clone(&provider),
        },
        TlsTrust::CaFile(CaPem(certificates)) => Policy::Authorities {
            verifier: webpki(certificates.clone(), &provider)?,
            exact: certificates.iter().map(Fingerprint::of).collect(),
        },
        TlsTrust::Fingerprints(list) if list.is_empty() => return Err(TlsError::NoFingerprints),
        TlsTrust::Fingerprints(list) => Policy::Pinned(list.clone()),
        TlsTrust::Insecure => Policy::Everything,
    };
    let verifier = Verifier {
        policy,
        algorithms: provider.signature_verification_algorithms,
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| library(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[derive(Debug)]
enum Policy {
    /// Read from the machine when first needed: it takes tens of milliseconds, and most pools are pinned or plain.
    System {
        verifier: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
        provider: Arc<CryptoProvider>,
    },
    Authorities {
        verifier: Option<Arc<WebPkiServerVerifier>>,
        exact: Vec<Fingerprint>,
    },
    Pinned(Vec<Fingerprint>),
    Everything,
}

/// Makes the library's verifier. It refuses to be made without any authority; refusing each certificate instead says more.
fn webpki(
    anchors: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, TlsError> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(anchors);
    if store.is_empty() {
        return Ok(None);
    }
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build();
    built.map(Some).map_err(|error| TlsError::Library(error.to_string()))
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
        let fingerprint = Fingerprint::of(end_entity);
        let refuse = |reason: String| {
            let refused = Refused { fingerprint, reason };
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(
                Arc::new(refused),
            ))))
        };
        let verifier = match &self.policy {
            Policy::Everything => return Ok(ServerCertVerified::assertion()),
            Policy::Pinned(list) if list.contains(&fingerprint) => return Ok(ServerCertVerified::assertion()),
            Policy::Pinned(_) => return refuse("it is none of the pinned ones".to_owned()),
            Policy::Authorities { exact, .. } if exact.contains(&fingerprint) => {
                return Ok(ServerCertVerified::assertion());
            }
            Policy::Authorities { verifier, .. } => verifier,
            Policy::System { verifier, provider } => verifier
                .get_or_init(|| webpki(rustls_native_certs::load_native_certs().certs, provider).unwrap_or_default()),
        };
        let Some(verifier) = verifier else {
            return refuse("no certificate authority is known here".to_owned());
        };
        match verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Ok(verified) => Ok(verified),
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                refuse("no known certificate authority signed it".to_owned())
            }
            Err(error) => refuse(error.to_string()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.policy {
            Policy::Everything => Ok(HandshakeSignatureValid::assertion()),
            Policy::Pinned(_) | Policy::Authorities { .. } | Policy::System { .. } => {
                rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.policy {
            Policy::Everything => Ok(HandshakeSignatureValid::assertion()),
            Policy::Pinned(_) | Policy::Authorities { .. } | Policy::System { .. } => {
                rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::{CaPem, Fingerprint, TlsTrust, client_config};

    #[test]
    fn reads_fingerprints_in_every_spelling() {
        let hex = "0123456789abcdef".repeat(4);
        let plain: Fingerprint = hex.parse().unwrap();
        let shown = plain.to_string();
        assert!(shown.starts_with("sha256:01:23:45"), "{shown}");
        for text in [
            shown.clone(),
            format!("SHA256:{hex}"),
            format!("sha-256:{}", hex.to_uppercase()),
            shown[7..].to_owned(),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Ok(plain), "{text}");
        }
        for text in ["", "sha256:", "sha1:00", &hex[1..], &format!("{hex}0"), "sha256:zz"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_settings_that_trust_nothing() {
        assert!(client_config(&TlsTrust::Fingerprints(Vec::new())).is_err());
        assert!(CaPem::parse(b"").is_err());
        assert!(CaPem::parse(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").is_err());
        assert!(client_config(&TlsTrust::SystemRoots).is_ok());
    }
}
