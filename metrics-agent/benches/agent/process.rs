//! What Linux says of a process.

use std::{error::Error, fs};

/// CPU time of a process in seconds; the kernel counts in hundredths on every architecture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuSeconds {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

pub(crate) fn cpu_seconds(process: u32) -> Result<CpuSeconds, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command's name stands in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("no command in stat")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<f64, Box<dyn Error>> {
        Ok(fields.next().ok_or("too few fields in stat")?.parse()?)
    };
    Ok(CpuSeconds {
        user: ticks()? / 100.0,
        system: ticks()? / 100.0,
    })
}

/// The most memory that the process ever had resident, in MiB.
pub(crate) fn peak_rss_mib(process: u32) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("no VmHWM in status")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib / 1024.0)
}
