//! A second process: this test binary, told by a variable to be one.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use history::{History, ServerRow, Spool};

use crate::facts::{born, server, vm};

/// What the child is told: a verb, and where.
const ORDER: &str = "HISTORY_TEST_ORDER";

/// What the child says after each thing it has done.
const DONE: &str = "child: done";

/// A second process.
pub(crate) struct SecondProcess {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl SecondProcess {
    /// Writes pairs of servers (2n and 2n + 1, from `first` on) to a sink until it has written so many.
    pub(crate) fn writes_pairs(url: &str, first: u32, pairs: u32) -> Self {
        Self::start(&format!("pairs {first} {pairs} {url}"))
    }

    /// Spools servers (0, 1, ...) until it is killed.
    pub(crate) fn spools(folder: &std::path::Path) -> Self {
        Self::start(&format!("spool 0 0 {}", folder.display()))
    }

    fn start(order: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::obeys", "--nocapture", "--test-threads=1"])
            .env(ORDER, order)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// Waits until it has done so many things more.
    pub(crate) fn has_done(&mut self, things: usize) {
        let done = self
            .said
            .by_ref()
            .map_while(Result::ok)
            .filter(|line| line.contains(DONE));
        assert_eq!(done.take(things).count(), things, "the second process ended early");
    }

    /// Kills it at once.
    pub(crate) fn killed(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ends(mut self) {
        self.said.by_ref().map_while(Result::ok).for_each(drop);
        assert!(self.child.wait().unwrap().success());
    }
}

/// The two servers of a pair.
pub(crate) fn pair(n: u32) -> [ServerRow; 2] {
    [born(2 * n, 0), born(2 * n + 1, 0)]
}

#[tokio::test]
async fn obeys() {
    let Ok(order) = std::env::var(ORDER) else {
        return;
    };
    let words: Vec<&str> = order.splitn(4, ' ').collect();
    let (first, count): (u32, u32) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    match words[0] {
        "pairs" => {
            let history = History::new(&words[3].parse().unwrap());
            for n in first..first + count {
                history.write(&pair(n).map(server)).await.unwrap();
                println!("{DONE}");
            }
            history.close().await.unwrap();
        }
        "spool" => {
            let spool = Spool::open(words[3]).unwrap();
            for n in 0.. {
                spool.append(&[server(ServerRow::new(vm(n)))]).unwrap();
                println!("{DONE}");
            }
        }
        other => panic!("unknown order {other}"),
    }
}
