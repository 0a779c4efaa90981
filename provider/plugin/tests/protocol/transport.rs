//! Who may connect, and what runs over a connection.

use std::sync::Arc;

use proto::{
    go_plugin::{
        ConnInfo, Empty, grpc_broker_client::GrpcBrokerClient, grpc_controller_client::GrpcControllerClient,
        grpc_stdio_client::GrpcStdioClient,
    },
    tfplugin6::get_metadata,
};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::host::{Host, Identity, Listening, client_config, client_config_of, listen, tls};

#[tokio::test]
async fn the_host_of_the_certificate_is_answered() {
    let mut host = Host::start().await;
    let metadata = host
        .provider
        .get_metadata(get_metadata::Request {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(metadata.resources[0].type_name, "corner_thing");
    assert_eq!(metadata.data_sources[0].type_name, "corner_greeting");
    assert_eq!(metadata.functions[0].name, "shout");
    assert!(metadata.server_capabilities.unwrap().plan_destroy);
}

#[tokio::test]
async fn a_host_without_tls_is_answered_where_none_was_asked_for() {
    let mut host = Host::attach().await;
    assert!(host.provider.get_metadata(get_metadata::Request {}).await.is_ok());
}

#[tokio::test]
async fn the_handshake_line_has_six_fields() {
    let identity = Identity::like_go();
    let Listening { server, directory } = listen(Some(&identity));
    let line = server.handshake_line().strip_suffix('\n').unwrap();
    let fields: Vec<_> = line.split('|').collect();
    assert_eq!(
        (&fields[..3], fields[4], fields.len()),
        (&["1", "6", "unix"][..], "grpc", 6)
    );
    assert!(fields[3].starts_with(directory.path().to_str().unwrap()));
    assert!(!fields[5].is_empty() && !fields[5].contains('='), "{line}");

    let Listening { server, .. } = listen(None);
    assert!(server.handshake_line().ends_with("|grpc|\n"));
}

/// Connects and speaks first; what comes back is the error of the connection, or how many bytes there were.
async fn spoken_to(server: plugin::server::Server, config: ClientConfig) -> Result<usize, String> {
    let socket = server.socket().to_owned();
    let events = crate::corner::Events::default();
    let provider = Arc::new(crate::corner::Corner::new(events));
    let running = tokio::spawn(server.run(provider, std::future::pending()));
    let answer = async {
        let mut stream = tls(socket, Arc::new(config)).await?;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await?;
        stream.read(&mut [0; 64]).await
    };
    let answer = answer.await.map_err(|error| error.to_string());
    running.abort();
    answer
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let (identity, stranger) = (Identity::like_go(), Identity::like_go());
    let Listening {
        server,
        directory: _kept,
    } = listen(Some(&identity));
    let config = client_config(&server, Some(&identity));
    assert!(spoken_to(server, config).await.unwrap() > 0);

    let Listening {
        server,
        directory: _kept,
    } = listen(Some(&identity));
    let config = client_config(&server, Some(&stranger));
    let refusal = spoken_to(server, config).await.unwrap_err();
    assert!(refusal.contains("UnknownCA"), "{refusal}");

    let Listening {
        server,
        directory: _kept,
    } = listen(Some(&identity));
    let config = client_config(&server, None);
    let refusal = spoken_to(server, config).await.unwrap_err();
    assert!(refusal.contains("CertificateRequired"), "{refusal}");
}

#[tokio::test]
async fn the_older_tls_asks_for_the_same_certificate() {
    let (identity, stranger) = (Identity::like_go(), Identity::like_go());
    let versions = &[&rustls::version::TLS12];
    let Listening {
        server,
        directory: _kept,
    } = listen(Some(&identity));
    let config = client_config_of(&server, Some(&identity), versions);
    assert!(spoken_to(server, config).await.unwrap() > 0);

    for client in [Some(&stranger), None] {
        let Listening {
            server,
            directory: _kept,
        } = listen(Some(&identity));
        let config = client_config_of(&server, client, versions);
        assert!(spoken_to(server, config).await.is_err());
    }
}

#[tokio::test]
async fn the_protocol_must_be_h2() {
    let identity = Identity::like_go();
    let Listening {
        server,
        directory: _kept,
    } = listen(Some(&identity));
    let mut config = client_config(&server, Some(&identity));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let refusal = spoken_to(server, config).await.unwrap_err();
    assert!(refusal.contains("NoApplicationProtocol"), "{refusal}");

    let Listening {
        server,
        directory: _kept,
    } = listen(Some(&identity));
    let (socket, config) = (
        server.socket().to_owned(),
        Arc::new(client_config(&server, Some(&identity))),
    );
    let running = tokio::spawn(server.run(
        Arc::new(crate::corner::Corner::new(Default::default())),
        std::future::pending(),
    ));
    let stream = tls(socket, config).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    running.abort();
}

#[test]
fn a_certificate_that_is_none_is_told() {
    let environment = plugin::Environment {
        client_certificate: Some("nonsense".to_owned()),
        ..Default::default()
    };
    let error = plugin::server::Server::bind(&environment).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap();
    assert!(cause.to_string().contains("PLUGIN_CLIENT_CERT"), "{cause}");
}

#[tokio::test]
async fn the_plugin_is_healthy() {
    let host = Host::start().await;
    let request = HealthCheckRequest {
        service: "plugin".to_owned(),
    };
    let answer = HealthClient::new(host.channel.clone())
        .check(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn stdio_and_broker_are_open_and_silent_until_the_end() {
    let host = Host::start().await;
    let mut stdio = GrpcStdioClient::new(host.channel.clone())
        .stream_stdio(())
        .await
        .unwrap()
        .into_inner();
    let announced = tokio_stream::iter([ConnInfo {
        service_id: 7,
        ..Default::default()
    }]);
    let announced = futures::StreamExt::chain(announced, tokio_stream::pending());
    let mut broker = GrpcBrokerClient::new(host.channel.clone())
        .start_stream(announced)
        .await
        .unwrap()
        .into_inner();
    assert!(futures::FutureExt::now_or_never(stdio.message()).is_none());
    assert!(futures::FutureExt::now_or_never(broker.message()).is_none());

    GrpcControllerClient::new(host.channel.clone())
        .shutdown(Empty {})
        .await
        .unwrap();
    host.running.await.unwrap();
    assert!(matches!(stdio.message().await, Ok(None) | Err(_)));
    assert!(matches!(broker.message().await, Ok(None) | Err(_)));
}

#[tokio::test]
async fn a_call_that_is_not_offered_is_unimplemented() {
    let mut host = Host::start().await;
    let status = host
        .provider
        .plan_action(proto::tfplugin6::plan_action::Request::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    let status = host
        .provider
        .invoke_action(proto::tfplugin6::invoke_action::Request::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}
