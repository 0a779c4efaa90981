//! Plays the host: starts a server in this process, and connects to it as Terraform would.

use std::{io, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use cty::{Value, msgpack};
use hyper_util::rt::TokioIo;
use plugin::{
    Environment,
    server::{Ending, Server},
};
use proto::tfplugin6::{self as wire, DynamicValue, provider_client::ProviderClient};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P521_SHA512};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::oneshot, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use crate::corner::{Corner, Events};

/// A running server and a client of it.
pub struct Host {
    pub provider: ProviderClient<Channel>,
    pub channel: Channel,
    pub events: Events,
    pub socket: PathBuf,
    pub running: JoinHandle<Ending>,
    /// What a signal would do.
    pub terminate: Option<oneshot::Sender<()>>,
    _directory: TempDir,
}

/// A server that has not begun to answer.
pub struct Listening {
    pub server: Server,
    pub directory: TempDir,
}

/// Starts a server the way a host with that certificate would.
pub fn listen(client: Option<&Identity>) -> Listening {
    let directory = tempfile::tempdir().unwrap();
    let environment = Environment {
        client_certificate: client.map(|client| client.pem.clone()),
        socket_directory: directory.path().to_owned(),
        ..Environment::default()
    };
    Listening {
        server: Server::bind(&environment).unwrap(),
        directory,
    }
}

impl Host {
    /// Without TLS, as a host that attaches.
    pub async fn attach() -> Host {
        let Listening { server, directory } = listen(None);
        let socket = server.socket().to_owned();
        let path = socket.clone();
        let channel = connect(move || {
            let path = path.clone();
            async move { UnixStream::connect(path).await }
        });
        Host::of(server, directory, channel.await)
    }

    /// With mutual TLS, as Terraform.
    pub async fn start() -> Host {
        let identity = Identity::like_go();
        let Listening { server, directory } = listen(Some(&identity));
        let (socket, config) = (
            server.socket().to_owned(),
            Arc::new(client_config(&server, Some(&identity))),
        );
        let channel = connect(move || tls(socket.clone(), Arc::clone(&config)));
        Host::of(server, directory, channel.await)
    }

    fn of(server: Server, directory: TempDir, channel: Channel) -> Host {
        let events = Events::default();
        let (terminate, terminated) = oneshot::channel();
        let socket = server.socket().to_owned();
        let ending = async move {
            match terminated.await {
                Ok(()) => Ending::Terminated,
                Err(_) => std::future::pending().await,
            }
        };
        let running = tokio::spawn(server.run(Arc::new(Corner::new(events.clone())), ending));
        let provider = ProviderClient::new(channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        Host {
            provider,
            channel,
            events,
            socket,
            running,
            terminate: Some(terminate),
            _directory: directory,
        }
    }

    /// Creates a thing from its planned value.
    pub async fn create(&self, planned: &Value) -> wire::apply_resource_change::Response {
        self.apply(&Value::Null, planned).await
    }

    /// Applies a change of a thing.
    pub async fn apply(&self, prior: &Value, planned: &Value) -> wire::apply_resource_change::Response {
        let request = apply_request(prior, planned);
        self.provider
            .clone()
            .apply_resource_change(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Plans a change of a thing.
    pub async fn plan(&self, prior: &Value, config: &Value, private: &[u8]) -> wire::plan_resource_change::Response {
        let request = wire::plan_resource_change::Request {
            type_name: "corner_thing".to_owned(),
            prior_state: Some(thing(prior)),
            proposed_new_state: Some(thing(config)),
            config: Some(thing(config)),
            prior_private: private.to_vec(),
            client_capabilities: Some(wire::ClientCapabilities {
                write_only_attributes_allowed: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        self.provider
            .clone()
            .plan_resource_change(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Reads a thing.
    pub async fn read(&self, state: &Value, private: &[u8]) -> wire::read_resource::Response {
        let request = wire::read_resource::Request {
            type_name: "corner_thing".to_owned(),
            current_state: Some(thing(state)),
            private: private.to_vec(),
            ..Default::default()
        };
        self.provider.clone().read_resource(request).await.unwrap().into_inner()
    }
}

/// Asks for a change of a thing. Its configuration has a secret.
pub fn apply_request(prior: &Value, planned: &Value) -> wire::apply_resource_change::Request {
    let config = if planned.is_null() {
        Value::Null
    } else {
        planned.clone().with("secret", "s")
    };
    wire::apply_resource_change::Request {
        type_name: "corner_thing".to_owned(),
        prior_state: Some(thing(prior)),
        planned_state: Some(thing(planned)),
        config: Some(thing(&config)),
        planned_private: br#"{"plans":1}"#.to_vec(),
        ..Default::default()
    }
}

/// What the user is told.
pub fn summaries(diagnostics: &[wire::Diagnostic]) -> Vec<&str> {
    diagnostics
        .iter()
        .map(|diagnostic| diagnostic.summary.as_str())
        .collect()
}

/// A thing with these attributes, all others null.
pub fn thing_of<const N: usize>(attributes: [(&str, Value); N]) -> Value {
    Value::object(attributes).canonical(&thing_type())
}

/// A thing as a message.
pub fn thing(value: &Value) -> DynamicValue {
    DynamicValue {
        msgpack: msgpack::encode(value, &thing_type()).unwrap(),
        json: Vec::new(),
    }
}

/// A thing from a message; absent is null.
pub fn thing_in(value: Option<&DynamicValue>) -> Value {
    value.map_or(Value::Null, |value| {
        msgpack::decode(&value.msgpack, &thing_type()).unwrap()
    })
}

fn thing_type() -> cty::Type {
    use plugin::provider::Provider;
    Corner::new(Events::default()).resources()[0].schema().value_type()
}

/// A key and its certificate, as PEM for the server.
pub struct Identity {
    pub pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// What go-plugin makes: P-521, marked as an authority.
    pub fn like_go() -> Identity {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key).unwrap();
        Identity {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }
}

/// Trusts exactly the certificate of the handshake line, as go-plugin does.
pub fn client_config(server: &Server, client: Option<&Identity>) -> ClientConfig {
    client_config_of(server, client, rustls::DEFAULT_VERSIONS)
}

/// The same, with only some versions of TLS.
pub fn client_config_of(
    server: &Server,
    client: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let field = server.handshake_line().trim_end().split('|').nth(5).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(STANDARD_NO_PAD.decode(field).unwrap()))
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let key = PrivatePkcs8KeyDer::from(client.key.clone()).into();
            builder
                .with_client_auth_cert(vec![client.certificate.clone()], key)
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Connects with TLS.
pub async fn tls(socket: PathBuf, config: Arc<ClientConfig>) -> io::Result<TlsStream<UnixStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config)
        .connect(name, UnixStream::connect(socket).await?)
        .await
}

async fn connect<F, S>(open: impl Fn() -> F + Clone + Send + Sync + 'static) -> Channel
where
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let connector = tower::service_fn(move |_: http::Uri| {
        let open = open();
        async move { Ok::<_, io::Error>(TokioIo::new(open.await?)) }
    });
    // The address is not used, and the connection made with the first call.
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector)
}
