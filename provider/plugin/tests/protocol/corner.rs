//! A provider for tests. Its things exist only in the state; what happens to one is told by its own attribute
//! `behaviour`.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cty::{Type, Value};
use engine::{
    diagnostics::{Diagnostic, Diagnostics},
    function::{Parameter, Signature},
    identity::{IdentityAttribute, IdentitySchema},
    moved::Mover,
    plan::Draft,
    private::Private,
    rule::Rule,
    schema::{Attribute, Schema},
    upgrade::Upgrader,
};
use plugin::provider::{
    Applied, Context, CreateRequest, DataAnswer, DataSource, DeleteRequest, Function, FunctionError, Imported,
    ListRequest, ListResource, Listed, Provider, ReadAnswer, ReadRequest, Resource, Sought, UpdateRequest,
};
use tokio::sync::{Notify, watch};

/// What happened inside, for a test in the same process.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Notified when a slow create or a stuck read waits.
    pub waiting: Arc<Notify>,
    /// Whether the provider was let go.
    pub shut_down: watch::Sender<bool>,
    /// The provider blocks seen so far.
    pub configured: Arc<Mutex<Vec<Value>>>,
}

/// The provider.
pub struct Corner {
    schema: Schema,
    resources: Vec<Arc<dyn Resource>>,
    data_sources: Vec<Arc<dyn DataSource>>,
    list_resources: Vec<Arc<dyn ListResource>>,
    functions: Vec<Arc<dyn Function>>,
    events: Events,
}

impl Corner {
    pub fn new(events: Events) -> Corner {
        Corner {
            schema: Schema::new(vec![
                Attribute::string("endpoint").optional(),
                Attribute::string("token").optional().sensitive(),
            ]),
            resources: vec![Arc::new(Thing {
                schema: thing_schema(),
                upgraders: upgraders(),
                events: events.clone(),
            })],
            data_sources: vec![Arc::new(Greeting {
                schema: Schema::new(vec![
                    Attribute::string("name").required(),
                    Attribute::string("text").computed(),
                ]),
            })],
            list_resources: vec![Arc::new(Things {
                schema: Schema::new(vec![
                    Attribute::list("names", Type::String)
                        .optional()
                        .rule(Rule::length(1..=5)),
                ]),
            })],
            functions: vec![Arc::new(Shout::new())],
            events,
        }
    }
}

#[async_trait]
impl Provider for Corner {
    fn name(&self) -> &'static str {
        "corner"
    }

    fn version(&self) -> &'static str {
        "1.2.3"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn resources(&self) -> &[Arc<dyn Resource>] {
        &self.resources
    }

    fn data_sources(&self) -> &[Arc<dyn DataSource>] {
        &self.data_sources
    }

    fn list_resources(&self) -> &[Arc<dyn ListResource>] {
        &self.list_resources
    }

    fn functions(&self) -> &[Arc<dyn Function>] {
        &self.functions
    }

    async fn configure(&self, config: &Value, _: &Context) -> Diagnostics {
        tracing::info!(target: "corner::config", endpoint = config.get("endpoint").as_str(), "configured");
        self.events
            .configured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(config.clone());
        Diagnostics::new()
    }

    async fn shutdown(&self) {
        self.events.shut_down.send_replace(true);
    }
}

/// Something that exists only in the state.
struct Thing {
    schema: Schema,
    upgraders: Vec<Upgrader>,
    events: Events,
}

fn thing_schema() -> Schema {
    Schema::new(vec![
        Attribute::string("name")
            .required()
            .replaces()
            .rule(Rule::length(1..=20))
            .describe("The name."),
        Attribute::integer("size").optional_computed().default(1),
        Attribute::string("behaviour").optional(),
        Attribute::set("tags", Type::String).optional(),
        Attribute::object_map(
            "parts",
            vec![
                Attribute::integer("count").required(),
                Attribute::string("serial").computed().keep(),
            ],
        )
        .optional(),
        Attribute::string("secret").optional().write_only(),
        Attribute::string("id").computed().keep(),
        Attribute::string("label").computed().unknown_when_changed(&["size"]),
    ])
    .version(1)
    .identity(IdentitySchema::new(vec![IdentityAttribute::required(
        "id",
        Type::String,
        "The identifier.",
    )]))
}

fn upgraders() -> Vec<Upgrader> {
    let renamed = |state: Value| {
        Ok(Value::object([
            ("name", state.get("title").clone()),
            ("id", state.get("id").clone()),
        ]))
    };
    vec![Upgrader {
        from: 0,
        prior_type: Some(Type::object([("title", Type::String), ("id", Type::String)])),
        upgrade: renamed,
    }]
}

