//! Where commands are run: a folder of their own, two simulated model servers, and an agent that watches them.

use std::{
    env, fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::blocks::root;

/// How long a server must have served before it is stopped.
const SERVES: Duration = Duration::from_secs(2);

/// Ended when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) struct Stage {
    folder: PathBuf,
    admin: u16,
    _servers: Vec<Server>,
}

impl Stage {
    /// Everything is up and the agent has looked at each model server once.
    pub(crate) fn start() -> Self {
        let folder = env::temp_dir().join(format!("zerohop-docs-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(folder.join("resources")).unwrap();
        let [models, sim_admin, grpc, admin] = free_ports();
        let agent = format!(
            "listen: {{grpc: 127.0.0.1:{grpc}, admin: 127.0.0.1:{admin}}}\npools:\n  - name: default\n    engine: vllm\n    \
             endpoints:\n      - address: 127.0.0.1:{models}\n      - address: 127.0.0.1:{}\n",
            models + 1
        );
        fs::write(folder.join("watching.yaml"), &agent).unwrap();
        // Of its own ports, since the one that watches has these.
        let [grpc, other] = free_ports();
        let own = format!("listen: {{grpc: 127.0.0.1:{grpc}, admin: 127.0.0.1:{other}}}\n");
        let pools = agent.split_once('\n').unwrap().1;
        fs::write(folder.join("agent.yaml"), own + pools).unwrap();
        let request = r#"{"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}"#;
        fs::write(folder.join("request.json"), request).unwrap();
        fs::copy(
            root().join("testdata/resources/complete.yaml"),
            folder.join("resources/complete.yaml"),
        )
        .unwrap();
        let models = [
            "--count",
            "2",
            "--base-port",
            &models.to_string(),
            "--admin-port",
            &sim_admin.to_string(),
        ]
        .map(str::to_owned);
        let watching = ["run", "--config", "watching.yaml"].map(str::to_owned);
        let servers = vec![
            serve(&folder, "model-sim", &models),
            serve(&folder, "zerohop-agent", &watching),
        ];
        let stage = Self {
            folder,
            admin,
            _servers: servers,
        };
        stage.wait_until_ready();
        stage
    }

    fn wait_until_ready(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !ready(self.admin) {
            assert!(
                Instant::now() < end,
                "the agent on the stage is not ready after a minute"
            );
            sleep(Duration::from_millis(100));
        }
    }

    /// The commands end well, in time.
    pub(crate) fn runs(&self, place: &str, script: &str, time: Duration) {
        let mut command = shell(&self.folder, script);
        command.env(
            "ZEROHOP_AGENT_ADMIN",
            format!("http://127.0.0.1:{}", self.admin),
        );
        finishes(place, script, command, time);
    }

    /// The command is at work until it is stopped.
    pub(crate) fn serves(&self, place: &str, line: &str) {
        // `exec`, so that the signal reaches the server and no shell around it.
        let mut child = shell(&self.folder, &format!("exec {line}"))
            .spawn()
            .unwrap();
        sleep(SERVES);
        let ended = child.try_wait().unwrap();
        let mut server = Server(child);
        if let Some(status) = ended {
            panic!(
                "{place}: `{line}` ended with {status}\n{}",
                output(&mut server.0)
            );
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The command ends well at the root of the repository, in time.
pub(crate) fn runs_at_the_root(place: &str, line: &str, time: Duration) {
    println!("{place}: {line}");
    finishes(place, line, shell(&root(), line), time);
}

fn finishes(place: &str, script: &str, mut command: Command, time: Duration) {
    let folder = env::temp_dir();
    let log = folder.join(format!("zerohop-docs-{}.log", std::process::id()));
    let file = fs::File::create(&log).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let mut server = Server(command.spawn().unwrap());
    let end = Instant::now() + time;
    let status = loop {
        if let Some(status) = server.0.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            break None;
        }
        sleep(Duration::from_millis(20));
    };
    let said = fs::read_to_string(&log).unwrap_or_default();
    fs::remove_file(&log).ok();
    match status {
        Some(status) if status.success() => {}
        Some(status) => panic!("{place}: {status}\n{script}\n{said}"),
        None => panic!("{place}: not done after {time:?}\n{script}\n{said}"),
    }
}

/// What cargo and make tell those that they start. A person's shell has none of it, and another cargo would
/// build everything anew for it.
fn is_of_this_run(variable: &str) -> bool {
    let prefixes = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "RUST_",
        "MAKE",
    ];
    let names = ["CARGO", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "MFLAGS"];
    names.contains(&variable) || prefixes.iter().any(|prefix| variable.starts_with(prefix))
}

fn shell(folder: &Path, script: &str) -> Command {
    let path = format!("{}:{}", programs().display(), env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    for (variable, _) in env::vars().filter(|(name, _)| is_of_this_run(name)) {
        command.env_remove(variable);
    }
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Where this test and the programs of the workspace were built.
fn programs() -> PathBuf {
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().to_owned();
    for program in ["zerohop-agent", "model-sim"] {
        assert!(
            folder.join(program).exists(),
            "{program} is not built: cargo build -p metrics-agent -p model-sim"
        );
    }
    folder
}

fn serve(folder: &Path, program: &str, arguments: &[String]) -> Server {
    let child = Command::new(programs().join(program))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Server(child)
}

fn output(child: &mut Child) -> String {
    let mut text = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut text).ok();
    }
    if let Some(err) = &mut child.stderr {
        err.read_to_string(&mut text).ok();
    }
    text
}

/// Ports that are free now, each with the next one.
fn free_ports<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let pair = (0..100).find_map(|_| {
            let one = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = one.local_addr().unwrap().port();
            let next = TcpListener::bind(("127.0.0.1", port.checked_add(1)?)).ok()?;
            Some((port, one, next))
        });
        let (free, one, next) = pair.unwrap();
        *port = free;
        held.push((one, next));
    }
    ports
}

fn ready(admin: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", admin)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let request = b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let mut answer = [0; 16];
    stream.write_all(request).is_ok()
        && stream.read(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}
