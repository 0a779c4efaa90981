//! The pages, asked over a socket as a scraper asks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Health, ListenError, Listener, serve};
use crate::metrics::Metrics;

/// The pages of one process.
struct Pages {
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
    stop: CancellationToken,
    served: JoinSet<Result<(), ListenError>>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Pages {
    async fn open() -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address();
        let (metrics, health, stop) = (Metrics::default(), Health::default(), CancellationToken::new());
        let mut served = JoinSet::new();
        served.spawn(listener.serve(metrics.clone(), health.clone(), stop.clone()));
        Self {
            address,
            metrics,
            health,
            stop,
            served,
        }
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: reaper\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask("GET", path).await;
        (answer.status, answer.body)
    }
}

#[tokio::test]
async fn alive_while_every_loop_is() {
    let pages = Pages::open().await;
    assert_eq!(pages.get("/healthz").await, (200, "ok\n".to_owned()));
    let pulse = pages.health.watch("pool lab1", Duration::from_secs(600));
    assert_eq!(pages.get("/healthz").await, (200, "ok\n".to_owned()));
    drop(pulse);
    assert_eq!(
        pages.get("/healthz").await,
        (503, "pool lab1: has ended by itself\n".to_owned())
    );
}

#[tokio::test]
async fn ready_once_a_pool_was_read() {
    let pages = Pages::open().await;
    let none = "not ready: no pool has been read yet\n";
    assert_eq!(pages.get("/readyz").await, (503, none.to_owned()));
    let lab1 = pages.metrics.pool("lab1");
    let lab2 = pages.metrics.pool("lab2");
    lab2.unreadable();
    assert_eq!(
        pages.get("/readyz").await,
        (
            503,
            format!("{none}lab1: not tried yet\nlab2: could not be read so far\n")
        )
    );
    lab1.read();
    let ready = "ready\nlab1: read\nlab2: could not be read so far\n";
    assert_eq!(pages.get("/readyz").await, (200, ready.to_owned()));
    lab1.unreadable();
    let lost = "ready\nlab1: read before, could not be read the last time\nlab2: could not be read so far\n";
    assert_eq!(pages.get("/readyz").await, (200, lost.to_owned()));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let pages = Pages::open().await;
    pages.metrics.pool("lab1").read();
    let answer = pages.ask("GET", "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .head
            .contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        answer.head
    );
    assert_eq!(answer.body, pages.metrics.text().unwrap());
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let pages = Pages::open().await;
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        let (get, head) = (pages.ask("GET", path).await, pages.ask("HEAD", path).await);
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
    }
}

#[tokio::test]
async fn there_is_nothing_else_and_nothing_to_change() {
    let pages = Pages::open().await;
    for path in ["/", "/metrics/", "/debug", "/healthz/x"] {
        assert_eq!(pages.ask("GET", path).await.status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(pages.ask(method, "/metrics").await.status, 405, "{method}");
    }
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let pages = Pages::open().await;
    let refused = serve(
        pages.address,
        Metrics::default(),
        Health::default(),
        CancellationToken::new(),
    )
    .await;
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", pages.address));
    assert!(std::error::Error::source(&error).is_some());
}

#[tokio::test]
async fn ends_when_asked_though_a_client_says_nothing() {
    let mut pages = Pages::open().await;
    let _silent = TcpStream::connect(pages.address).await.unwrap();
    assert_eq!(pages.get("/healthz").await.0, 200);
    pages.stop.cancel();
    let ended = tokio::time::timeout(super::DRAIN * 5, pages.served.join_next()).await;
    assert!(matches!(ended, Ok(Some(Ok(Ok(()))))), "{ended:?}");
    assert!(
        TcpStream::connect(pages.address).await.is_err(),
        "the address is free again"
    );
}
