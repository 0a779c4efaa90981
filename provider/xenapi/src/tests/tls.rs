//! Certificates: pinned, signed, refused.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::server::{SESSION, Server, ok};
use crate::{CaPem, ErrorKind, Fingerprint, Outcome, Pool, Ref, TlsTrust, Vm, Wire};

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> Server {
    Server::start_tls(Wire::Json, acceptor(certificate, key), |seen| {
        match seen.method.as_str() {
            "session.login_with_password" => ok(SESSION),
            _ => ok(""),
        }
    })
    .await
}

/// What XenServer has: a certificate for a host name, signed by itself.
fn self_signed() -> (CertificateDer<'static>, String, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["xen1.lab".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    (certificate.der().clone(), certificate.pem(), key)
}

async fn call(server: &Server, tls: TlsTrust) -> Result<(), crate::Error> {
    let mut config = server.config();
    config.tls = tls;
    Pool::new(config)
        .unwrap()
        .vm()
        .add_tags(&Ref::<Vm>::new("OpaqueRef:vm"), "t")
        .await
}

fn fingerprint_of(error: &crate::Error) -> Fingerprint {
    match error.kind() {
        ErrorKind::Untrusted { fingerprint, .. } => fingerprint.parse().unwrap(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_with_its_fingerprint_and_taken_when_pinned() {
    let (certificate, pem, key) = self_signed();
    let server = server(certificate, &key).await;
    let error = call(&server, TlsTrust::SystemRoots).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.advice().contains("fingerprints = [\"sha256:"), "{error}");
    assert!(server.seen().is_empty());
    let pin = fingerprint_of(&error);
    call(&server, TlsTrust::Fingerprints(vec![pin])).await.unwrap();
    call(&server, TlsTrust::CaFile(CaPem::parse(pem.as_bytes()).unwrap()))
        .await
        .unwrap();
    call(&server, TlsTrust::Insecure).await.unwrap();
}

#[tokio::test]
async fn another_pin_or_authority_is_refused() {
    let (certificate, _, key) = self_signed();
    let (_, other_pem, _) = self_signed();
    let server = server(certificate, &key).await;
    let wrong: Fingerprint = "00".repeat(32).parse().unwrap();
    let first = call(&server, TlsTrust::Fingerprints(vec![wrong])).await.unwrap_err();
    let second = call(&server, TlsTrust::CaFile(CaPem::parse(other_pem.as_bytes()).unwrap()))
        .await
        .unwrap_err();
    assert_eq!(fingerprint_of(&first), fingerprint_of(&second));
    assert!(first.to_string().contains("none of the pinned"), "{first}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_authority_vouches_for_the_name_in_the_url_only() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let trust = || TlsTrust::CaFile(CaPem::parse(authority.pem().as_bytes()).unwrap());
    for (name, is_trusted) in [("127.0.0.1", true), ("xen1.lab", false)] {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let server = server(leaf.der().clone(), &key).await;
        assert_eq!(call(&server, trust()).await.is_ok(), is_trusted, "{name}");
    }
}

#[tokio::test]
async fn a_pin_without_the_key_is_worth_nothing() {
    let (certificate, _, key) = self_signed();
    let honest = server(certificate.clone(), &key).await;
    let pin = fingerprint_of(&call(&honest, TlsTrust::SystemRoots).await.unwrap_err());
    // Shows the pinned certificate but holds another key.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let stolen = KeyPair::generate().unwrap();
    let signer = provider
        .key_provider
        .load_private_key(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(stolen.serialize_der())))
        .unwrap();
    let shown = rustls::sign::CertifiedKey::new(vec![certificate], signer);
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    let thief = Server::start_tls(Wire::Json, TlsAcceptor::from(Arc::new(config)), |_| ok("")).await;
    assert!(call(&thief, TlsTrust::Fingerprints(vec![pin])).await.is_err());
    assert!(thief.seen().is_empty());
}
