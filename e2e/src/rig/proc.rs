//! What the kernel says of a process.

use std::fs;

use super::error::RigError;

/// Resident memory in KiB.
///
/// # Errors
/// When the process is gone.
pub fn resident_kib(process: u32) -> Result<u64, RigError> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).map_err(RigError::io(format!("read {path}")))?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
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