/// Fills in what is computed.
fn made(planned: &Value) -> Value {
    let name = planned.get("name").as_str().unwrap_or_default();
    let size = planned.get("size").as_i64().unwrap_or_default();
    let mut state = planned
        .clone()
        .with("id", format!("thing-{name}"))
        .with("label", format!("{name} of size {size}"));
    let parts = planned.get("parts").as_map().into_iter().flatten();
    let parts = parts.map(|(key, part)| (key.clone(), part.clone().with("serial", format!("{name}/{key}"))));
    if planned.get("parts").is_set() {
        state = state.with("parts", Value::object(parts));
    }
    state
}

fn refused() -> Diagnostic {
    Diagnostic::error("Thing refused", "The thing does not want to.")
}

#[async_trait]
impl Resource for Thing {
    fn type_name(&self) -> &'static str {
        "corner_thing"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn upgraders(&self) -> &[Upgrader] {
        &self.upgraders
    }

    fn movers(&self) -> &[Mover] {
        &[Mover {
            providers: &["acme/old"],
            resource: "old_thing",
            begin: |thing| Ok(Value::object([("id", thing.get("identifier").clone())])),
        }]
    }

    async fn validate(&self, config: &Value, _: &Context) -> Diagnostics {
        let mut found = Diagnostics::new();
        if config.get("name").as_str() == Some("forbidden") {
            found.error_at("name", "Forbidden name", "Nothing may be called that.");
        }
        found
    }

    async fn plan(&self, draft: &mut Draft<'_>, private: &mut Private, _: &Context) -> Diagnostics {
        let planned = private
            .get("plans")
            .and_then(serde_json::Value::as_i64)
            .unwrap_or_default();
        let mut found = Diagnostics::new();
        if private.set("plans", planned + 1).is_err() {
            found.error("Private data", "The key is reserved.");
        }
        if draft.config().is_null() && draft.prior().get("behaviour").as_str() == Some("eternal") {
            found.push(refused());
        }
        found
    }

    async fn create(&self, request: CreateRequest, cx: &Context) -> Applied {
        let CreateRequest {
            config,
            planned,
            mut private,
        } = request;
        let begun = planned.clone().with("id", "begun");
        match planned.get("behaviour").as_str() {
            Some("panic") => panic!("the thing fell over"),
            Some("panic midway") => {
                // As careless as it may be: the secret must not get into the state.
                cx.partial
                    .save(begun.with("secret", config.get("secret").clone()), private);
                panic!("the thing fell over midway")
            }
            Some("fail midway") => Applied {
                state: Some(begun),
                private,
                diagnostics: refused().into(),
            },
            Some("fail") => Applied::failed(private, refused()),
            Some("slow") => {
                self.events.waiting.notify_one();
                cx.cancel.cancelled().await;
                let stopped = Diagnostic::error("Create stopped", "It was interrupted.");
                Applied {
                    state: Some(begun),
                    private,
                    diagnostics: stopped.into(),
                }
            }
            Some("stuck") => {
                cx.partial.save(begun, private);
                self.events.waiting.notify_one();
                std::future::pending().await
            }
            Some("forgetful") => Applied {
                state: None,
                private,
                diagnostics: Diagnostics::new(),
            },
            Some("half done") => Applied::done(begun, private),
            Some(_) | None => {
                tracing::info!(name = planned.get("name").as_str(), "created");
                let hint = config.get("secret").as_str().map(str::len).unwrap_or_default();
                let _ = private.set("secret_length", hint);
                Applied::done(made(&planned), private)
            }
        }
    }

    async fn update(&self, request: UpdateRequest, _: &Context) -> Applied {
        match request.planned.get("behaviour").as_str() {
            Some("fail") => Applied::failed(request.private, refused()),
            Some("panic") => panic!("the thing fell over"),
            Some(_) | None => Applied::done(made(&request.planned), request.private),
        }
    }

    async fn delete(&self, request: DeleteRequest, _: &Context) -> Applied {
        match request.prior.get("behaviour").as_str() {
            Some("sticky") => Applied::failed(request.private, refused()),
            Some("sticky panic") => panic!("the thing does not let go"),
            Some(_) | None => Applied::deleted(),
        }
    }

