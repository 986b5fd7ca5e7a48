//! Many model servers that only have a metrics page, in a process of their own so that their CPU
//! time is not the agent's.

use std::{
    error::Error,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const ARGUMENT: &str = "--serve-metrics";
const PAGE: &[u8] =
    include_bytes!("../../../testdata/metrics/vllm-0.32.0-preempt-peak-num_requests_waiting.prom");
const WAITING: &[u8] = b"\nvllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} ";

/// The server process; it ends with this value.
pub(crate) struct Servers {
    child: Child,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) page_bytes: usize,
}

impl Servers {
    pub(crate) fn start(count: usize) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .env("SERVERS", count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or("the servers have no output")?;
        let lines = BufReader::new(output).lines().take(count);
        let addresses = lines
            .map(|line| Ok(line?.parse()?))
            .collect::<Result<Vec<SocketAddr>, Box<dyn Error>>>()?;
        Ok(Self {
            child,
            addresses,
            page_bytes: PAGE.len(),
        })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The server process: prints its addresses, serves until its standard input ends.
pub(crate) fn serve() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::var("SERVERS")?.parse()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let page: Arc<[u8]> = response().into();
            for _ in 0..count {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                println!("{}", listener.local_addr()?);
                tokio::spawn(accept(listener, Arc::clone(&page)));
            }
            // The parent holds the other end; when it dies, however it dies, this process goes too.
            let parent = tokio::task::spawn_blocking(|| {
                std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
            });
            parent.await??;
            Ok(())
        })
}

fn response() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\n\
         content-length: {}\r\ncontent-type: text/plain; version=1.0.0; charset=utf-8\r\n\r\n",
        PAGE.len()
    );
    [head.as_bytes(), PAGE].concat()
}

async fn accept(listener: TcpListener, page: Arc<[u8]>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&page)));
    }
}

/// Answers every request with the page and another queue each time, so that there is news.
async fn connection(mut stream: TcpStream, page: Arc<[u8]>) {
    drop(stream.set_nodelay(true));
    let mut page = page.to_vec();
    let waiting = page
        .windows(WAITING.len())
        .position(|window| window == WAITING)
        .map(|start| start + WAITING.len());
    let mut request = [0u8; 4096];
    let mut served = 0u32;
    // Requests of the agent fit into one read.
    while let Ok(read) = stream.read(&mut request).await {
        if read == 0 {
            return;
        }
        served += 1;
        let queue = format!("{:02}", 10 + served % 90);
        if let Some(place) = waiting.and_then(|at| page.get_mut(at..at + queue.len())) {
            place.copy_from_slice(queue.as_bytes());
        }
        if stream.write_all(&page).await.is_err() {
            return;
        }
    }
}
