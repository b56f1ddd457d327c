//! What the kernel says about the broker: CPU time and memory, read from /proc.
//!
//! CPU time is that of the whole process (all threads, also those that ended) plus its children: those alive now and
//! those it has waited for. The kernel keeps it by the nanosecond and shows it in ticks of 10 ms, so a run of some
//! seconds is needed for three digits.

use std::fs;

use crate::sys;

/// CPU seconds since the process started.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct CpuTime {
    pub user_s: f64,
    pub system_s: f64,
}

impl CpuTime {
    pub fn total_s(self) -> f64 {
        self.user_s + self.system_s
    }

    #[must_use]
    pub fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime { user_s: self.user_s - earlier.user_s, system_s: self.system_s - earlier.system_s }
    }
}

/// Resident memory now and at its highest, KiB; of the process alone.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    pub resident_kib: u64,
    pub peak_kib: u64,
}

/// Fields of a /proc stat line after the command name, which may itself hold blanks and parentheses.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    Some(after_name.split_whitespace().map(str::to_owned).collect())
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        })
        .collect()
}

/// CPU time of a process and its descendants; an error when the process is gone.
pub fn cpu_time(pid: u32) -> Result<CpuTime, String> {
    let fields = stat_fields(pid).ok_or_else(|| format!("no process {pid}"))?;
    // utime, stime, cutime, cstime are fields 14 to 17 of the line; here the third one is index 0.
    let ticks =
        |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let per_second = sys::ticks_per_second();
    let mut time = CpuTime {
        user_s: (ticks(11) + ticks(13)) / per_second,
        system_s: (ticks(12) + ticks(14)) / per_second,
    };
    for child in children(pid) {
        if let Ok(more) = cpu_time(child) {
            time.user_s += more.user_s;
            time.system_s += more.system_s;
        }
    }
    Ok(time)
}

/// Memory of the process as /proc shows it; zero when it is gone.
pub fn memory(pid: u32) -> Memory {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok())
            .unwrap_or(0)
    };
    Memory { resident_kib: kib("VmRSS:"), peak_kib: kib("VmHWM:") }
}

/// Bytes that a process and its descendants gave the file system to write, since they started; `None` where the kernel does not tell.
pub fn written_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let own: u64 =
        text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?.trim().parse().ok()?;
    Some(own + children(pid).into_iter().filter_map(written_bytes).sum::<u64>())
}

/// CPU seconds that all processors together have spent working since boot, steal excluded.
pub fn machine_busy_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let Some(line) = text.lines().next() else { return 0.0 };
    let fields: Vec<f64> =
        line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    // user nice system idle iowait irq softirq
    let busy: f64 = [0, 1, 2, 5, 6].iter().filter_map(|index| fields.get(*index)).sum();
    busy / sys::ticks_per_second()
}

/// A moment of a run: what the broker, the generator and the machine had used by then.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub broker: Option<CpuTime>,
    pub generator: CpuTime,
    pub machine_busy_s: f64,
    pub written_bytes: Option<u64>,
}

/// Takes a sample; without pids of brokers their part is absent. A pid that is gone is an error: there is no score for it.
pub fn sample(brokers: &[u32]) -> Result<Sample, String> {
    let mut used = CpuTime::default();
    for pid in brokers {
        let time = cpu_time(*pid)?;
        used.user_s += time.user_s;
        used.system_s += time.system_s;
    }
    Ok(Sample {
        broker: (!brokers.is_empty()).then_some(used),
        generator: cpu_time(std::process::id())?,
        machine_busy_s: machine_busy_s(),
        written_bytes: brokers.iter().map(|pid| written_bytes(*pid)).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_its_own_work_and_memory() -> Result<(), String> {
        let before = cpu_time(std::process::id())?;
        let mut sum = 0_u64;
        while cpu_time(std::process::id())?.since(before).total_s() < 0.05 {
            sum = (0..100_000_u64).fold(sum, u64::wrapping_add);
        }
        assert!(sum > 0);
        assert!(memory(std::process::id()).peak_kib >= memory(std::process::id()).resident_kib / 2);
        assert!(machine_busy_s() > 0.0);
        Ok(())
    }

    #[test]
    fn a_missing_process_is_an_error() {
        assert!(cpu_time(u32::MAX).is_err());
        assert!(written_bytes(u32::MAX).is_none());
    }
}
