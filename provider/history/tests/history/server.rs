//! A PostgreSQL server of the test's own: Debian's binaries, a folder in the temporary one, a port that was free.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server on loopback; it ends with this value, and, should the test process be killed, with that.
pub(crate) struct Server {
    binaries: PathBuf,
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    running: Option<Child>,
}

impl Server {
    /// Makes a cluster and starts its server.
    pub(crate) fn start() -> Self {
        Self::with(|_| Vec::new())
    }

    /// The same; `prepare` may change the cluster's folder and gives further options of the server.
    pub(crate) fn with(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
        let mut server = Self {
            binaries: binaries(),
            folder: tempfile::Builder::new().prefix("pg").tempdir().unwrap(),
            port: 0,
            options: Vec::new(),
            running: None,
        };
        server.own_folder();
        let data = server.data();
        let arguments = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ];
        run(server.command("initdb").args(arguments).arg(&data));
        server.options = prepare(&data);
        server.own_folder();
        // Somebody else may take a port between its finding and its use.
        let started = (0..5).any(|_| {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            server.try_up()
        });
        assert!(started, "the PostgreSQL server does not start");
        server
    }

    /// Starts the server again, after `down`.
    pub(crate) fn up(&mut self) {
        assert!(self.try_up(), "the PostgreSQL server does not start again");
    }

    /// Stops the server, as a crash would.
    pub(crate) fn down(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        let data = self.data();
        let stopped = self
            .command("pg_ctl")
            .args(["stop", "-m", "immediate", "-D"])
            .arg(data)
            .output();
        if !stopped.is_ok_and(|output| output.status.success()) {
            let _ = running.kill();
        }
        let _ = running.wait();
    }

    /// Makes an empty database and gives its URL.
    pub(crate) fn database(&self, name: &str) -> String {
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url("postgres", name, "")
    }

    /// The URL of a database over TCP.
    pub(crate) fn url(&self, user: &str, database: &str, options: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}{options}", self.port)
    }

    /// The URL of a database over the server's socket.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        let folder = self.folder.path().display();
        format!("postgres:///{database}?host={folder}&port={}&user=postgres", self.port)
    }

    /// Runs a statement as the superuser and gives what it prints.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        let port = self.port.to_string();
        let mut psql = Command::new(self.binaries.join("psql"));
        psql.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-p",
            &port,
            "-d",
            database,
        ]);
        run(psql.args(["-c", statement, "-h"]).arg(self.folder.path()))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn try_up(&mut self) -> bool {
        let sockets = self.folder.path().display().to_string();
        let mut command = self.command("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-h", "127.0.0.1", "-k", &sockets, "-p", &self.port.to_string()]);
        for setting in [
            "fsync=off",
            "shared_buffers=16MB",
            "logging_collector=off",
            "log_destination=stderr",
        ] {
            command.args(["-c", setting]);
        }
        command
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let is_up = log.any(|line| line.contains("ready to accept connections"));
        // The log is read to its end, or the server would stop when the pipe is full.
        std::thread::spawn(move || log.for_each(drop));
        if is_up {
            self.running = Some(child);
        } else {
            let _ = child.wait();
        }
        is_up
    }

    /// A command of PostgreSQL's, as a user that is not root, and that ends when this thread does.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]);
        if is_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command
            .arg(self.binaries.join(program))
            .env("LC_ALL", "C")
            .current_dir("/");
        command
    }

    fn own_folder(&self) {
        if is_root() {
            run(Command::new("chown")
                .args(["-R", "postgres:postgres"])
                .arg(self.folder.path()));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn binaries() -> PathBuf {
    let has_all = |folder: &PathBuf| {
        ["initdb", "postgres", "pg_ctl"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = installed
        .map(|version| version.path().join("bin"))
        .filter(has_all)
        .collect();
    versions.sort();
    let on_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find(has_all)
    };
    let found = versions.pop().or_else(on_path);
    found.unwrap_or_else(|| panic!("no PostgreSQL server here: apt-get install postgresql"))
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")).trim() == "0"
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}
