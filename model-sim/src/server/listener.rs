//! Accepts connections; closes the port and opens it again when told to.
//!
//! A closed port is held by a socket that is bound but does not listen: connections are refused
//! and nobody else can take the port meanwhile.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::connection;
use super::shared::{ListenerMode, Shared};

const BACKLOG: u32 = 4_096;

fn bound_socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    bound_socket(address)?.listen(BACKLOG)
}

/// Runs until the instance stops.
pub(crate) async fn run(shared: Arc<Shared>, mut listener: TcpListener) {
    let mut mode = shared.listener.subscribe();
    loop {
        accept_while_open(&shared, &listener, &mut mode).await;
        drop(listener);
        if *mode.borrow() == ListenerMode::Stop {
            break;
        }
        let held = bound_socket(shared.address);
        shared.restart_process();
        shared.reset_connections();
        shared.listening.send_replace(ListenerMode::Refuse);
        if mode
            .wait_for(|mode| *mode != ListenerMode::Refuse)
            .await
            .is_err()
            || *mode.borrow() == ListenerMode::Stop
        {
            break;
        }
        // The process starts now, so its start time is now.
        shared.restart_process();
        listener = match reopen(&shared, held).await {
            Some(listener) => listener,
            None => break,
        };
        shared.listening.send_replace(ListenerMode::Open);
    }
    shared.reset_connections();
    shared.listening.send_replace(ListenerMode::Stop);
}

async fn accept_while_open(
    shared: &Arc<Shared>,
    listener: &TcpListener,
    mode: &mut watch::Receiver<ListenerMode>,
) {
    loop {
        tokio::select! {
            () = changed_from_open(mode) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let kill = shared.kill.subscribe();
                    tokio::spawn(connection::serve(Arc::clone(shared), stream, peer, kill));
                }
                // Out of file descriptors, or the client left: wait a little and go on.
                Err(reason) => {
                    tracing::warn!(address = %shared.address, %reason, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
        }
    }
}

async fn changed_from_open(mode: &mut watch::Receiver<ListenerMode>) {
    // A closed channel means the same as a stop.
    mode.wait_for(|mode| *mode != ListenerMode::Open).await.ok();
}

/// Listens again; the port can be taken for a moment if holding it failed.
async fn reopen(shared: &Shared, held: io::Result<TcpSocket>) -> Option<TcpListener> {
    let mut opened = held.and_then(|socket| socket.listen(BACKLOG));
    for _ in 0..100 {
        match opened {
            Ok(listener) => return Some(listener),
            Err(reason) => {
                tracing::warn!(address = %shared.address, %reason, "cannot open the port again");
                tokio::time::sleep(Duration::from_millis(50)).await;
                opened = listen(shared.address);
            }
        }
    }
    None
}
