//! The first attack: what happened, what was found and why, who was told.
//!
//! Guarantees: what came last is visible, however many events an attack has.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::Theme;
use super::wrap::{shortened, wrapped};
use crate::app::demo::model::{Entry, Model};
use crate::app::demo::words::{action, clock, count, last_seen, usual, whom};
use crate::detect::document::AlertDocument;

/// Columns of a bar that is a whole; half of them where there is less room.
const BAR_COLUMNS: f64 = 10.0;
const WIDE_FROM: usize = 60;
/// What stands before everything but times.
const INDENT: &str = "       ";

pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let scene = model.story.scene.and_then(|at| model.scenes.get(at));
    let title = match scene.filter(|_| !model.story.entries.is_empty()) {
        Some(scene) => format!("The first attack: {} of {}", scene.kind, whom(scene.account.as_deref())),
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
    let mut lines = Vec::new();
    for detail in [Detail::Everything, Detail::Reasons, Detail::Events, Detail::Names] {
        lines = page(model, detail, wide, theme);
        if lines.len() <= rows {
            break;
        }
    }
    let hidden = lines.len().saturating_sub(rows);
    // An attack of many events shows its end.
    let shown: Vec<Line<'_>> = lines.into_iter().skip(hidden).collect();
    frame.render_widget(Paragraph::new(shown), inner);
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Detail {
    /// The rules by their names, each event in a line.
    Names,
    /// Each event whole.
    Events,
    /// And why each of them fired.
    Reasons,
    /// And what the owner usually does.
    Everything,
}

/// All of it, in so much detail.
fn page(model: &Model, detail: Detail, wide: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut page = Page { lines: Vec::new(), detail, wide, theme };
    let mut is_first = true;
    for entry in &model.story.entries {
        match entry {
            Entry::Step(step) => page.step(&clock(step.time), &step.text),
            Entry::Alert(alert, latency_ms) => {
                page.alert(alert, *latency_ms);
                // What was usual before the attack; after its first alert the attacker is part of it.
                if std::mem::take(&mut is_first) {
                    page.usual(alert);
                }
            }
        }
    }
    page.told(model);
    page.lines
}

/// The lines so far.
struct Page {
    lines: Vec<Line<'static>>,
    detail: Detail,
    wide: usize,
    theme: Theme,
}

impl Page {
    fn step(&mut self, time: &str, text: &str) {
        let wide = self.wide.saturating_sub(INDENT.len());
        let parts = match self.detail {
            Detail::Names => vec![shortened(text, wide)],
            Detail::Events | Detail::Reasons | Detail::Everything => wrapped(text, wide),
        };
        for (nth, part) in parts.into_iter().enumerate() {
            let time = if nth == 0 { format!("{time}  ") } else { INDENT.to_owned() };
            let spans = vec![Span::styled(time, self.theme.faint()), Span::styled(part, self.theme.strong())];
            self.lines.push(Line::from(spans));
        }
    }

    fn alert(&mut self, alert: &AlertDocument, latency_ms: u64) {
        let band = self.theme.band(alert.band);
        let action = action(alert.action).map(|action| format!("  {action}")).unwrap_or_default();
        let spans = vec![
            Span::styled(format!("{INDENT}▲ {} {}", alert.score, alert.band.word()), band),
            Span::raw(action),
            Span::styled(format!("  {latency_ms} ms"), self.theme.faint()),
        ];
        self.lines.push(Line::from(spans));
        let bar_columns = if self.wide >= WIDE_FROM { BAR_COLUMNS } else { BAR_COLUMNS / 2.0 };
        for finding in &alert.findings {
            let bar = "■".repeat((finding.share * bar_columns).round() as usize);
            let spans = vec![
                Span::raw(format!("{INDENT}{:>3.0} % ", finding.share * 100.0)),
                Span::styled(format!("{bar} "), band),
                Span::raw(finding.rule.clone()),
            ];
            self.lines.push(Line::from(spans));
            if self.detail >= Detail::Reasons {
                self.faint(&format!("{INDENT}      "), &finding.text);
            }
        }
    }

    fn usual(&mut self, alert: &AlertDocument) {
        for (name, text) in [("usually", usual(alert)), ("last seen", last_seen(alert))] {
            if let Some(text) = text.filter(|_| self.detail == Detail::Everything) {
                self.faint(INDENT, &format!("{name}: {text}"));
            }
        }
    }

    /// Who was told.
    fn told(&mut self, model: &Model) {
        let (mails, texts) = (model.story.mails.len() as u64, model.story.texts.len() as u64);
        let said = match (mails, texts) {
            (0, 0) => return,
            (mails, 0) => count(mails, "mail", "mails"),
            (0, texts) => format!("{texts} SMS"),
            (mails, texts) => format!("{} and {texts} SMS", count(mails, "mail", "mails")),
        };
        self.lines.push(Line::styled(format!("{INDENT}✓ the owner has {said}"), self.theme.good()));
    }

    fn faint(&mut self, indent: &str, text: &str) {
        for part in wrapped(text, self.wide.saturating_sub(indent.len())) {
            self.lines.push(Line::styled(format!("{indent}{part}"), self.theme.faint()));
        }
    }
}
