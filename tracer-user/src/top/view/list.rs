//! A table: as many columns as fit, the page of rows on which the chosen one is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::super::columns::{Column, Kind, Layout};
use super::super::looking::Sort;
use super::{GUTTER, choose, fit_tail, put, width_of};

/// Least width of a column of texts for which there is not enough room.
const SQUEEZED_MIN: u16 = 8;

/// Widest that a column grows.
const WIDTH_MAX: u16 = 60;

const HEADINGS: Style = Style::new()
    .add_modifier(Modifier::BOLD)
    .add_modifier(Modifier::UNDERLINED);

/// How a table is drawn.
pub(super) struct List<C, T, S> {
    /// By which column its rows are sorted.
    pub(super) sort: Sort<C>,
    /// Headings.
    pub(super) title: T,
    /// Colours.
    pub(super) style: S,
}

/// A column that is shown.
struct Shown<C> {
    column: C,
    layout: Layout,
    title: String,
    width: u16,
    /// Columns of the terminal that its widest cell would take.
    wanted: u16,
}

impl<C: Column, T, S> List<C, T, S>
where
    T: Fn(C) -> Layout,
    S: for<'a> Fn(&C::Row<'a>) -> Style,
{
    /// Draws headings and rows.
    pub(super) fn draw(&self, rows: &[C::Row<'_>], chosen: usize, area: Rect, buffer: &mut Buffer) {
        let height = usize::from(area.height.saturating_sub(1)).max(1);
        let first = chosen / height * height;
        let page: Vec<_> = rows.iter().enumerate().skip(first).take(height).collect();
        let left = area.x + GUTTER;
        let columns = self.columns(&page, area.width.saturating_sub(GUTTER));

        let mut x = left;
        for shown in &columns {
            let right = shown.layout.kind == Kind::Number;
            put(buffer, (x, area.y), shown.width, &shown.title, right, HEADINGS);
            x += shown.width + 1;
        }
        for (y, (place, row)) in (area.y + 1..area.y + area.height).zip(page) {
            let style = (self.style)(row);
            let mut x = left;
            for shown in &columns {
                let text = shown.column.cell(row);
                let text = if shown.layout.kind == Kind::Name {
                    fit_tail(&text, shown.width)
                } else {
                    text
                };
                put(
                    buffer,
                    (x, y),
                    shown.width,
                    &text,
                    shown.layout.kind == Kind::Number,
                    style,
                );
                x += shown.width + 1;
            }
            if place == chosen {
                choose(buffer, Rect { y, height: 1, ..area });
            }
        }
    }

    /// The columns that fit, from left to right; what is left over goes to those that grow.
    fn columns(&self, page: &[(usize, &C::Row<'_>)], width: u16) -> Vec<Shown<C>> {
        let mut all: Vec<Shown<C>> = C::ALL
            .iter()
            .filter_map(|&column| {
                let layout = (self.title)(column);
                let cells = page.iter().map(|(_, row)| width_of(&column.cell(row)));
                let wanted = cells.max().unwrap_or(0);
                let is_sorted = column == self.sort.column;
                if layout.optional && wanted == 0 && !is_sorted {
                    return None;
                }
                let title = match (is_sorted, self.sort.descending) {
                    (false, _) => layout.title.to_owned(),
                    (true, true) => format!("{}▼", layout.title),
                    (true, false) => format!("{}▲", layout.title),
                };
                let least = if layout.kind.grows() {
                    layout.width.min(wanted)
                } else {
                    layout.width
                };
                let width = least.max(width_of(&title));
                Some(Shown {
                    column,
                    layout,
                    wanted: wanted.min(WIDTH_MAX),
                    title,
                    width,
                })
            })
            .collect();
        // The column that rows are sorted by is shown even where it would have to make room, unless nobody chose it.
        let makes_room = |shown: &Shown<C>| shown.column != self.sort.column || self.sort.is_standard();
        let mut by_rank: Vec<&Shown<C>> = all.iter().collect();
        by_rank.sort_by_key(|shown| (makes_room(shown), shown.layout.rank));
        let mut left = width;
        let mut kept = Vec::new();
        let mut squeezed = None;
        for shown in by_rank {
            let gap = u16::from(!kept.is_empty());
            let needed = shown.width + gap;
            if needed > left {
                // Half a name is better than nothing.
                if kept.len() < 2 && shown.layout.kind.grows() && left >= gap + SQUEEZED_MIN {
                    squeezed = Some((shown.layout.rank, left - gap));
                    kept.push(shown.layout.rank);
                    left = 0;
                }
                break;
            }
            left -= needed;
            kept.push(shown.layout.rank);
        }
        all.retain(|shown| kept.contains(&shown.layout.rank));
        for shown in &mut all {
            if let Some((rank, width)) = squeezed
                && rank == shown.layout.rank
            {
                shown.width = width;
            }
        }
        for rank in kept {
            for shown in all
                .iter_mut()
                .filter(|shown| shown.layout.kind.grows() && shown.layout.rank == rank)
            {
                let more = shown.wanted.saturating_sub(shown.width).min(left);
                shown.width += more;
                left -= more;
            }
        }
        all
    }
}
