//! A child process with a captured log, ended when it is dropped.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::error::RigError;

/// How many lines of the log and of the other output an error shows.
const LOG_LINES: usize = 40;
const OUTPUT_LINES: usize = 10;

/// A running child process. Dropping it kills it, also while it is stopped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// The signals that the tests send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ask for a graceful end.
    Terminate,
    /// Freeze.
    Stop,
    /// Thaw.
    Continue,
}

impl Process {
    /// Starts `program` with what it writes to standard error appended to `log`, and its other
    /// output to a file beside it.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        log: &Path,
    ) -> Result<Self, RigError> {
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().copied());
        Self::run(name, &mut command, log)
    }

    /// The same from a command that has everything but its input and outputs.
    ///
    /// # Errors
    /// When the log cannot be opened or the program cannot be started.
    pub fn run(name: &str, command: &mut Command, log: &Path) -> Result<Self, RigError> {
        let open = |path: &Path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(RigError::io(format!("open {}", path.display())))
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&log.with_extension("out"))?)
            .stderr(open(log)?)
            .spawn()
            .map_err(RigError::io(format!(
                "start {}",
                command.get_program().display()
            )))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Everything it has written to standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.log.with_extension("out"))
    }

    /// The exit status once it has ended.
    pub fn ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Sends a signal. The shell's `kill` does it, which every system has and which needs no unsafe
    /// code here.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), RigError> {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        let script = format!("kill -{name} {}", self.child.id());
        if shell(&script)? {
            Ok(())
        } else {
            Err(self.failure(format!("cannot be signalled: `{script}` failed")))
        }
    }

    /// Kills it and waits for its end, which frees its ports.
    pub fn kill(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Kills it and everything that it has started, as the end of a container does.
    pub fn kill_family(&mut self) {
        // Asked before the kill, which would leave the children to another parent; and before the
        // wait, so that the number still is ours.
        let family = super::proc::descendants(self.child.id());
        self.kill();
        for member in family {
            // Fails when it has ended with its parent.
            shell(&format!("kill -KILL {member} 2>/dev/null")).ok();
        }
    }

    /// Asks it to end and waits for that at most `limit`, then kills it and everything that it has
    /// started. A server that ends by itself also waits for what it has started.
    pub fn end(&mut self, limit: Duration) {
        let deadline = std::time::Instant::now() + limit;
        let asked = self.ended().is_none() && self.signal(Signal::Terminate).is_ok();
        while asked && self.ended().is_none() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill_family();
    }

    /// Gives it and everything that it has started the lowest priority there is.
    ///
    /// # Errors
    /// When that is refused.
    pub fn lower_priority(&self) -> Result<(), RigError> {
        let mut family = super::proc::descendants(self.child.id());
        family.push(self.child.id());
        for member in family {
            // Each thread has a priority of its own.
            let script = format!("renice -n 19 -p $(ls /proc/{member}/task) >/dev/null");
            if !shell(&script)? {
                return Err(self.failure(format!("`{script}` failed")));
            }
        }
        Ok(())
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<String, RigError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(self.failure(format!("has not ended within {limit:?}")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// An error about this process with the end of its log.
    #[must_use]
    pub fn failure(&self, problem: impl Into<String>) -> RigError {
        let mut log = tail(&self.output(), OUTPUT_LINES);
        log.push_str(&tail(&self.log(), LOG_LINES));
        RigError::Process {
            name: self.name.clone(),
            problem: problem.into(),
            log,
        }
    }
}

fn shell(script: &str) -> Result<bool, RigError> {
    Command::new("sh")
        .args(["-c", script])
        .status()
        .map(|status| status.success())
        .map_err(RigError::io(script))
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tail(text: &str, lines: usize) -> String {
    let skip = text.lines().count().saturating_sub(lines);
    let kept = text.lines().skip(skip);
    kept.flat_map(|line| [line, "\n"]).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("{}", self.failure("was running when the test failed"));
        }
    }
}
