//! The provider as a process: started by hand, by a host, for a debugger, and told to end.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use proto::{
    go_plugin::{Empty, grpc_controller_client::GrpcControllerClient},
    tfplugin6::{configure_provider, get_metadata, provider_client::ProviderClient},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    net::UnixStream,
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use tonic::transport::{Channel, Endpoint};

const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The example, built with the tests.
pub fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/terraform-provider-corner");
    assert!(
        path.is_file(),
        "{} is missing: build the examples of this crate",
        path.display()
    );
    path
}

/// The example as a running process.
pub struct Process {
    child: Child,
    pub lines: Lines<BufReader<ChildStdout>>,
    pub directory: TempDir,
}

impl Process {
    pub fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Process {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary())
            .args(arguments)
            .env_clear()
            .env("TMPDIR", directory.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process {
            child,
            lines,
            directory,
        }
    }

    /// Reads the handshake line and connects.
    async fn connected(&mut self) -> Channel {
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let socket = PathBuf::from(line.split('|').nth(3).unwrap());
        assert!(socket.starts_with(self.directory.path()), "{line}");
        channel(&socket).await
    }

    pub async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
    }

    /// Waits for the end: the status, the rest of stdout, and stderr.
    pub async fn ended(mut self) -> (ExitStatus, String, String) {
        let (mut rest, mut errors) = (String::new(), String::new());
        let mut stderr = self.child.stderr.take().unwrap();
        let all = async {
            tokio::try_join!(
                stderr.read_to_string(&mut errors),
                self.lines.get_mut().read_to_string(&mut rest)
            )
            .unwrap();
            self.child.wait().await.unwrap()
        };
        let status = timeout(PATIENCE, all).await.unwrap();
        assert_eq!(
            std::fs::read_dir(self.directory.path()).unwrap().count(),
            0,
            "the socket must be gone"
        );
        (status, rest, errors)
    }
}

async fn channel(socket: &Path) -> Channel {
    let stream = UnixStream::connect(socket).await.unwrap();
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| {
        let stream = stream
            .take()
            .ok_or_else(|| std::io::Error::other("there is one connection only"));
        async move { stream }
    });
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .unwrap()
}

fn hosted(log: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("TF_PLUGIN_MAGIC_COOKIE", COOKIE),
        ("PLUGIN_PROTOCOL_VERSIONS", "6,5"),
        ("TF_LOG", log),
    ]
}

#[tokio::test]
async fn started_by_hand_it_says_what_it_is() {
    let (status, stdout, stderr) = Process::start(&[], &[]).ended().await;
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("This is the Terraform provider corner."), "{stderr}");
}

#[tokio::test]
async fn told_by_its_host_it_ends_at_once_and_silently() {
    let mut process = Process::start(&[], &hosted(""));
    let channel = process.connected().await;
    ProviderClient::new(channel.clone())
        .get_metadata(get_metadata::Request {})
        .await
        .unwrap();
    GrpcControllerClient::new(channel).shutdown(Empty {}).await.unwrap();
    let (status, stdout, stderr) = process.ended().await;
    assert_eq!((status.code(), stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
}

#[tokio::test]
async fn an_interrupt_does_not_end_it_but_a_termination_does() {
    let mut process = Process::start(&[], &hosted(""));
    let mut provider = ProviderClient::new(process.connected().await);
    process.signal("-INT").await;
    assert!(provider.get_metadata(get_metadata::Request {}).await.is_ok());
    process.signal("-TERM").await;
    assert_eq!(process.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn it_logs_what_it_is_asked_for() {
    let mut process = Process::start(&[], &hosted("INFO"));
    let channel = process.connected().await;
    ProviderClient::new(channel.clone())
        .configure_provider(configure_provider::Request::default())
        .await
        .unwrap();
    GrpcControllerClient::new(channel).shutdown(Empty {}).await.unwrap();
    let (_, _, stderr) = process.ended().await;
    let lines: Vec<serde_json::Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert_eq!(
        (&lines[0]["@message"], &lines[0]["@level"]),
        (&"configured".into(), &"info".into())
    );
    assert_eq!(
        (&lines[0]["@module"], &lines[0]["tf_rpc"]),
        (&"corner.config".into(), &"ConfigureProvider".into())
    );
    assert_eq!(lines[0]["tf_req_id"].as_str().map(str::len), Some(36));
}

#[tokio::test]
async fn everything_it_logs_is_readable_and_its_own() {
    let mut process = Process::start(&[], &hosted("TRACE"));
    let channel = process.connected().await;
    ProviderClient::new(channel.clone())
        .get_metadata(get_metadata::Request {})
        .await
        .unwrap();
    GrpcControllerClient::new(channel).shutdown(Empty {}).await.unwrap();
    let (_, _, stderr) = process.ended().await;
    let lines: Vec<serde_json::Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["@level"] == "trace"), "{stderr}");
    for line in &lines {
        let module = line["@module"].as_str().unwrap();
        assert!(module.starts_with("plugin.") || module.starts_with("corner"), "{line}");
        assert!(
            line.as_object().unwrap().values().all(serde_json::Value::is_string),
            "{line}"
        );
    }
}

#[tokio::test]
async fn for_a_debugger_it_says_how_to_attach() {
    let mut process = Process::start(&["--debug"], &[]);
    let mut text = String::new();
    while !text.contains("export TF_REATTACH_PROVIDERS=") {
        text = timeout(PATIENCE, process.lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
    let value = text
        .trim()
        .trim_start_matches("export TF_REATTACH_PROVIDERS='")
        .trim_end_matches('\'');
    let value: serde_json::Value = serde_json::from_str(value).unwrap();
    let address = &value["registry.terraform.io/acme/corner"]["Addr"]["String"];
    let mut provider = ProviderClient::new(channel(Path::new(address.as_str().unwrap())).await);
    assert!(provider.get_metadata(get_metadata::Request {}).await.is_ok());
    process.signal("-INT").await;
    assert_eq!(process.ended().await.0.code(), Some(0));
}
