//! The picture on a terminal: what the model knows, as one frame.
//!
//! Guarantees: pure, state in and frame out; readable from 80×24 on, without colours too; texts are measured in
//! columns, so Chinese stands straight. Does not own the terminal.

mod board;
mod phone;
mod story;
#[cfg(test)]
mod tests;
pub mod wrap;

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Padding, Paragraph};

use super::model::{Model, Stage};
use super::words::{day_and_clock, learning, thousands};
use crate::ruleset::Band;

/// Less than this cannot hold the picture.
const COLUMNS_MIN: u16 = 60;
const ROWS_MIN: u16 = 20;
/// Columns of the telephone.
const PHONE_COLUMNS: u16 = 32;
/// Rows of the board.
const BOARD_ROWS: u16 = 10;
/// From so many rows on the newest alerts have a place of their own.
const RECENT_ROWS_FROM: u16 = 34;

/// The styles.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    is_colored: bool,
}

impl Theme {
    /// With colours, or with bold and dim alone.
    pub fn new(is_colored: bool) -> Self {
        Theme { is_colored }
    }

    fn color(self, color: Color) -> Style {
        if self.is_colored { Style::new().fg(color) } else { Style::new() }
    }

    fn title(self) -> Style {
        self.color(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    fn faint(self) -> Style {
        // Bright black, which others call grey, is the very background in some palettes.
        Style::new().add_modifier(Modifier::DIM)
    }

    fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn good(self) -> Style {
        self.color(Color::Green)
    }

    fn bad(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn busy(self) -> Style {
        self.color(Color::Yellow)
    }

    fn band(self, band: Band) -> Style {
        match band {
            Band::Critical | Band::High => self.bad(),
            Band::Medium => self.busy().add_modifier(Modifier::BOLD),
            Band::Low | Band::Info => self.faint(),
        }
    }

    fn block(self, title: &str) -> Block<'static> {
        Block::bordered()
            .border_type(BorderType::Rounded)
            .border_style(self.faint())
            .title(Line::from(Span::styled(format!(" {title} "), self.title())))
            .padding(Padding::horizontal(1))
    }
}

/// Draws the first frame, while nothing is known yet.
pub fn greet(frame: &mut Frame<'_>, theme: Theme) {
    let text = vec![
        Line::styled("walletwatch demo", theme.title()),
        Line::default(),
        Line::styled("An embedded Kafka, a mail server and an SMS gateway are starting.", theme.faint()),
        Line::styled("Then a wallet's day is played, with attacks in it.", theme.faint()),
    ];
    let [_, middle, _] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(4), Constraint::Fill(1)]).areas(frame.area());
    frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), middle);
}

/// Draws a frame.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let area = frame.area();
    if area.width < COLUMNS_MIN || area.height < ROWS_MIN {
        let said =
            format!("walletwatch demo: {:.0} %\nA terminal of 80×24 shows more. q ends.", model.day_part() * 100.0);
        frame.render_widget(Paragraph::new(said), area);
        return;
    }
    let recent_rows = if area.height >= RECENT_ROWS_FROM { (area.height - RECENT_ROWS_FROM + 5).min(11) } else { 0 };
    let [head, told, board, recent, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(10),
        Constraint::Length(BOARD_ROWS),
        Constraint::Length(recent_rows),
        Constraint::Length(1),
    ])
    .areas(area);
    header(frame, head, model, theme);
    let phone_columns = if area.width >= 100 { PHONE_COLUMNS + 6 } else { PHONE_COLUMNS };
    let [story, phone] = Layout::horizontal([Constraint::Min(30), Constraint::Length(phone_columns)]).areas(told);
    story::draw(frame, story, model, theme);
    phone::draw(frame, phone, model, theme);
    board::draw(frame, board, model, theme);
    if recent_rows > 0 {
        board::recent(frame, recent, model, theme);
    }
    footer(frame, foot, model, theme);
}

fn header(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let [line, bar] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let name = Line::from(vec![
        Span::styled(" walletwatch demo", theme.title()),
        Span::styled(format!("  a wallet of {} people", thousands(model.setting.people)), theme.faint()),
    ]);
    let clock = match model.stage {
        Stage::Learning => "before the day".to_owned(),
        Stage::Playing | Stage::Kept => day_and_clock(model.clock),
    };
    let clock = Line::from(vec![
        Span::styled(clock, theme.strong()),
        Span::styled(format!("  {}× ", super::pace::SPEED), theme.faint()),
    ]);
    frame.render_widget(Paragraph::new(name), line);
    frame.render_widget(Paragraph::new(clock).alignment(Alignment::Right), line);
    let (part, label) = match model.stage {
        Stage::Learning => (model.sent as f64 / model.setting.learning_records.max(1) as f64, learning(model)),
        Stage::Playing | Stage::Kept => (model.day_part(), format!("{:.0} % of the day", model.day_part() * 100.0)),
    };
    progress(frame, bar, part, &label, theme);
}

/// A line that fills up, and what it means.
fn progress(frame: &mut Frame<'_>, area: Rect, part: f64, label: &str, theme: Theme) {
    let columns = usize::from(area.width).saturating_sub(wrap::columns(label) + 4);
    let filled = ((columns as f64 * part.clamp(0.0, 1.0)).round() as usize).min(columns);
    let line = Line::from(vec![
        Span::styled(format!(" {}", "━".repeat(filled)), theme.title()),
        Span::styled("─".repeat(columns - filled), theme.faint()),
        Span::styled(format!("  {label}"), theme.faint()),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let text = match (model.stage, model.setting.http) {
        (Stage::Kept, Some(http)) => format!(" The day is over. Metrics: http://{http}/metrics   q ends it."),
        (Stage::Kept, None) => " The day is over. q ends it.".to_owned(),
        (Stage::Learning | Stage::Playing, _) => {
            " q ends it. Everything is invented; nothing leaves this machine.".to_owned()
        }
    };
    frame.render_widget(Paragraph::new(Span::styled(text, theme.faint())), area);
}
