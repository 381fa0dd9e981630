//! The terminal: its alternate screen, its keys, its restoration.
//!
//! Guarantees: however the demo ends, by itself, by a key, by an error or a panic, the terminal is as it was.
//! What is drawn is the view's affair.

use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use super::model::Model;
use super::play::Wish;
use super::view::{self, Theme};
use super::{DemoError, Show};

/// The terminal while the demo has it.
pub struct Screen {
    terminal: DefaultTerminal,
    theme: Theme,
}

impl Screen {
    /// Takes the terminal, where it is wanted, and says that there is more to come.
    pub fn open(show: Show) -> Result<Option<Self>, DemoError> {
        let Show::Screen { is_colored } = show else { return Ok(None) };
        let terminal = ratatui::try_init().map_err(|e| DemoError::System("take the terminal", e))?;
        let mut screen = Screen { terminal, theme: Theme::new(is_colored) };
        let theme = screen.theme;
        screen.terminal.draw(|frame| view::greet(frame, theme)).map_err(|e| DemoError::System("draw", e))?;
        Ok(Some(screen))
    }

    /// Draws a frame, then looks at the keys.
    pub fn draw(&mut self, model: &Model) -> Result<Wish, DemoError> {
        let theme = self.theme;
        self.terminal.draw(|frame| view::draw(frame, model, theme)).map_err(|e| DemoError::System("draw", e))?;
        let keys = |e| DemoError::System("read the keys", e);
        while event::poll(Duration::ZERO).map_err(keys)? {
            if is_end(&event::read().map_err(keys)?) {
                return Ok(Wish::End);
            }
        }
        Ok(Wish::GoOn)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// `q`, Escape or Ctrl-C.
fn is_end(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}
