//! One connection to a pool, byte by byte.

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection, spoken to by hand.
pub(crate) struct Wire(TcpStream);

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(crate) async fn open(url: &str) -> Self {
        Self(TcpStream::connect(url.rsplit('/').next().unwrap()).await.unwrap())
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> Option<Answer> {
        self.0.write_all(request).await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or(0, |t| t.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Answer { status, head, body })
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> Option<Answer> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(format!("{head}{body}").as_bytes()).await
    }

    pub(crate) async fn json(&mut self, method: &str, params: Json) -> Option<Json> {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
        Some(serde_json::from_slice(&self.post("/jsonrpc", &body).await?.body).unwrap())
    }

    pub(crate) async fn login(&mut self, user: &str, password: &str) -> String {
        let answer = self
            .json("session.login_with_password", json!([user, password, "1.0", "test"]))
            .await
            .unwrap();
        answer["result"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"))
            .to_owned()
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
