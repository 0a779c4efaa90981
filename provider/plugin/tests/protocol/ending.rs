//! How calls are interrupted, and how a server ends.

use std::time::Duration;

use cty::Value;
use plugin::server::Ending;
use proto::{
    go_plugin::{Empty, grpc_controller_client::GrpcControllerClient},
    tfplugin6::{self as wire, configure_provider, get_metadata, stop_provider},
};
use tokio::time::timeout;

use crate::host::{Host, apply_request, thing_in, thing_of};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn slow(behaviour: &str) -> wire::apply_resource_change::Request {
    let planned = [
        ("name", "a".into()),
        ("behaviour", behaviour.into()),
        ("id", Value::unknown()),
        ("label", Value::unknown()),
    ];
    apply_request(&Value::Null, &thing_of(planned))
}

#[tokio::test]
async fn shutdown_ends_the_server_and_leaves_nothing() {
    let host = Host::start().await;
    let shut_down = host.events.shut_down.subscribe();
    assert!(host.socket.exists());
    GrpcControllerClient::new(host.channel.clone())
        .shutdown(Empty {})
        .await
        .unwrap();
    assert_eq!(
        timeout(PATIENCE, host.running).await.unwrap().unwrap(),
        Ending::Shutdown
    );
    assert!(*shut_down.borrow());
    assert!(!host.socket.exists());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_call_that_hangs() {
    let mut host = Host::start().await;
    let mut provider = host.provider.clone();
    let creating = tokio::spawn(async move { provider.apply_resource_change(slow("stuck")).await });
    host.events.waiting.notified().await;
    GrpcControllerClient::new(host.channel.clone())
        .shutdown(Empty {})
        .await
        .unwrap();
    assert_eq!(
        timeout(PATIENCE, &mut host.running).await.unwrap().unwrap(),
        Ending::Shutdown
    );
    creating.abort();
}

#[tokio::test]
async fn stop_ends_the_calls_of_a_run_and_the_next_run_begins_afresh() {
    let mut host = Host::start().await;
    let mut provider = host.provider.clone();
    let create = async move || provider.apply_resource_change(slow("slow")).await.unwrap().into_inner();
    let mut first = create.clone();
    let creating = tokio::spawn(async move { first().await });
    host.events.waiting.notified().await;
    let stopped = host
        .provider
        .stop_provider(stop_provider::Request {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stopped.error, "");
    let answer = creating.await.unwrap();
    assert_eq!(answer.diagnostics[0].summary, "Create stopped");
    assert_eq!(thing_in(answer.new_state.as_ref()).get("id").as_str(), Some("begun"));

    // A call that was on its way when the stop came is stopped too.
    let mut late = create.clone();
    assert_eq!(
        timeout(PATIENCE, late()).await.unwrap().diagnostics[0].summary,
        "Create stopped"
    );
    host.events.waiting.notified().await;

    host.provider
        .configure_provider(configure_provider::Request::default())
        .await
        .unwrap();
    let mut next = create.clone();
    let creating = tokio::spawn(async move { next().await });
    host.events.waiting.notified().await;
    assert!(host.provider.get_metadata(get_metadata::Request {}).await.is_ok());
    assert!(!creating.is_finished());
    host.provider.stop_provider(stop_provider::Request {}).await.unwrap();
    assert_eq!(creating.await.unwrap().diagnostics[0].summary, "Create stopped");
}

#[tokio::test]
async fn a_call_outlives_its_request() {
    let mut host = Host::start().await;
    let mut provider = host.provider.clone();
    let creating = tokio::spawn(async move { provider.apply_resource_change(slow("slow")).await });
    host.events.waiting.notified().await;
    creating.abort();
    assert!(creating.await.unwrap_err().is_cancelled());
    // The server ends when told, after the call has seen that it is to stop.
    host.terminate.take().unwrap().send(()).unwrap();
    assert_eq!(
        timeout(PATIENCE, host.running).await.unwrap().unwrap(),
        Ending::Terminated
    );
}

#[tokio::test]
async fn a_signal_stops_what_listens_and_cuts_what_does_not() {
    let mut host = Host::start().await;
    let mut provider = host.provider.clone();
    let slow_one =
        tokio::spawn(async move { provider.apply_resource_change(slow("slow")).await.unwrap().into_inner() });
    host.events.waiting.notified().await;
    let mut provider = host.provider.clone();
    let stuck = tokio::spawn(async move {
        provider
            .apply_resource_change(slow("stuck"))
            .await
            .unwrap()
            .into_inner()
    });
    host.events.waiting.notified().await;

    tokio::time::pause();
    host.terminate.take().unwrap().send(()).unwrap();
    assert_eq!(slow_one.await.unwrap().diagnostics[0].summary, "Create stopped");
    let answer = stuck.await.unwrap();
    assert_eq!(answer.diagnostics[0].summary, "The provider was told to end");
    assert_eq!(answer.diagnostics[0].severity(), wire::diagnostic::Severity::Error);
    let saved = thing_in(answer.new_state.as_ref());
    assert_eq!(
        (saved.get("id").as_str(), saved.get("label")),
        (Some("begun"), &Value::Null)
    );
    assert_eq!(host.running.await.unwrap(), Ending::Terminated);
    assert!(*host.events.shut_down.borrow());
}
