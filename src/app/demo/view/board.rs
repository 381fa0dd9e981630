//! The board: what was planted and found, what flows, who was told; and the newest alerts.
//!
//! Guarantees: every kind of attack has its place from 80×24 on; the title counts them all in any case.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::Theme;
use crate::app::demo::model::{Model, Recent};
use crate::app::demo::tally::KindRow;
use crate::app::demo::words::{clock, thousands};

/// Columns of the numbers.
const NUMBERS_COLUMNS: u16 = 30;
/// Scenes of a kind that are shown as a mark each; more are a number.
const MARKS_MAX: usize = 4;

pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let numbers_columns = if area.width >= 100 { NUMBERS_COLUMNS + 8 } else { NUMBERS_COLUMNS };
    let [attacks, numbers] = Layout::horizontal([Constraint::Min(40), Constraint::Length(numbers_columns)]).areas(area);
    self::attacks(frame, attacks, model, theme);
    self::numbers(frame, numbers, model, theme);
}

fn attacks(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let ((planted, found), (shadow, seen)) = (model.score(), model.shadow_score());
    let in_shadow = if shadow > 0 { format!(", {seen} of {shadow} in shadow") } else { String::new() };
    let block = theme.block(&format!("Attacks: {found} of {planted} found{in_shadow}"));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let rows = model.kinds();
    let below = u16::from(inner.height > 2);
    let [kinds, quiet] = Layout::vertical([Constraint::Min(1), Constraint::Length(below)]).areas(inner);
    let per_column = usize::from(kinds.height).max(1);
    let lines: Vec<Line<'_>> = rows.iter().map(|row| kind(row, theme)).collect();
    let columns: Vec<&[Line<'_>]> = lines.chunks(per_column).collect();
    let widths: Vec<u16> = columns.iter().map(|lines| widest(lines)).collect();
    // What is left is shared out between the columns.
    let used = widths.iter().fold(0, |used: u16, width| used.saturating_add(*width));
    let gap = kinds.width.saturating_sub(used) / u16::try_from(columns.len()).unwrap_or(u16::MAX).max(1);
    let last = widths.len().saturating_sub(1);
    let widths = widths.iter().enumerate().map(|(nth, width)| match nth == last {
        true => Constraint::Min(0),
        false => Constraint::Length(width.saturating_add(gap.max(1))),
    });
    let areas = Layout::horizontal(widths).split(kinds);
    for (column, lines) in areas.iter().zip(columns) {
        frame.render_widget(Paragraph::new(lines.to_vec()), *column);
    }
    let all = model.look_alikes();
    let told = match all.told {
        0 => Span::styled(format!("{} of {} look-alikes left alone", all.over, all.planted), theme.good()),
        told => Span::styled(format!("{told} of {} look-alikes told", all.planted), theme.bad()),
    };
    let mut line = vec![told];
    if model.strays > 0 {
        line.push(Span::styled(format!(", {} alerts on others", model.strays), theme.busy()));
    }
    frame.render_widget(Paragraph::new(Line::from(line)), quiet);
}

/// Columns of the widest line.
fn widest(lines: &[Line<'_>]) -> u16 {
    lines.iter().map(|line| u16::try_from(line.width()).unwrap_or(u16::MAX)).max().unwrap_or(0)
}

/// `●●○ guessing`
fn kind(row: &KindRow, theme: Theme) -> Line<'static> {
    let style = match (row.is_shadow, row.found) {
        (true, _) => theme.faint(),
        (false, found) if found == row.planted => theme.good(),
        (false, 0) if row.over == 0 => theme.faint(),
        (false, found) if found < row.over => theme.busy(),
        (false, _) => theme.good(),
    };
    let marks = match row.planted {
        planted if planted <= MARKS_MAX => {
            "●".repeat(row.found.min(planted)) + &"○".repeat(planted.saturating_sub(row.found))
        }
        planted => format!("{}/{planted}", row.found),
    };
    let mut spans = vec![Span::styled(format!("{marks} "), style), Span::raw(row.name.replace('-', " "))];
    if row.is_shadow {
        spans.push(Span::styled(" (shadow)", theme.faint()));
    }
    Line::from(spans)
}

fn numbers(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let block = theme.block("Now");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [lines, chart] = Layout::vertical([Constraint::Length(6), Constraint::Min(0)]).areas(inner);
    let row = |name: &'static str, value: String| {
        Line::from(vec![Span::styled(format!("{name:<9}"), theme.faint()), Span::styled(value, theme.strong())])
    };
    let rate = thousands(model.rate);
    let latency = match (model.latency_ms(50), model.latency_ms(100)) {
        (Some(median), Some(longest)) => format!("{median} ms, max {longest}"),
        _ => "–".to_owned(),
    };
    let text = vec![
        row("events", format!("{rate} a second")),
        row("taken", thousands(model.counts.taken)),
        row("alerts", thousands(model.alerts)),
        row("mails", thousands(model.mails)),
        row("SMS", thousands(model.texts)),
        row("latency", latency),
    ];
    frame.render_widget(Paragraph::new(text), lines);
    let columns = usize::from(chart.width);
    let rates: Vec<u64> = model.rates.iter().rev().take(columns).rev().copied().collect();
    frame.render_widget(Sparkline::default().data(rates).style(theme.title()), chart);
}

/// The newest alerts.
pub fn recent(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let block = theme.block("Newest alerts");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let lines = model.recent.iter().take(usize::from(inner.height)).map(|recent| line(recent, theme));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), inner);
}

fn line(recent: &Recent, theme: Theme) -> Line<'static> {
    let kind = recent.kind.unwrap_or("not planted").replace('-', " ");
    let to = if recent.is_for_user { "owner told" } else { "security" };
    let latency = recent.latency_ms.map(|ms| format!("{ms:>4} ms")).unwrap_or_default();
    Line::from(vec![
        Span::styled(format!("{}  ", clock(recent.time)), theme.faint()),
        Span::styled(format!("{:>3} {:<8}  ", recent.score, recent.band.word()), theme.band(recent.band)),
        Span::raw(format!("{kind:<22}")),
        Span::styled(format!("{to:<11} {latency}  "), theme.faint()),
        Span::raw(recent.rules.join(", ")),
    ])
}
