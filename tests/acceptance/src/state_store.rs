//! A place on the network for the state of a module, as teams have one: terraform's backend `http`.
//!
//! With a file, terraform writes the whole state after each change of each resource: for a thousand of them that takes it several times as
//! long as all else that it does. A state on the network it keeps in memory, and sends it every twenty seconds and at the end.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(5);

/// Holds one state, without locks.
#[derive(Debug)]
pub(crate) struct StateStore {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl StateStore {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener on loopback");
        let address = listener.local_addr().expect("the address of a listener");
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let server = thread::spawn(move || serve(&listener, &told));
        Self {
            address,
            ends,
            server: Some(server),
        }
    }

    /// The block of configuration that names it.
    pub(crate) fn backend(&self) -> String {
        let address = self.address;
        format!("terraform {{\n  backend \"http\" {{\n    address = \"http://{address}/state\"\n  }}\n}}\n")
    }
}

impl Drop for StateStore {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // The server looks at the word when somebody connects. One that has ended already has no listener any more.
        let _refused = TcpStream::connect(self.address);
        if let Some(server) = self.server.take() {
            let _panicked = server.join();
        }
    }
}

fn serve(listener: &TcpListener, ends: &AtomicBool) {
    let mut state = None;
    for connection in listener.incoming() {
        if ends.load(Ordering::SeqCst) {
            return;
        }
        // One who leaves in the middle is not answered; terraform tries again.
        let _left = connection.and_then(|connection| answer(&connection, &mut state));
    }
}

/// Answers the one request of a connection. One who says nothing keeps nobody else waiting.
fn answer(connection: &TcpStream, state: &mut Option<Vec<u8>>) -> io::Result<()> {
    connection.set_read_timeout(Some(SILENCE))?;
    let mut from = BufReader::new(connection);
    let mut line = String::new();
    from.read_line(&mut line)?;
    let method = line.split(' ').next().unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        line.clear();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    match method.as_str() {
        "GET" => match state {
            Some(kept) => reply(connection, "200 OK", kept),
            None => reply(connection, "404 Not Found", &[]),
        },
        "POST" => {
            *state = Some(body);
            reply(connection, "200 OK", &[])
        }
        "DELETE" => {
            *state = None;
            reply(connection, "200 OK", &[])
        }
        _ => reply(connection, "405 Method Not Allowed", &[]),
    }
}

fn reply(mut connection: &TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(store: &StateStore, request: &str) -> String {
        let mut connection = TcpStream::connect(store.address).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn gives_back_what_it_was_given() {
        let store = StateStore::start();
        let get = "GET /state HTTP/1.1\r\nHost: here\r\n\r\n";
        assert!(ask(&store, get).starts_with("HTTP/1.1 404 "));
        let posted = ask(&store, "POST /state HTTP/1.1\r\ncontent-length: 4\r\n\r\n{\"a\"");
        assert!(posted.starts_with("HTTP/1.1 200 "));
        assert!(ask(&store, get).ends_with("\r\n\r\n{\"a\""));
        ask(&store, "DELETE /state HTTP/1.1\r\n\r\n");
        assert!(ask(&store, get).starts_with("HTTP/1.1 404 "));
    }
}
