//! What the kernel says of a process.

use std::fs;

use super::error::RigError;

/// Resident memory in KiB.
///
/// # Errors
/// When the process is gone.
pub fn resident_kib(process: u32) -> Result<u64, RigError> {
    status_kib(process, "VmRSS:")
}

/// The most resident memory that it ever had, in KiB.
///
/// # Errors
/// When the process is gone.
pub fn peak_resident_kib(process: u32) -> Result<u64, RigError> {
    status_kib(process, "VmHWM:")
}

fn status_kib(process: u32, field: &str) -> Result<u64, RigError> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).map_err(RigError::io(format!("read {path}")))?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|word| word.parse().ok());
    Ok(value.unwrap_or(0))
}

/// Nanoseconds of CPU that all threads of a process have used, from the scheduler's own account,
/// which is exact where tick-based counters are not.
///
/// # Errors
/// When the process is gone.
pub fn cpu_nanos(process: u32) -> Result<u64, RigError> {
    let path = format!("/proc/{process}/task");
    let tasks = fs::read_dir(&path).map_err(RigError::io(format!("read {path}")))?;
    Ok(tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum())
}

/// Everything that a process has started and that is alive, and what those have started.
#[must_use]
pub fn descendants(process: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // "id (name) state parent ...", where the name may hold anything.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            Some((id, parent.parse().ok()?))
        })
        .collect();
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(id, _)| *id));
        next += 1;
    }
    found.split_off(1)
}
