//! The first attack: what happened, what was found and why, who was told.
//!
//! Guarantees: what came last is visible, however many events an attack has.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::Theme;
use super::wrap::{columns, wrapped};
use crate::app::demo::model::{Entry, Model};
use crate::app::demo::plain::{action, last_seen, usual, whom};
use crate::app::demo::words::clock;
use crate::detect::document::AlertDocument;

/// Columns of a bar that is a whole.
const BAR_COLUMNS: f64 = 10.0;

pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let scene = model.story.scene.and_then(|at| model.scenes.get(at));
    let title = match scene.filter(|_| !model.story.entries.is_empty()) {
        Some(scene) => format!("The first attack: {} of {}", scene.kind, whom(scene)),
        None => "The first attack".to_owned(),
    };
    let block = theme.block(&title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let wide = usize::from(inner.width);
    if model.story.entries.is_empty() {
        let waits = Line::styled("Nothing yet: people go about their day.", theme.faint());
        frame.render_widget(Paragraph::new(waits), inner);
        return;
    }
    let rows = usize::from(inner.height);
    let whole = lines(model, true, wide, theme);
    let lines = if whole.len() <= rows { whole } else { lines(model, false, wide, theme) };
    let hidden = lines.len().saturating_sub(rows);
    // An attack of many events shows its end.
    let shown: Vec<Line<'_>> = lines.into_iter().skip(hidden).collect();
    frame.render_widget(Paragraph::new(shown), inner);
}

/// All of it, with explanations or in brief.
fn lines(model: &Model, with_texts: bool, wide: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for entry in &model.story.entries {
        match entry {
            Entry::Step(step) => step_lines(&mut lines, &clock(step.time), &step.text, wide, theme),
            Entry::Alert(alert, latency_ms) => alert_lines(&mut lines, alert, *latency_ms, with_texts, wide, theme),
        }
    }
    told(&mut lines, model, theme);
    lines
}

fn step_lines(lines: &mut Vec<Line<'static>>, time: &str, text: &str, wide: usize, theme: Theme) {
    for (nth, part) in wrapped(text, wide.saturating_sub(7)).into_iter().enumerate() {
        let time = if nth == 0 { format!("{time}  ") } else { " ".repeat(7) };
        lines.push(Line::from(vec![Span::styled(time, theme.faint()), Span::styled(part, theme.strong())]));
    }
}

fn alert_lines(
    lines: &mut Vec<Line<'static>>,
    alert: &AlertDocument,
    latency_ms: u64,
    with_texts: bool,
    wide: usize,
    theme: Theme,
) {
    let band = theme.band(alert.band);
    let mut head = vec![Span::raw("       "), Span::styled(format!("▲ {} {}", alert.score, alert.band.word()), band)];
    if let Some(action) = action(alert.action) {
        head.push(Span::raw(format!("  {action}")));
    }
    head.push(Span::styled(format!("  after {latency_ms} ms"), theme.faint()));
    lines.push(Line::from(head));
    for finding in &alert.findings {
        let bar = "■".repeat((finding.share * BAR_COLUMNS).round() as usize);
        let mut spans = vec![
            Span::raw(format!("       {:>3.0} % ", finding.share * 100.0)),
            Span::styled(bar, band),
            Span::raw(format!(" {}", finding.rule)),
        ];
        let used: usize = spans.iter().map(|span| columns(&span.content)).sum();
        if used > wide {
            // The name says more than the bar.
            spans.remove(1);
        }
        lines.push(Line::from(spans));
        if with_texts {
            for text in wrapped(&finding.text, wide.saturating_sub(13)) {
                lines.push(Line::styled(format!("             {text}"), theme.faint()));
            }
        }
    }
    let known = [("usually", usual(alert)), ("last seen", last_seen(alert))];
    for (name, text) in known.into_iter().filter(|_| with_texts) {
        if let Some(text) = text {
            lines.push(Line::styled(format!("       {name}: {text}"), theme.faint()));
        }
    }
}

/// Who was told.
fn told(lines: &mut Vec<Line<'static>>, model: &Model, theme: Theme) {
    let (mails, texts) = (model.story.mails.len(), model.story.texts.len());
    if mails + texts == 0 {
        return;
    }
    let mut said = Vec::new();
    if mails > 0 {
        said.push(if mails == 1 { "a mail".to_owned() } else { format!("{mails} mails") });
    }
    if texts > 0 {
        said.push(if texts == 1 { "an SMS".to_owned() } else { format!("{texts} SMS") });
    }
    lines.push(Line::styled(format!("       ✓ the owner has {}", said.join(" and ")), theme.good()));
}
