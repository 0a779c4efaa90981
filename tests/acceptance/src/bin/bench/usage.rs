//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// The greatest memory of a process so far, in KiB; none once it has ended.
pub(crate) fn peak_kib(pid: u32) -> Option<u64> {
    status(pid, "VmHWM")
}

/// The process that started this one.
pub(crate) fn parent(pid: u32) -> Option<u64> {
    status(pid, "PPid")
}

/// The time on a CPU of all threads that a process has, in user and in kernel mode; none once it has ended.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let times = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    let nanoseconds: u64 = times.sum();
    (nanoseconds > 0).then(|| Duration::from_nanos(nanoseconds))
}

/// A number in the status of a process.
fn status(pid: u32, field: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| *name == field)?;
    value.split_whitespace().next()?.parse().ok()
}

/// KiB as MiB; infinite beyond 4 TiB.
pub(crate) fn mebibytes(kib: u64) -> f64 {
    u32::try_from(kib).map_or(f64::INFINITY, f64::from) / 1024.0
}
