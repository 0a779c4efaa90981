//! The sink that is a PostgreSQL database, on a real server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use history::{Error, History, SinkUrl};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::facts::{all, born, full, server};
use crate::server::Server;
use crate::suite;

fn parsed(url: &str) -> SinkUrl {
    url.parse().unwrap()
}

async fn refused(url: &str) -> String {
    match History::open(&parsed(url)).await {
        Ok(_) => panic!("{url} is taken"),
        Err(error) => error.full(),
    }
}

#[tokio::test]
async fn postgres_behaves_as_every_sink() {
    let server = Server::start();
    suite::run(|name| parsed(&server.database(name))).await;
}

#[tokio::test]
async fn the_schema_is_kept_by_version() {
    let postgres = Server::start();
    let url = parsed(&postgres.database("lab"));
    // Many find the database empty at once.
    let mut openers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        openers.spawn(async move { History::open(&url).await.unwrap().close().await });
    }
    while let Some(opened) = openers.join_next().await {
        opened.unwrap().unwrap();
    }
    assert_eq!(
        postgres.sql("lab", "SELECT version FROM dynvm_history_versions").trim(),
        "1"
    );
    History::new(&url).write(&[server(full(1))]).await.unwrap();
    let types = postgres.sql(
        "lab",
        "SELECT pg_typeof(created_at), pg_typeof(ip_addresses), live_seconds FROM servers",
    );
    assert_eq!(types.trim(), "timestamp with time zone|inet[]|35963.4");

    // A role that may write, and make nothing, is enough.
    postgres.sql("lab", "CREATE ROLE writer LOGIN");
    postgres.sql("lab", "GRANT SELECT ON dynvm_history_versions TO writer");
    postgres.sql("lab", "GRANT SELECT, INSERT, UPDATE ON servers, renewals TO writer");
    let written = History::new(&parsed(&postgres.url("writer", "lab", "")))
        .write(&[server(born(2, 0))])
        .await;
    written.unwrap();

    postgres.sql("lab", "INSERT INTO dynvm_history_versions (version) VALUES (7)");
    let error = History::open(&url).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 7, known: 1, .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("postgres://postgres@127.0.0.1:"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let mut postgres = Server::start();
    let url = parsed(&postgres.database("lab"));
    let by_socket = parsed(&postgres.socket_url("lab"));
    let history = History::open(&url).await.unwrap();
    let other = History::open(&by_socket).await.unwrap();
    history.write(&[server(born(1, 0))]).await.unwrap();
    postgres.down();
    for history in [&history, &other] {
        let error = history
            .write_within(&[server(born(2, 0))], Duration::from_secs(30))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Postgres { .. }), "{error:?}");
    }
    postgres.up();
    history.write(&[server(born(2, 0))]).await.unwrap();
    assert_eq!(all(&other).await, [born(1, 0), born(2, 0)]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://ci:s3cret@127.0.0.1:{}/lab",
        silent.local_addr().unwrap().port()
    );
    let limit = Duration::from_millis(50);
    let error = History::new(&parsed(&url))
        .write_within(&[server(born(1, 0))], limit)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Late { .. }), "{error:?}");
    assert!(!error.full().contains("s3cret"), "{}", error.full());
}

/// Certificates for a server: its own, signed by an authority, for a name.
fn write_certificates(folder: &Path, data: &Path, name: &str) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("own.pem"), certificate.pem()).unwrap();
    std::fs::write(data.join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(data.join("server.key"), key.serialize_pem()).unwrap();
    std::fs::set_permissions(data.join("server.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn tls_and_passwords_as_the_url_asks() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Server::with(|data| {
        write_certificates(folder.path(), data, "localhost");
        let rules = "local all postgres trust\nhostssl all ci 127.0.0.1/32 scram-sha-256\nhostnossl all plain 127.0.0.1/32 trust\n";
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        vec!["-c".to_owned(), "ssl=on".to_owned()]
    });
    postgres.sql("postgres", "CREATE ROLE plain LOGIN");
    postgres.sql("postgres", "CREATE ROLE ci LOGIN PASSWORD 's3cret'");
    postgres.sql("postgres", "CREATE DATABASE lab OWNER ci");
    let by = |user: &str, host: &str, options: &str| postgres.url(user, "lab", options).replace("127.0.0.1", host);
    let ca = format!("sslrootcert={}/ca.pem", folder.path().display());
    let own = format!("sslrootcert={}/own.pem", folder.path().display());

    for options in [
        String::new(),
        "?sslmode=require&channel_binding=require".to_owned(),
        format!("?sslmode=verify-ca&{ca}"),
        format!("?sslmode=require&{own}"),
    ] {
        let url = by("ci:s3cret", "127.0.0.1", &options);
        History::open(&parsed(&url))
            .await
            .unwrap()
            .write(&[server(born(1, 0))])
            .await
            .unwrap();
    }
    for roots in [&ca, &own] {
        let named = by("ci:s3cret", "localhost", &format!("?sslmode=verify-full&{roots}"));
        History::open(&parsed(&named)).await.unwrap();
        let other_name = by("ci:s3cret", "127.0.0.1", &format!("?sslmode=verify-full&{roots}"));
        assert!(
            refused(&other_name).await.contains("not valid for name"),
            "{}",
            refused(&other_name).await
        );
    }
    let unsigned = refused(&by("ci:s3cret", "127.0.0.1", "?sslmode=verify-ca")).await;
    assert!(
        unsigned.contains("UnknownIssuer") || unsigned.contains("cannot be used"),
        "{unsigned}"
    );
    let missing = refused(&by(
        "ci:s3cret",
        "127.0.0.1",
        "?sslmode=verify-ca&sslrootcert=/no/such.pem",
    ))
    .await;
    assert!(missing.contains("/no/such.pem"), "{missing}");

    assert!(
        refused(&by("ci:s3cret", "127.0.0.1", "?sslmode=disable"))
            .await
            .contains("no encryption")
    );
    let tls = refused(&by("plain", "127.0.0.1", "?sslmode=require")).await;
    assert!(tls.contains("pg_hba.conf"), "{tls}");
    let wrong = refused(&by("ci:wr0ng", "127.0.0.1", "")).await;
    assert!(
        wrong.contains("password authentication failed") && !wrong.contains("wr0ng"),
        "{wrong}"
    );
}
