//! The live screen.

use std::time::Duration;

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Alignment, Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Cell, Paragraph, Row, Table},
};

use super::{
    Latest, Source, TopError,
    rows::{HEADS, Order, cells, figures, history},
};
use crate::{
    fetch::printable,
    status::{PodStatus, PoolStatus, Status},
};

/// How soon a key is heard.
const POLL: Duration = Duration::from_millis(100);

/// What is on the screen.
#[derive(Debug, Default)]
pub(super) struct Screen {
    status: Status,
    /// Why the agent does not answer; what is shown is old then.
    trouble: Option<String>,
    pool: usize,
    order: Order,
    /// Pods that are scrolled out at the top.
    skipped: usize,
    is_over: bool,
}

/// Draws until q is pressed.
pub(super) fn show(
    terminal: &mut DefaultTerminal,
    source: &Source,
    pool: Option<&str>,
) -> Result<(), TopError> {
    let mut screen = Screen::default();
    let mut wanted = pool;
    while !screen.is_over() {
        while let Ok(latest) = source.try_recv() {
            screen.take(latest);
            if let Some(name) = wanted.take() {
                screen.choose(name);
            }
        }
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(POLL)?
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
        {
            screen.press(key);
        }
    }
    Ok(())
}

impl Screen {
    pub(super) fn take(&mut self, latest: Latest) {
        match latest {
            Ok(status) => {
                self.status = status;
                self.trouble = None;
            }
            Err(error) => self.trouble = Some(error.to_string()),
        }
        self.pool = self.pool.min(self.status.pools.len().saturating_sub(1));
    }

    fn choose(&mut self, name: &str) {
        let mut pools = self.status.pools.iter();
        self.pool = pools.position(|pool| pool.name == name).unwrap_or(0);
    }

    pub(super) fn press(&mut self, key: KeyEvent) {
        let pods = self.pool().map_or(0, |pool| pool.pods.len());
        let pools = self.status.pools.len().max(1);
        let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_interrupt => self.is_over = true,
            KeyCode::Char('q') | KeyCode::Esc => self.is_over = true,
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('p') | KeyCode::Tab => {
                self.pool = (self.pool + 1) % pools;
                self.skipped = 0;
            }
            KeyCode::Down | KeyCode::Char('j') => self.skipped += 1,
            KeyCode::Up | KeyCode::Char('k') => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped += 20,
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(20),
            KeyCode::Home => self.skipped = 0,
            KeyCode::End => self.skipped = pods,
            _ => {}
        }
        self.skipped = self.skipped.min(pods.saturating_sub(1));
    }

    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    fn pool(&self) -> Option<&PoolStatus> {
        self.status.pools.get(self.pool)
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let areas = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(1),
            Constraint::Length(1),
        ]);
        let [title, summary, table, keys] = areas.areas(frame.area());
        frame.render_widget(self.title(), title);
        if let Some(pool) = self.pool() {
            frame.render_widget(Paragraph::new(figures(pool)), summary);
            frame.render_widget(self.table(pool), table);
        }
        let keys_line = format!(
            " q quit   s sort: {}   p pool   arrows scroll",
            self.order.as_str()
        );
        frame.render_widget(Paragraph::new(keys_line).style(dim()), keys);
    }

    fn title(&self) -> Paragraph<'_> {
        let name = self.pool().map(|pool| printable(&pool.name));
        let mut parts = vec![
            Span::styled(
                format!("{} ", printable(&self.status.agent)),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::raw(match name {
                Some(name) => format!(
                    " pool {name} ({}/{}) ",
                    self.pool + 1,
                    self.status.pools.len()
                ),
                None => " no pool ".to_owned(),
            }),
        ];
        if let Some(trouble) = &self.trouble {
            parts.push(Span::styled(format!(" OLD: {trouble}"), alarm()));
        } else if let Some(problem) = self.status.problems.first() {
            parts.push(Span::styled(
                format!(" NOT READY: {}", printable(problem)),
                alarm(),
            ));
        }
        Paragraph::new(Line::from(parts))
    }

    fn table(&self, pool: &PoolStatus) -> Table<'_> {
        let pods = self.order.sort(pool);
        let rows = pods.into_iter().skip(self.skipped).map(row);
        let rows: Vec<Row<'_>> = rows.collect();
        let widths = HEADS.iter().enumerate().map(|(at, (_, width))| match at {
            0 => Constraint::Min(8),
            _ => Constraint::Length(*width as u16),
        });
        let heads = HEADS
            .iter()
            .enumerate()
            .map(|(at, (head, _))| aligned(at, (*head).to_owned()));
        Table::new(rows, widths)
            .header(Row::new(heads).style(dim()))
            .column_spacing(1)
    }
}

fn row(pod: &PodStatus) -> Row<'static> {
    let style = match pod.state.as_str() {
        "ready" => Style::new(),
        "suspect" => alarm(),
        _ => dim(),
    };
    let cells = cells(pod).into_iter().enumerate();
    let mut cells: Vec<Cell<'static>> = cells.map(|(at, cell)| aligned(at, cell)).collect();
    let history = history(&pod.load, HEADS.last().map_or(0, |(_, width)| *width));
    let bars = history.into_iter().map(|(bar, saturated)| {
        Span::styled(
            bar.to_string(),
            if saturated {
                alarm()
            } else {
                Style::new().fg(Color::Cyan)
            },
        )
    });
    cells.push(Cell::from(Line::from(bars.collect::<Vec<_>>())));
    Row::new(cells).style(style)
}

fn aligned(at: usize, text: String) -> Cell<'static> {
    let alignment = if (2..8).contains(&at) {
        Alignment::Right
    } else {
        Alignment::Left
    };
    Cell::from(Text::from(text).alignment(alignment))
}

const fn alarm() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

const fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
