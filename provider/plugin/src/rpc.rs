//! The service: every call of the protocol, by family. What is not offered is answered `UNIMPLEMENTED`.

mod apply;
mod check;
mod config;
mod data;
mod functions;
mod identity;
mod import;
mod list;
mod moved;
mod plan;
mod read;
mod schema;
mod upgrade;
mod validate;

use std::pin::Pin;

use async_trait::async_trait;
use futures::{Stream, stream};
use proto::tfplugin6::{
    apply_resource_change, call_function, close_ephemeral_resource, configure_provider, configure_state_store,
    delete_state, generate_resource_config, get_functions, get_metadata, get_provider_schema,
    get_resource_identity_schemas, get_states, import_resource_state, invoke_action, list_resource, lock_state,
    move_resource_state, open_ephemeral_resource, plan_action, plan_resource_change, provider_server::Provider,
    read_data_source, read_resource, read_state_bytes, renew_ephemeral_resource, stop_provider, unlock_state,
    upgrade_resource_identity, upgrade_resource_state, validate_action_config, validate_data_resource_config,
    validate_ephemeral_resource_config, validate_list_resource_config, validate_provider_config,
    validate_resource_config, validate_state_store, write_state_bytes,
};
use tonic::{Request, Response, Status, Streaming};

use crate::calls::Calls;

/// Answers the host.
pub(crate) struct Service {
    calls: Calls,
}

