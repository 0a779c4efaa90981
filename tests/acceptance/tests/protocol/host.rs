//! Plays a host of the newest protocol: starts the built provider, connects to its socket, and asks.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use acceptance::{Lab, provider_binary};
use cty::Type;
use hyper_util::rt::TokioIo;
use proto::tfplugin6::provider_client::ProviderClient;
use proto::tfplugin6::{
    self as wire, DynamicValue, RawState, ResourceIdentityData, apply_resource_change, configure_provider,
    diagnostic::Severity, get_provider_schema, get_resource_identity_schemas, import_resource_state, list_resource,
    plan_resource_change, read_resource, upgrade_resource_state,
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::types;

const SERVER: &str = "dynvm_server";
const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// A provider that runs and knows the pools of a lab.
pub(crate) struct Host<'l> {
    pub(crate) lab: &'l Lab,
    pub(crate) client: ProviderClient<Channel>,
    pub(crate) schemas: get_provider_schema::Response,
    pub(crate) server: Type,
    pub(crate) identity: Type,
    process: Child,
    _sockets: TempDir,
}

/// An object as a host keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) state: Option<DynamicValue>,
    pub(crate) private: Vec<u8>,
    pub(crate) identity: Option<ResourceIdentityData>,
}

impl<'l> Host<'l> {
    /// Starts a provider that is configured for the pools of the lab.
    pub(crate) fn start(lab: &'l Lab) -> Self {
        let mut host = Self::unconfigured(lab);
        let ty = types::of_schema(host.schemas.provider.as_ref().expect("the provider's schema"));
        let pools: BTreeMap<String, Json> = lab.control().pools().into_iter().map(entry).collect();
        let config = Some(types::sent(&json!({ "pools": pools }), &ty));
        let request = configure_provider::Request {
            config,
            ..Default::default()
        };
        let answer = lab
            .wait_for(host.client.configure_provider(request))
            .expect("an answer");
        // Warnings there are: these pools are without TLS.
        assert_eq!(errors(&answer.into_inner().diagnostics), [""; 0]);
        host
    }

