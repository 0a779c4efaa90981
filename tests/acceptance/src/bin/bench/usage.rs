//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// What a process has used up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// The time on a CPU of all threads, in user and in kernel mode.
    pub(crate) cpu: Duration,
    /// The greatest memory so far.
    pub(crate) peak_kib: u64,
}

impl Used {
    /// Both together: the sum of the times, the greater of the peaks.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            peak_kib: self.peak_kib.max(other.peak_kib),
        }
    }
}

/// What a process has used; none once it has ended.
pub(crate) fn used(pid: u32) -> Option<Used> {
    Some(Used {
        peak_kib: peak_kib(pid)?,
        // One that has only just been started has had no time yet.
        cpu: cpu(pid).unwrap_or_default(),
    })
}

/// The same in one read however many threads a process has, with the time in hundredths of a second.
pub(crate) fn used_roughly(pid: u32) -> Option<Used> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, brackets too. Behind it: state, then ten numbers, then the time in user and in kernel mode.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.collect::<Result<Vec<u64>, _>>().ok()?.into_iter().sum();
    Some(Used {
        peak_kib: peak_kib(pid)?,
        cpu: Duration::from_millis(ticks * 10),
    })
}

/// The greatest memory of a process so far, in KiB; none once it has ended.
pub(crate) fn peak_kib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| *name == "VmHWM")?;
    value.split_whitespace().next()?.parse().ok()
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

/// KiB as MiB; infinite beyond 4 TiB.
pub(crate) fn mebibytes(kib: u64) -> f64 {
    u32::try_from(kib).map_or(f64::INFINITY, f64::from) / 1024.0
}
