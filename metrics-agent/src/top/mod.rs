//! `zerohop-agent top`: the pools of a running agent in a terminal, live.
//!
//! ```text
//!   agent's /debug/status --every second--> Status --> rows --+--> screen (ratatui), until q
//!                                                             '--> plain text, once
//! ```

mod rows;
mod screen;

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use crate::{
    args::TopArgs,
    fetch::{AdminClient, FetchError},
    status::Status,
};

const PERIOD: Duration = Duration::from_secs(1);
/// Columns of output that is no terminal.
const PLAIN_WIDTH: usize = 80;

/// Why there is nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum TopError {
    /// The agent does not answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The answer is not what this build's agent would say.
    #[error("the agent answered what is not understood here, it may be of another version: {0}")]
    Answer(#[from] serde_json::Error),
    /// The terminal fails.
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// What the agent said last, or why it did not.
type Latest = Result<Status, TopError>;

/// Shows the pools until somebody presses q; once, and as plain text, where nobody can.
///
/// # Errors
/// When the agent or the terminal fails; a running screen only tells of an agent that does not answer.
pub fn run(args: &TopArgs) -> Result<(), TopError> {
    let agent = AdminClient::new(&args.agent)?;
    if args.once || !io::stdout().is_terminal() {
        let status = fetch(&agent)?;
        let text = rows::plain(&status, args.pool.as_deref(), PLAIN_WIDTH);
        return Ok(io::stdout().write_all(text.as_bytes())?);
    }
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || follow(&agent, &sender));
    let mut terminal = ratatui::try_init()?;
    let shown = screen::show(&mut terminal, &receiver, args.pool.as_deref());
    ratatui::try_restore()?;
    shown
}

fn fetch(agent: &AdminClient) -> Latest {
    Ok(serde_json::from_slice(&agent.get("/debug/status")?)?)
}

/// Asks every second, until nobody listens.
fn follow(agent: &AdminClient, sender: &SyncSender<Latest>) {
    while sender.send(fetch(agent)).is_ok() {
        thread::sleep(PERIOD);
    }
}

type Source = Receiver<Latest>;

#[cfg(test)]
mod tests;
