//! Tables for people: the first column to the left, figures to the right.
//!
//! Guarantees: columns line up whatever script the words are in, as far as a character is one or two cells wide.

/// A table of texts.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these heads.
    pub fn new(heads: &[&str]) -> Self {
        Table { rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// One row more.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether it has rows beside its head.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// As text, each line indented.
    pub fn text(&self, indent: &str) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cells(cell)).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let blank = " ".repeat(width.saturating_sub(cells(cell)));
                let gap = if column == 0 { "" } else { "  " };
                let (before, after) = if column == 0 { ("", blank.as_str()) } else { (blank.as_str(), "") };
                line.extend([gap, before, cell, after]);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

fn cells(text: &str) -> usize {
    text.chars().map(|c| if ('\u{1100}'..='\u{ffef}').contains(&c) { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuning::figures::{number, percent};

    #[test]
    fn figures_line_up() {
        let mut table = Table::new(&["", "old", "new"]);
        table.row(vec!["alerts".to_owned(), number(1_234_567), number(12)]);
        table.row(vec!["警报".to_owned(), percent(Some(0.25)), percent(None)]);
        assert_eq!(table.text("  "), "                old  new\n  alerts  1 234 567   12\n  警报       25.0 %    -\n");
    }
}
