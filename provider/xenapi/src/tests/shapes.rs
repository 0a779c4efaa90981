//! The forms that answers of JSON-RPC take: both versions, and xapi's own mixtures of them.

use super::server::{Reply, SESSION, Server};
use crate::{Failure, Outcome, Ref, Vm, Wire};

async fn state(body: &'static str) -> Result<String, crate::Error> {
    let server = Server::xapi(Wire::Json, move |_| Reply::Body(body.to_owned())).await;
    let vm = Ref::<Vm>::new("OpaqueRef:vm");
    let state = server.pool().vm().get_power_state(&vm).await?;
    Ok(state.to_string())
}

#[tokio::test]
async fn a_success_has_two_shapes() {
    for body in [
        r#"{"jsonrpc":"2.0","result":"Halted","id":1}"#,
        r#"{"result":"Halted","error":null,"id":1}"#,
        r#"{"error":null,"id":"1","result":"Halted"}"#,
        " {\r\n \"id\" : 1 ,\t\"result\" : \"H\\u0061lted\" } \n",
    ] {
        assert_eq!(state(body).await.unwrap(), "Halted", "{body}");
    }
}

#[tokio::test]
async fn a_failure_has_two_shapes_in_either_version() {
    for body in [
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","OpaqueRef:vm"]},"id":1}"#,
        r#"{"jsonrpc":"2.0","error":["HANDLE_INVALID","VM","OpaqueRef:vm"],"id":0}"#,
        r#"{"result":null,"error":["HANDLE_INVALID","VM","OpaqueRef:vm"],"id":1}"#,
        r#"{"result":null,"error":{"data":["VM","OpaqueRef:vm"],"message":"HANDLE_INVALID","code":1},"id":1}"#,
        r#"{"error":["HANDLE_INVALID","VM","OpaqueRef:vm",{"more":[1]},null,7,true],"id":1,"result":"Halted"}"#,
    ] {
        let error = state(body).await.unwrap_err();
        assert!(error.is_gone_object(&Ref::<Vm>::new("OpaqueRef:vm")), "{body}: {error}");
        assert_eq!(error.outcome(), Outcome::Rejected);
    }
}

#[tokio::test]
async fn a_failure_without_parameters_is_one() {
    for body in [
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"MESSAGE_REMOVED","data":[]},"id":1}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"MESSAGE_REMOVED"},"id":1}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"MESSAGE_REMOVED","data":null},"id":1}"#,
    ] {
        let error = state(body).await.unwrap_err();
        assert_eq!(
            (error.code(), error.failure().unwrap().params()),
            (Some("MESSAGE_REMOVED"), &[][..]),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_call_without_a_result_may_say_so_in_any_way() {
    for body in [
        r#"{"jsonrpc":"2.0","result":"","id":1}"#,
        r#"{"result":null,"error":null,"id":1}"#,
    ] {
        let server = Server::xapi(Wire::Json, move |_| Reply::Body(body.to_owned())).await;
        let vm = Ref::new("OpaqueRef:vm");
        server.pool().vm().add_tags(&vm, "t").await.unwrap();
    }
}

#[tokio::test]
async fn what_says_neither_or_two_things_is_no_success() {
    for body in [
        "{}",
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"error":null,"id":1}"#,
        r#"{"error":[],"id":1}"#,
        r#"{"result":"","result":"","id":1}"#,
    ] {
        let server = Server::xapi(Wire::Json, move |_| Reply::Body(body.to_owned())).await;
        let error = server.pool().vm().destroy(&Ref::new("OpaqueRef:vm")).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeSent, "{body}");
    }
}

#[tokio::test]
async fn no_shape_of_a_failure_shows_the_session() {
    let secret = SESSION.trim_start_matches("OpaqueRef:");
    for body in [
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"INTERNAL_ERROR","data":["bad S"]},"id":1}"#,
        r#"{"jsonrpc":"2.0","error":["INTERNAL_ERROR","bad S"],"id":1}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1,"message":"INTERNAL_ERROR","data":"bad S"},"id":1}"#,
        r#"{"jsonrpc":"2.0","error":["HANDLE_INVALID","session","S"],"id":1}"#,
        r#"{"jsonrpc":"2.0","result":"S","id":1}"#,
        r#"{"jsonrpc":"2.0","result":{"S":"S"},"id":1}"#,
    ] {
        // The session may also come with escapes.
        for session in [SESSION.to_owned(), SESSION.replace('-', "\\u002d")] {
            let body = body.replace('S', "\u{1}").replace("\u{1}E\u{1}\u{1}ION", "SESSION");
            let body = body.replace('\u{1}', &session);
            let server = Server::xapi(Wire::Json, move |_| Reply::Body(body.clone())).await;
            let vm = Ref::<Vm>::new("OpaqueRef:vm");
            let error = server.pool().vm().get_tags(&vm).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(secret), "{shown}");
            assert!(!error.is_failure(Failure::is_session_invalid));
        }
    }
}
