//! Many model servers that only tell of themselves: a short metrics page and a list of models.

use std::{fmt::Write as _, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::rig::RigError;

const PAGE: &str = "# TYPE vllm:num_requests_running gauge\n\
    vllm:num_requests_running{model_name=\"base\"} 1\n\
    # TYPE vllm:num_requests_waiting gauge\n\
    vllm:num_requests_waiting{model_name=\"base\"} 0\n\
    # TYPE vllm:kv_cache_usage_perc gauge\n\
    vllm:kv_cache_usage_perc{model_name=\"base\"} 0.25\n";

/// Starts so many on free ports, each with so many adapters, for the life of the process.
///
/// # Errors
/// When no port can be bound.
pub async fn start(count: usize, adapters: usize) -> Result<Vec<SocketAddr>, RigError> {
    let mut models = "{\"object\":\"list\",\"data\":[{\"id\":\"base\",\"parent\":null}".to_owned();
    for index in 0..adapters {
        // Writing to a String cannot fail.
        write!(
            models,
            ",{{\"id\":\"adapter-{index}\",\"parent\":\"base\"}}"
        )
        .ok();
    }
    models.push_str("]}");
    let answers: Arc<[String; 2]> = Arc::new([
        answer("text/plain; version=0.0.4", PAGE),
        answer("application/json", &models),
    ]);
    let mut addresses = Vec::with_capacity(count);
    for _ in 0..count {
        let bound = TcpListener::bind("127.0.0.1:0").await;
        let listener = bound.map_err(RigError::io("bind a pod's port"))?;
        let address = listener
            .local_addr()
            .map_err(RigError::io("name a pod's port"))?;
        addresses.push(address);
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers)));
            }
        });
    }
    Ok(addresses)
}

fn answer(kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Answers requests without a body, one after the other.
async fn serve(mut stream: TcpStream, answers: Arc<[String; 2]>) {
    let mut request = Vec::new();
    let mut buffer = [0; 1_024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        request.extend(buffer.iter().take(read));
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let [page, models] = &*answers;
        let text = if request.starts_with(b"GET /v1/models") {
            models
        } else {
            page
        };
        request.clear();
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}