    /// Starts a provider and asks it for its schemas, as a host does before anything else.
    pub(crate) fn unconfigured(lab: &'l Lab) -> Self {
        let sockets = tempfile::tempdir().expect("a temporary folder");
        let mut process = Command::new(provider_binary())
            .env("TF_PLUGIN_MAGIC_COOKIE", COOKIE)
            .env("PLUGIN_PROTOCOL_VERSIONS", "6")
            .env("PLUGIN_UNIX_SOCKET_DIR", sockets.path())
            .env_remove("PLUGIN_CLIENT_CERT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the provider starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("its stdout");
        BufReader::new(stdout).read_line(&mut line).expect("its handshake");
        let socket = PathBuf::from(line.split('|').nth(3).expect("the socket in its handshake"));
        let mut client = lab.wait_for(connect(socket));
        let schemas = lab.wait_for(client.get_provider_schema(get_provider_schema::Request {}));
        let schemas = schemas.expect("an answer").into_inner();
        let identities = lab.wait_for(client.get_resource_identity_schemas(get_resource_identity_schemas::Request {}));
        let identities = identities.expect("an answer").into_inner();
        assert_eq!((&schemas.diagnostics, &identities.diagnostics), (&vec![], &vec![]));
        Self {
            lab,
            server: types::of_schema(&schemas.resource_schemas[SERVER]),
            identity: types::of_identity(&identities.identity_schemas[SERVER]),
            client,
            schemas,
            process,
            _sockets: sockets,
        }
    }

    /// A server's state as JSON.
    #[track_caller]
    pub(crate) fn state(&self, kept: &Kept) -> Json {
        types::received(kept.state.as_ref(), &self.server)
    }

    /// An identity as JSON.
    #[track_caller]
    pub(crate) fn identity(&self, kept: &Kept) -> Json {
        let data = kept
            .identity
            .as_ref()
            .and_then(|identity| identity.identity_data.as_ref());
        types::received(data, &self.identity)
    }

    /// An identity to be sent.
    pub(crate) fn identity_of(&self, identity: &Json) -> ResourceIdentityData {
        ResourceIdentityData {
            identity_data: Some(types::sent(identity, &self.identity)),
        }
    }

    /// A stored state of a server, as the provider takes it now.
    #[track_caller]
    pub(crate) fn upgraded(&mut self, stored: &Json) -> DynamicValue {
        let request = upgrade_resource_state::Request {
            type_name: SERVER.to_owned(),
            version: 0,
            raw_state: Some(RawState {
                json: stored.to_string().into_bytes(),
                ..Default::default()
            }),
        };
        let answer = self.lab.wait_for(self.client.upgrade_resource_state(request));
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(answer.diagnostics, []);
        answer.upgraded_state.expect("a state")
    }

    /// Plans a change of a server.
    pub(crate) fn plan(&mut self, prior: &Kept, config: &Json) -> plan_resource_change::Response {
        let config = Some(types::sent(config, &self.server));
        let request = plan_resource_change::Request {
            type_name: SERVER.to_owned(),
            prior_state: Some(
                prior
                    .state
                    .clone()
                    .unwrap_or_else(|| types::sent(&Json::Null, &self.server)),
            ),
            proposed_new_state: config.clone(),
            config,
            prior_private: prior.private.clone(),
            prior_identity: prior.identity.clone(),
            ..Default::default()
        };
        let answer = self.lab.wait_for(self.client.plan_resource_change(request));
        answer.expect("an answer").into_inner()
    }

    /// Plans and applies a change of a server.
    #[track_caller]
    pub(crate) fn apply(&mut self, prior: &Kept, config: &Json) -> Kept {
        let plan = self.plan(prior, config);
        assert_eq!(errors(&plan.diagnostics), [""; 0]);
        let request = apply_resource_change::Request {
            type_name: SERVER.to_owned(),
            prior_state: Some(
                prior
                    .state
                    .clone()
                    .unwrap_or_else(|| types::sent(&Json::Null, &self.server)),
            ),
            planned_state: plan.planned_state,
            config: Some(types::sent(config, &self.server)),
            planned_private: plan.planned_private,
            planned_identity: plan.planned_identity,
            ..Default::default()
        };
        let answer = self.lab.wait_for(self.client.apply_resource_change(request));
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(errors(&answer.diagnostics), [""; 0]);
        Kept {
            state: answer.new_state,
            private: answer.private,
            identity: answer.new_identity,
        }
    }

    /// Reads a server, without an error.
    #[track_caller]
    pub(crate) fn read(&mut self, kept: &Kept) -> Kept {
        let request = read_resource::Request {
            type_name: SERVER.to_owned(),
            current_state: kept.state.clone(),
            private: kept.private.clone(),
            current_identity: kept.identity.clone(),
            ..Default::default()
        };
        let answer = self.lab.wait_for(self.client.read_resource(request));
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(answer.diagnostics, []);
        Kept {
            state: answer.new_state,
            private: answer.private,
            identity: answer.new_identity,
        }
    }

    /// Imports a server: what is found, or the summaries of why it is not.
    pub(crate) fn import(
        &mut self,
        id: &str,
        identity: Option<ResourceIdentityData>,
    ) -> Result<Kept, Vec<wire::Diagnostic>> {
        let request = import_resource_state::Request {
            type_name: SERVER.to_owned(),
            id: id.to_owned(),
            identity,
            ..Default::default()
        };
        let answer = self.lab.wait_for(self.client.import_resource_state(request));
        let import_resource_state::Response {
            imported_resources,
            diagnostics,
            ..
        } = answer.expect("an answer").into_inner();
        let found = imported_resources.into_iter().next().ok_or(diagnostics)?;
        Ok(Kept {
            state: found.state,
            private: found.private,
            identity: found.identity,
        })
    }

    /// Lists servers as `terraform query` does: the events up to the end or the first error.
    #[track_caller]
    pub(crate) fn list(&mut self, filters: &Json, with_state: bool, limit: i64) -> Vec<list_resource::Event> {
        let ty = types::of_schema(&self.schemas.list_resource_schemas[SERVER]);
        let request = list_resource::Request {
            type_name: SERVER.to_owned(),
            config: Some(types::sent(filters, &ty)),
            include_resource_object: with_state,
            limit,
        };
        self.lab.wait_for(async {
            let mut events = self.client.list_resource(request).await.expect("a stream").into_inner();
            let mut found = Vec::new();
            while let Some(event) = events.message().await.expect("an event or the end") {
                found.push(event);
            }
            found
        })
    }

    /// Demands that a plan changes nothing of a server.
    #[track_caller]
    pub(crate) fn expect_empty_plan(&mut self, kept: &Kept, config: &Json) {
        let plan = self.plan(kept, config);
        assert_eq!(errors(&plan.diagnostics), [""; 0]);
        let planned = types::received(plan.planned_state.as_ref(), &self.server);
        assert_eq!(planned, self.state(kept));
        assert_eq!(plan.requires_replace, []);
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        // Asked for nothing any more, it may end as it likes.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// What a user would read first of what stops the run.
pub(crate) fn errors(diagnostics: &[wire::Diagnostic]) -> Vec<&str> {
    let errors = diagnostics.iter().filter(|told| told.severity() == Severity::Error);
    errors.map(|told| told.summary.as_str()).collect()
}

/// An entry of the provider's `pools`.
fn entry(pool: sim::PoolAddress) -> (String, Json) {
    let value = json!({
        "url": pool.url, "username": pool.username, "password": pool.password, "templates": { "debian12": "tmpl-debian12" },
    });
    (pool.name, value)
}

async fn connect(socket: PathBuf) -> ProviderClient<Channel> {
    let connector = tower::service_fn(move |_: http::Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The address is not used.
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await;
    ProviderClient::new(channel.expect("a connection"))
}
