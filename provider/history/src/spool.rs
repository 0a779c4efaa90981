//! The spool: a folder in which entries wait while their sink is down.
//!
//! ```text
//! lock                           held while a process uses the spool
//! 00000000000000000007.jsonl     sealed: nothing more is written to it; delivered as one batch, then removed
//! 00000000000000000008.jsonl     open: entries are appended, each with one write
//! ```
//!
//! A segment is sealed when it is full, when it is to be delivered, and when the process ends in whatever way: the next one
//! begins a new segment, so a line that was cut off can only be the last of its segment. Between delivery and removal a
//! process may die; then the batch is delivered again, which the merge rule makes harmless.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::row::Entry;
use crate::sink::{lines, make_folder};

/// The size at which a segment is full: some five hundred entries, delivered and held in memory together.
const FULL: u64 = 256 * 1024;

/// The ending of segments, and of those kept aside because of lines that cannot be read.
const SEGMENT: &str = "jsonl";
const UNREADABLE: &str = "unreadable";

/// A folder in which entries wait. Its functions block their thread for as long as the disk takes.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    writer: Mutex<Writer>,
    /// Holds the lock while it is open.
    _lock: File,
}

#[derive(Debug)]
struct Writer {
    next: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    number: u64,
    file: File,
    bytes: u64,
}

/// The oldest entries of a spool, to be delivered together.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Whole lines that could not be read.
    unreadable: u64,
}

impl Segment {
    /// The entries, in the order in which they came.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// As how many the segment's entries were counted while they waited.
    pub(crate) fn counted(&self) -> u64 {
        u64::try_from(self.entries.len())
            .unwrap_or(u64::MAX)
            .saturating_add(self.unreadable)
    }
}

impl Spool {
    /// Opens the spool in a folder, which is made if need be.
    ///
    /// # Errors
    /// Another process uses the spool, or the folder cannot be used.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = folder.into();
        make_folder(&folder)?;
        let lock = lock(&folder)?;
        let next = numbers(&folder)?.last().map_or(1, |last| last + 1);
        Ok(Self {
            folder,
            writer: Mutex::new(Writer { next, open: None }),
            _lock: lock,
        })
    }

    /// Adds entries; when this returns, they outlive a power cut.
    ///
    /// # Errors
    /// The disk is full or broken; a part of the entries may have been added.
    pub fn append(&self, entries: &[Entry]) -> Result<(), Error> {
        self.push(entries)?;
        self.sync()
    }

    /// Adds entries; when this returns, they outlive the process.
    pub(crate) fn push(&self, entries: &[Entry]) -> Result<(), Error> {
        let lines = lines(entries.iter().cloned())?;
        let mut writer = self.writer();
        let mut open = match writer.open.take() {
            Some(open) if open.bytes < FULL => open,
            Some(_) | None => self.begin(&mut writer)?,
        };
        // After a write that failed the segment stays sealed: it may end in half a line.
        open.file
            .write_all(&lines)
            .map_err(failed("writing", &self.path_of(open.number)))?;
        open.bytes += u64::try_from(lines.len()).unwrap_or(FULL);
        writer.open = Some(open);
        Ok(())
    }

    /// Makes what was added outlive a power cut.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let open = self.writer().open.as_ref().map(|open| open.file.try_clone());
        if let Some(file) = open {
            let synced = file.and_then(|file| file.sync_data());
            synced.map_err(failed("writing", &self.folder))?;
        }
        sync_folder(&self.folder)
    }

    /// The oldest segment; `None` when nothing waits. It stays until it is removed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn oldest(&self) -> Result<Option<Segment>, Error> {
        let Some(number) = numbers(&self.folder)?.first().copied() else {
            return Ok(None);
        };
        self.seal(number)?;
        let path = self.path_of(number);
        let bytes = fs::read(&path).map_err(failed("reading", &path))?;
        let (entries, unreadable) = parse(&bytes, &path);
        Ok(Some(Segment {
            path,
            entries,
            unreadable,
        }))
    }

    /// Removes a segment that was delivered. One that holds lines which cannot be read is kept aside, for a person.
    ///
    /// # Errors
    /// The file cannot be removed; the segment will be delivered again.
    pub fn remove(&self, segment: &Segment) -> Result<(), Error> {
        let path = &segment.path;
        let removed = if segment.unreadable > 0 {
            fs::rename(path, path.with_extension(UNREADABLE))
        } else {
            fs::remove_file(path)
        };
        removed.map_err(failed("removing", path))
    }

    /// How many entries wait.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn count(&self) -> Result<u64, Error> {
        let mut count = 0;
        for number in numbers(&self.folder)? {
            let path = self.path_of(number);
            let bytes = fs::read(&path).map_err(failed("reading", &path))?;
            let whole_lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            count += u64::try_from(whole_lines).unwrap_or(u64::MAX);
        }
        Ok(count)
    }

    fn begin(&self, writer: &mut Writer) -> Result<Open, Error> {
        let number = writer.next;
        let path = self.path_of(number);
        let made = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(failed("making", &path))?;
        writer.next += 1;
        Ok(Open { number, file, bytes: 0 })
    }

    /// Ends the writing to a segment.
    fn seal(&self, number: u64) -> Result<(), Error> {
        let open = self.writer().open.take_if(|open| open.number == number);
        if let Some(open) = open {
            open.file
                .sync_data()
                .map_err(failed("writing", &self.path_of(number)))?;
            sync_folder(&self.folder)?;
        }
        Ok(())
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.{SEGMENT}"))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let file = opened.map_err(failed("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::SpoolInUse {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(failed("locking", &path)(error)),
    }
}

