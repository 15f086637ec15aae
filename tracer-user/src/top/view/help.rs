//! The help.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::keys::HELP;
use super::{STRONG, put};

/// Width of the keys.
const KEYS: u16 = 13;

/// Draws every key and what it does.
pub(super) fn draw(area: Rect, buffer: &mut Buffer) {
    let lines = area.y + 1..area.y + area.height;
    for (y, (keys, meaning)) in lines.zip(HELP) {
        let at = area.x + 2;
        put(buffer, (at, y), KEYS, keys, false, STRONG);
        let at = at + KEYS + 1;
        let room = (area.x + area.width).saturating_sub(at);
        put(buffer, (at, y), room, meaning, false, Style::new());
    }
}
