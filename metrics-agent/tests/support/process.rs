//! The real binary, and model servers that only have a metrics page.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Runs the binary to its end.
pub(crate) fn agent(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zerohop-agent"))
        .args(args)
        .output()
        .unwrap()
}

/// A fresh directory that goes with this value.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zerohop-agent-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces the file at once, as editors and the kubelet do.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let (new, path) = (self.path(".new"), self.path(name));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The running agent; it is killed with this value unless it ended before.
pub(crate) struct Running {
    child: Child,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
}

impl Running {
    pub(crate) fn start(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zerohop-agent"))
            .args(["run", "--log-format", "json", "--config"])
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (grpc, admin) = loop {
            let line = lines.next().expect("the agent starts").unwrap();
            let line: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            let address = |name| line["fields"][name].as_str()?.parse().ok();
            if let (Some(grpc), Some(admin)) = (address("grpc"), address("admin")) {
                break (grpc, admin);
            }
        };
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("every log line is JSON");
                kept.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            grpc,
            admin,
            log,
        }
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &process]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the process to end.
    pub(crate) fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while started.elapsed() < within {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }

    /// Asks until the answer suits, at most 10 s.
    pub(crate) async fn until(&self, path: &str, suits: impl Fn(u16, &str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let (status, body) = self.get(path).await;
            if suits(status, &body) {
                return body;
            }
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{path} says {status} {body}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a model server does when it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// A page of vLLM with this queue.
    Queue(u32),
    /// Takes the request and never answers.
    Hang,
}

/// A model server of this process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    pub(crate) asked: Arc<AtomicU64>,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            asked: Arc::default(),
        };
        let (behaviour, asked) = (Arc::clone(&server.behaviour), Arc::clone(&server.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&behaviour), Arc::clone(&asked)));
            }
        });
        server
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, behaviour: Arc<Mutex<Behaviour>>, asked: Arc<AtomicU64>) {
    let mut request = [0; 4096];
    while let Ok(read) = stream.read(&mut request).await {
        if read == 0 {
            return;
        }
        let metrics = request.starts_with(b"GET /metrics");
        asked.fetch_add(u64::from(metrics), Ordering::Relaxed);
        let behaviour = behaviour.lock().unwrap().clone();
        let (status, body) = match (metrics, behaviour) {
            (true, Behaviour::Queue(queue)) => ("200 OK", page(queue)),
            (true, Behaviour::Hang) => return std::future::pending().await,
            (false, _) => ("404 Not Found", String::new()),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=1.0.0\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn page(queue: u32) -> String {
    format!(
        "process_start_time_seconds 1.79534989961e+09\n\
         vllm:num_requests_running{{engine=\"0\",model_name=\"m\"}} 0.0\n\
         vllm:num_requests_waiting{{engine=\"0\",model_name=\"m\"}} {queue}.0\n\
         vllm:kv_cache_usage_perc{{engine=\"0\",model_name=\"m\"}} 0.25\n"
    )
}