impl Service {
    pub(crate) fn new(calls: Calls) -> Service {
        Service { calls }
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// An answer in parts.
type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn not_offered<T>(name: &str) -> Answer<T> {
    Err(Status::unimplemented(format!("this provider does not offer {name}")))
}

#[async_trait]
impl Provider for Service {
    type ListResourceStream = Parts<list_resource::Event>;
    type ReadStateBytesStream = Parts<read_state_bytes::Response>;
    type InvokeActionStream = Parts<invoke_action::Event>;

    async fn get_metadata(&self, request: Request<get_metadata::Request>) -> Answer<get_metadata::Response> {
        self.calls.handle(request).await
    }

    async fn get_provider_schema(
        &self,
        request: Request<get_provider_schema::Request>,
    ) -> Answer<get_provider_schema::Response> {
        self.calls.handle(request).await
    }

    async fn validate_provider_config(
        &self,
        request: Request<validate_provider_config::Request>,
    ) -> Answer<validate_provider_config::Response> {
        self.calls.handle(request).await
    }

    async fn validate_resource_config(
        &self,
        request: Request<validate_resource_config::Request>,
    ) -> Answer<validate_resource_config::Response> {
        self.calls.handle(request).await
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<validate_data_resource_config::Request>,
    ) -> Answer<validate_data_resource_config::Response> {
        self.calls.handle(request).await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<upgrade_resource_state::Request>,
    ) -> Answer<upgrade_resource_state::Response> {
        self.calls.handle(request).await
    }

    async fn get_resource_identity_schemas(
        &self,
        request: Request<get_resource_identity_schemas::Request>,
    ) -> Answer<get_resource_identity_schemas::Response> {
        self.calls.handle(request).await
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<upgrade_resource_identity::Request>,
    ) -> Answer<upgrade_resource_identity::Response> {
        self.calls.handle(request).await
    }

    async fn configure_provider(
        &self,
        request: Request<configure_provider::Request>,
    ) -> Answer<configure_provider::Response> {
        self.calls.handle(request).await
    }

    async fn read_resource(&self, request: Request<read_resource::Request>) -> Answer<read_resource::Response> {
        self.calls.handle(request).await
    }

    async fn plan_resource_change(
        &self,
        request: Request<plan_resource_change::Request>,
    ) -> Answer<plan_resource_change::Response> {
        self.calls.handle(request).await
    }

    async fn apply_resource_change(
        &self,
        request: Request<apply_resource_change::Request>,
    ) -> Answer<apply_resource_change::Response> {
        self.calls.handle(request).await
    }

    async fn import_resource_state(
        &self,
        request: Request<import_resource_state::Request>,
    ) -> Answer<import_resource_state::Response> {
        self.calls.handle(request).await
    }

    async fn move_resource_state(
        &self,
        request: Request<move_resource_state::Request>,
    ) -> Answer<move_resource_state::Response> {
        self.calls.handle(request).await
    }

    async fn read_data_source(
        &self,
        request: Request<read_data_source::Request>,
    ) -> Answer<read_data_source::Response> {
        self.calls.handle(request).await
    }

    async fn validate_list_resource_config(
        &self,
        request: Request<validate_list_resource_config::Request>,
    ) -> Answer<validate_list_resource_config::Response> {
        self.calls.handle(request).await
    }

    async fn list_resource(&self, request: Request<list_resource::Request>) -> Answer<Self::ListResourceStream> {
        let events = self.calls.handle(request).await?.into_inner();
        Ok(Response::new(Box::pin(stream::iter(events.into_iter().map(Ok)))))
    }

    async fn get_functions(&self, request: Request<get_functions::Request>) -> Answer<get_functions::Response> {
        self.calls.handle(request).await
    }

    async fn call_function(&self, request: Request<call_function::Request>) -> Answer<call_function::Response> {
        self.calls.handle(request).await
    }

    async fn stop_provider(&self, _: Request<stop_provider::Request>) -> Answer<stop_provider::Response> {
        self.calls.stop();
        Ok(Response::new(stop_provider::Response::default()))
    }

    // Not offered.

    async fn generate_resource_config(
        &self,
        _: Request<generate_resource_config::Request>,
    ) -> Answer<generate_resource_config::Response> {
        not_offered("GenerateResourceConfig")
    }

    async fn validate_ephemeral_resource_config(
        &self,
        _: Request<validate_ephemeral_resource_config::Request>,
    ) -> Answer<validate_ephemeral_resource_config::Response> {
        not_offered("ValidateEphemeralResourceConfig")
    }

    async fn open_ephemeral_resource(
        &self,
        _: Request<open_ephemeral_resource::Request>,
    ) -> Answer<open_ephemeral_resource::Response> {
        not_offered("OpenEphemeralResource")
    }

    async fn renew_ephemeral_resource(
        &self,
        _: Request<renew_ephemeral_resource::Request>,
    ) -> Answer<renew_ephemeral_resource::Response> {
        not_offered("RenewEphemeralResource")
    }

    async fn close_ephemeral_resource(
        &self,
        _: Request<close_ephemeral_resource::Request>,
    ) -> Answer<close_ephemeral_resource::Response> {
        not_offered("CloseEphemeralResource")
    }

    async fn validate_state_store_config(
        &self,
        _: Request<validate_state_store::Request>,
    ) -> Answer<validate_state_store::Response> {
        not_offered("ValidateStateStoreConfig")
    }

    async fn configure_state_store(
        &self,
        _: Request<configure_state_store::Request>,
    ) -> Answer<configure_state_store::Response> {
        not_offered("ConfigureStateStore")
    }

    async fn read_state_bytes(&self, _: Request<read_state_bytes::Request>) -> Answer<Self::ReadStateBytesStream> {
        not_offered("ReadStateBytes")
    }

    async fn write_state_bytes(
        &self,
        _: Request<Streaming<write_state_bytes::RequestChunk>>,
    ) -> Answer<write_state_bytes::Response> {
        not_offered("WriteStateBytes")
    }

    async fn lock_state(&self, _: Request<lock_state::Request>) -> Answer<lock_state::Response> {
        not_offered("LockState")
    }

    async fn unlock_state(&self, _: Request<unlock_state::Request>) -> Answer<unlock_state::Response> {
        not_offered("UnlockState")
    }

    async fn get_states(&self, _: Request<get_states::Request>) -> Answer<get_states::Response> {
        not_offered("GetStates")
    }

    async fn delete_state(&self, _: Request<delete_state::Request>) -> Answer<delete_state::Response> {
        not_offered("DeleteState")
    }

    async fn plan_action(&self, _: Request<plan_action::Request>) -> Answer<plan_action::Response> {
        not_offered("PlanAction")
    }

    async fn invoke_action(&self, _: Request<invoke_action::Request>) -> Answer<Self::InvokeActionStream> {
        not_offered("InvokeAction")
    }

    async fn validate_action_config(
        &self,
        _: Request<validate_action_config::Request>,
    ) -> Answer<validate_action_config::Response> {
        not_offered("ValidateActionConfig")
    }
}
