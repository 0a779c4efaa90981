//! The sink that is a file with one JSON object per line.
//!
//! Entries are appended as they were told; who reads the file sums them up. One call of `write` is one write to the file,
//! under its lock. A line that a dying process left half done is closed by the next writer and passed over by readers.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::ledger::Ledger;
use crate::row::{Entry, Renewal, VmUuid};
use crate::sink::Reader;
use crate::sink::blocking::{blocking, make_folder_of, patiently};
use crate::storable::storable;

/// A file with one JSON object per line.
#[derive(Debug)]
pub(crate) struct Jsonl {
    path: Arc<Path>,
}

impl Jsonl {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    pub(super) async fn reach(&self) -> Result<(), Error> {
        let path = Arc::clone(&self.path);
        blocking(move || open(&path).map(drop)).await
    }

    pub(super) async fn write(&self, entries: &[Entry]) -> Result<(), Error> {
        let lines: Arc<[u8]> = lines(entries.iter().map(storable))?.into();
        patiently(|| {
            let (path, lines) = (Arc::clone(&self.path), Arc::clone(&lines));
            blocking(move || append(&path, &lines))
        })
        .await
    }

    pub(super) async fn read<R: Reader>(&self, mut reader: R) -> Result<R, Error> {
        for row in self.ledger().await?.newest_first() {
            if reader.take(row).is_break() {
                break;
            }
        }
        Ok(reader)
    }

    pub(super) async fn renewals(&self, vm: VmUuid) -> Result<Vec<Renewal>, Error> {
        Ok(self.ledger().await?.renewals_of(vm))
    }

    async fn ledger(&self) -> Result<Ledger, Error> {
        patiently(|| {
            let path = Arc::clone(&self.path);
            blocking(move || sum(&path))
        })
        .await
    }
}

/// Entries as lines.
pub(crate) fn lines(entries: impl Iterator<Item = Entry>) -> Result<Vec<u8>, Error> {
    let mut lines = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut lines, &entry)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn open(path: &Path) -> Result<File, Error> {
    make_folder_of(path)?;
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path);
    opened.map_err(failed("opening", path))
}

fn append(path: &Path, lines: &[u8]) -> Result<(), Error> {
    let mut file = open(path)?;
    unless_locked(path, file.try_lock())?;
    let before = file.metadata().map_err(failed("reading", path))?.len();
    let written = append_whole(&mut file, lines);
    if written.is_err() {
        // All or nothing; should this fail too, the next writer closes what is left of the line.
        let _ = file.set_len(before);
    }
    written.map_err(failed("writing", path))
}

fn append_whole(file: &mut File, lines: &[u8]) -> io::Result<()> {
    if ends_in_half_a_line(file)? {
        file.write_all(&[b"\n", lines].concat())?;
    } else {
        file.write_all(lines)?;
    }
    file.sync_data()
}

fn ends_in_half_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Reads the file as far as it was written when its lock was had, so that writers need not wait for readers.
fn sum(path: &Path) -> Result<Ledger, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
        Err(error) => return Err(failed("opening", path)(error)),
    };
    unless_locked(path, file.try_lock_shared())?;
    let written = file
        .metadata()
        .and_then(|metadata| file.unlock().map(|()| metadata.len()));
    let written = written.map_err(failed("reading", path))?;
    let mut ledger = Ledger::default();
    let mut unreadable = 0_u64;
    for line in BufReader::new(file.take(written)).split(b'\n') {
        match serde_json::from_slice(&line.map_err(failed("reading", path))?) {
            Ok(entry) => ledger.tell(&entry),
            Err(_) => unreadable += 1,
        }
    }
    if unreadable > 0 {
        tracing::warn!(path = %path.display(), lines = unreadable, "lines of the history cannot be read");
    }
    Ok(ledger)
}

fn unless_locked(path: &Path, locked: Result<(), TryLockError>) -> Result<(), Error> {
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::Busy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("locking", path)(error)),
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::File { doing, path, source }
}
