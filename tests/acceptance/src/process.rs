//! A child process in a process group of its own, with a bound on its life.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::outcome::Outcome;

/// What everybody who may look at a process sees of it.
#[derive(Clone, Debug)]
pub struct Process {
    /// The name of its executable.
    pub executable: String,
    /// Its arguments, each with a zero byte behind it.
    pub arguments: Vec<u8>,
    /// The environment that it was started with, in the same form.
    pub environment: Vec<u8>,
}

impl Process {
    /// Nothing if it has ended meanwhile.
    fn of(process: u32) -> Option<Self> {
        let read = |name: &str| fs::read(format!("/proc/{process}/{name}")).ok();
        Some(Self {
            executable: executable_of(process)?,
            arguments: read("cmdline")?,
            environment: read("environ")?,
        })
    }
}

/// A process that was started. Its output goes to files: a grandchild that keeps a pipe open cannot hold the test.
#[derive(Debug)]
pub struct Running {
    what: String,
    group: u32,
    ended: Receiver<io::Result<ExitStatus>>,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
}

impl Running {
    pub(crate) fn start(what: String, mut command: Command, stdout: PathBuf, stderr: PathBuf) -> Self {
        use std::os::unix::process::CommandExt as _;
        let file = |path: &PathBuf| File::create(path).expect("a file for output");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file(&stdout))
            .stderr(file(&stderr))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        let group = child.id();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(child.wait()));
        Self {
            what,
            group,
            ended,
            stdout,
            stderr,
            started: Instant::now(),
        }
    }

    /// The process id, which is also that of the group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.group
    }

    /// What it has printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Ctrl-C, as a terminal sends it: SIGINT to the whole group.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, name: &str) {
        let sent = kill(name, &format!("-{}", self.group));
        assert!(sent, "no SIG{name} for the group of {}", self.what);
    }

    /// Kills the whole group, or what is left of it.
    pub fn kill(&self) {
        // One that has ended in this instant is as dead as the others.
        let _ended = kill("KILL", &format!("-{}", self.group));
    }

    /// Kills the process itself and leaves its children alone.
    pub fn kill_alone(&self) {
        // One that has ended in this instant is as dead as the others.
        let _ended = kill("KILL", &self.group.to_string());
    }

    /// Kills the members of the group whose executable has this name, at once; says how many there were.
    pub fn kill_members(&self, executable: &str) -> usize {
        let found = members(self.group, executable);
        for member in &found {
            // One that has ended in this instant is as dead as the others.
            let _ended = kill("KILL", &member.to_string());
        }
        found.len()
    }

    /// All processes of the group: itself and what it has started.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        group_members(self.group).into_iter().filter_map(Process::of).collect()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        // The waiting thread takes the last of it away.
        !is_alive(self.group)
    }

    /// Waits for the end, and ends it by force when it takes longer than `limit`.
    #[must_use]
    pub fn wait(self, limit: Duration) -> Outcome {
        let status = match self.ended.recv_timeout(limit) {
            Ok(status) => status.expect("the exit status of a child"),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                let killed = self.ended.recv().expect("the waiting thread");
                let outcome = self.outcome(killed.ok().and_then(|status| status.code()));
                panic!("still running after {limit:?}, killed:\n{outcome}");
            }
            Err(RecvTimeoutError::Disconnected) => panic!("nobody waits for {}", self.what),
        };
        self.outcome(status.code())
    }

    fn outcome(&self, code: Option<i32>) -> Outcome {
        let text = |path: &PathBuf| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Outcome {
            what: self.what.clone(),
            code,
            stdout: text(&self.stdout).unwrap_or_default(),
            stderr: text(&self.stderr).unwrap_or_default(),
            took: self.started.elapsed(),
        }
    }
}

/// Whether a process group still has a member.
#[must_use]
pub fn is_group_alive(group: u32) -> bool {
    kill("0", &format!("-{group}"))
}

/// The processes of a group.
#[must_use]
pub fn group_members(group: u32) -> Vec<u32> {
    numbers().filter(|process| group_of(*process) == Some(group)).collect()
}

/// Whether a process has not ended.
#[must_use]
pub fn is_alive(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// The processes of a group whose executable has this name.
fn members(group: u32, executable: &str) -> Vec<u32> {
    group_members(group)
        .into_iter()
        .filter(|process| executable_of(*process).is_some_and(|name| name == executable))
        .collect()
}

/// All processes there are.
fn numbers() -> impl Iterator<Item = u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The name of a process's executable.
fn executable_of(process: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{process}/exe")).ok()?;
    // What was built anew since it started has the word (deleted) behind its name.
    let name = path.file_name()?.to_string_lossy().into_owned();
    Some(name.trim_end_matches(" (deleted)").to_owned())
}

/// The process group of a process, by the fields that follow its name: state, parent, group.
fn group_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(2)?.parse().ok()
}

/// Sends a signal by the shell, which is there where no `kill` is installed.
fn kill(signal: &str, target: &str) -> bool {
    Command::new("sh")
        .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, target])
        .stderr(Stdio::null())
        .status()
        .expect("a shell")
        .success()
}