/// The numbers of the segments, in order.
fn numbers(folder: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(folder).map_err(failed("reading", folder))? {
        let path = file.map_err(failed("reading", folder))?.path();
        let is_segment = path.extension().is_some_and(|ending| ending == SEGMENT);
        let number: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        numbers.extend(number.filter(|_| is_segment));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads a segment; says also how many whole lines could not be read.
fn parse(bytes: &[u8], path: &Path) -> (Vec<Entry>, u64) {
    let (whole, torn) = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => bytes.split_at(end + 1),
        None => (&[][..], bytes),
    };
    if !torn.is_empty() {
        tracing::warn!(path = %path.display(), "the last line of the spool was cut off and is left out");
    }
    let mut entries = Vec::new();
    let mut unreadable = 0_u64;
    for line in whole.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(entry) => entries.push(entry),
            Err(_) => unreadable += 1,
        }
    }
    if unreadable > 0 {
        tracing::warn!(path = %path.display(), lines = unreadable, "lines of the spool cannot be read and are kept aside");
    }
    (entries, unreadable)
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("writing", folder))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::ServerRow;
    use crate::samples::vm;

    fn entry(n: u8) -> Entry {
        Entry::Server(ServerRow::new(vm(n)))
    }

    fn drain(spool: &Spool) -> Vec<Entry> {
        let mut all = Vec::new();
        while let Some(segment) = spool.oldest().unwrap() {
            all.extend_from_slice(segment.entries());
            spool.remove(&segment).unwrap();
        }
        all
    }

    #[test]
    fn gives_back_in_order_what_came_across_segments_and_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let many = usize::try_from(FULL).unwrap() / 40;
        let spool = Spool::open(folder.path()).unwrap();
        spool.append(&[entry(1), entry(2)]).unwrap();
        for _ in 0..3 {
            spool.append(&vec![entry(3); many]).unwrap();
        }
        drop(spool);
        let spool = Spool::open(folder.path()).unwrap();
        spool.append(&[entry(4)]).unwrap();
        assert!(numbers(folder.path()).unwrap().len() >= 3);
        assert_eq!(spool.count().unwrap(), 3 + 3 * u64::try_from(many).unwrap());
        let all = drain(&spool);
        assert_eq!(all.len(), 3 + 3 * many);
        assert_eq!(
            (&all[0], &all[1], &all[2], all.last().unwrap()),
            (&entry(1), &entry(2), &entry(3), &entry(4))
        );
        assert!(spool.oldest().unwrap().is_none());
    }

    #[test]
    fn what_was_not_removed_comes_again() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        spool.append(&[entry(1)]).unwrap();
        assert_eq!(spool.oldest().unwrap().unwrap().entries(), [entry(1)]);
        drop(spool);
        let spool = Spool::open(folder.path()).unwrap();
        spool.append(&[entry(2)]).unwrap();
        assert_eq!(drain(&spool), [entry(1), entry(2)]);
    }

    #[test]
    fn a_process_may_die_at_any_byte() {
        let whole = lines([entry(1), entry(2)].into_iter()).unwrap();
        let first = lines([entry(1)].into_iter()).unwrap().len();
        for cut in 0..=whole.len() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("00000000000000000001.jsonl"), &whole[..cut]).unwrap();
            let spool = Spool::open(folder.path()).unwrap();
            spool.append(&[entry(3)]).unwrap();
            let expect: &[Entry] = match cut {
                cut if cut < first => &[entry(3)],
                cut if cut < whole.len() => &[entry(1), entry(3)],
                _ => &[entry(1), entry(2), entry(3)],
            };
            assert_eq!(drain(&spool), expect, "cut at {cut}");
        }
    }

    #[test]
    fn lines_that_cannot_be_read_stop_nothing_and_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = b"{\"entry\":\"of a newer version\"}\n".to_vec();
        bytes.extend(lines([entry(1)].into_iter()).unwrap());
        fs::write(folder.path().join("00000000000000000001.jsonl"), &bytes).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(drain(&spool), [entry(1)]);
        let kept = folder.path().join("00000000000000000001.unreadable");
        assert_eq!(fs::read(kept).unwrap(), bytes);
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert!(matches!(Spool::open(folder.path()), Err(Error::SpoolInUse { .. })));
        drop(spool);
        assert!(Spool::open(folder.path()).is_ok());
    }
}