    async fn read(&self, request: ReadRequest, cx: &Context) -> ReadAnswer {
        let ReadRequest { state, mut private } = request;
        if private.take_imported() {
            let name = state
                .get("id")
                .as_str()
                .and_then(|id| id.strip_prefix("thing-"))
                .unwrap_or_default()
                .to_owned();
            let state = (!name.is_empty()).then(|| made(&state.with("name", name).with("size", 1)));
            return ReadAnswer {
                state,
                private,
                diagnostics: Diagnostics::new(),
            };
        }
        match state.get("behaviour").as_str() {
            Some("gone") => ReadAnswer {
                state: None,
                private,
                diagnostics: Diagnostics::new(),
            },
            Some("unreadable") => ReadAnswer {
                state: None,
                private,
                diagnostics: refused().into(),
            },
            Some("panic on read") => panic!("the thing is not to be looked at"),
            Some("slow on read") => {
                self.events.waiting.notify_one();
                cx.cancel.cancelled().await;
                ReadAnswer {
                    state: None,
                    private,
                    diagnostics: refused().into(),
                }
            }
            Some(_) | None => ReadAnswer {
                state: Some(state),
                private,
                diagnostics: Diagnostics::new(),
            },
        }
    }

    fn identify(&self, state: &Value, _: &Private) -> Option<Value> {
        match state.get("behaviour").as_str() {
            Some("changeling") => Some(Value::object([("id", Value::from("another"))])),
            Some("nameless") => None,
            Some(_) | None => Some(Value::object([("id", state.get("id").clone())])),
        }
    }

    async fn import(&self, sought: &Sought, _: &Context) -> Result<Imported, Diagnostics> {
        let id = match sought {
            Sought::Id(id) => id.as_str(),
            Sought::Identity(identity) => identity.get("id").as_str().unwrap_or_default(),
        };
        if !id.starts_with("thing-") {
            return Err(
                Diagnostic::error("Malformed identifier", format!("{id:?} does not look like thing-NAME.")).into(),
            );
        }
        Ok(Imported {
            state: Value::object([("id", Value::from(id))]),
            private: Private::new(),
        })
    }

    fn importable(&self) -> bool {
        true
    }
}

/// A text about a name.
struct Greeting {
    schema: Schema,
}

#[async_trait]
impl DataSource for Greeting {
    fn type_name(&self) -> &'static str {
        "corner_greeting"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn read(&self, config: &Value, _: &Context) -> DataAnswer {
        match config.get("name").as_str() {
            Some("nobody") => {
                DataAnswer::failed(Diagnostic::error("Nobody there", "Nobody is not greeted.").at("name"))
            }
            Some("vague") => DataAnswer::found(config.clone().with("text", Value::unknown())),
            Some(name) => DataAnswer::found(config.clone().with("text", format!("hello {name}"))),
            None => DataAnswer {
                state: None,
                diagnostics: Diagnostics::new(),
            },
        }
    }
}

/// The things with the names that are asked for: each exists. Without names there is one.
struct Things {
    schema: Schema,
}

#[async_trait]
impl ListResource for Things {
    fn type_name(&self) -> &'static str {
        "corner_thing"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn validate(&self, config: &Value, _: &Context) -> Diagnostics {
        let mut found = Diagnostics::new();
        if names(config).contains(&"forbidden") {
            found.error_at("names", "Forbidden name", "Nothing may be called that.");
        }
        found
    }

    async fn list(&self, request: ListRequest, _: &Context) -> Result<Vec<Listed>, Diagnostics> {
        let names = names(&request.config);
        assert!(!names.contains(&"panic"), "the things fell over");
        if names.contains(&"fail") {
            return Err(refused().into());
        }
        let names = if names.is_empty() { vec!["only"] } else { names };
        Ok(names.into_iter().map(|name| listed(name, request.with_state)).collect())
    }
}

fn names(config: &Value) -> Vec<&str> {
    let names = config.get("names").as_list().unwrap_or_default();
    names.iter().filter_map(Value::as_str).collect()
}

fn listed(name: &str, with_state: bool) -> Listed {
    let state = thing_schema().empty().with("name", name).with("size", 1);
    let id = match name {
        "nameless" => Value::Null,
        _ => Value::from(format!("thing-{name}")),
    };
    Listed {
        identity: Value::object([("id", id)]),
        display_name: format!("the thing {name}"),
        state: with_state.then(|| made(&state)),
    }
}

/// Makes text loud.
struct Shout {
    signature: Signature,
}

impl Shout {
    fn new() -> Shout {
        let words = Parameter::new("words", Type::String, "More words.");
        Shout {
            signature: Signature {
                name: "shout".to_owned(),
                summary: "Makes text loud.".to_owned(),
                description: "Makes text loud.".to_owned(),
                parameters: vec![Parameter::new("text", Type::String, "The text.")],
                variadic: Some(words),
                returns: Type::String,
            },
        }
    }
}

impl Function for Shout {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let words: Vec<_> = arguments
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_uppercase)
            .collect();
        match words.iter().position(String::is_empty) {
            Some(index) => Err(FunctionError::argument(index, "An empty text cannot be shouted.")),
            None => Ok(Value::from(words.join(" "))),
        }
    }
}
