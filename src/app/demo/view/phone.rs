//! The telephone of the first attack's victim, with the text message on it.
//!
//! Guarantees: a text that does not fit is shown from its beginning. Shows the newest message.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Padding, Paragraph};

use super::Theme;
use super::wrap::wrapped;
use crate::app::demo::model::Model;

pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let newest = model.story.texts.last();
    let title = newest.map_or_else(|| "SMS".to_owned(), |text| format!("SMS to {}", text.to));
    let block = theme.block(&title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(message) = newest else {
        frame.render_widget(Paragraph::new(Line::styled("No message.", theme.faint())), inner);
        return;
    };
    let bubble =
        Block::bordered().border_type(BorderType::Rounded).border_style(theme.good()).padding(Padding::horizontal(1));
    let in_bubble = bubble.inner(inner);
    let lines = wrapped(&message.text, usize::from(in_bubble.width));
    if lines.len() > usize::from(in_bubble.height) {
        // The text is worth more than its frame.
        let lines = wrapped(&message.text, usize::from(inner.width));
        frame.render_widget(Paragraph::new(shown(lines)), inner);
        return;
    }
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(inner.height);
    let at = Rect { height: rows, ..inner };
    let text = bubble.inner(at);
    frame.render_widget(bubble, at);
    frame.render_widget(Paragraph::new(shown(lines)), text);
    if inner.height > rows + 1 {
        let below = Rect { y: inner.y + rows, height: 1, ..inner };
        let said = Line::styled("No link, no number to call.", theme.faint());
        frame.render_widget(Paragraph::new(said), below);
    }
}

fn shown(lines: Vec<String>) -> Vec<Line<'static>> {
    lines.into_iter().map(|line| Line::from(Span::raw(line))).collect()
}
