//! What a model looks like.

pub(super) mod detail;
mod help;
mod list;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span as Text;

use super::columns::{CallColumn, CallRow, Column as _, GroupColumn, GroupRow, Layout, name_title};
use super::looking::{Looking, Opened, Page};
use super::model::{Model, Source};
use super::seen::Outcome;
use super::table::Group;
use super::words::{amount, dollars, noun, rate};
use crate::export::text::{clean, clock};

/// Lines that are not rows: sums, pages, headings, foot.
const OTHER_LINES: u16 = 4;

/// Least height at which there is room for a title and a notice as well.
const ROOMY: u16 = 8;

/// Least size that shows anything.
const WIDTH_MIN: u16 = 20;

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);
const FAILED: Style = Style::new().fg(Color::Red);
const WARNING: Style = Style::new().fg(Color::Yellow);
const IN_FLIGHT: Style = Style::new().fg(Color::Cyan);

/// Columns of the terminal before a row, where a mark tells which one is chosen.
const GUTTER: u16 = 1;

/// Shows which row is chosen: by a mark too, since `NO_COLOR` takes the rest away.
fn choose(buffer: &mut Buffer, row: Rect) {
    put(buffer, (row.x, row.y), GUTTER, "›", false, STRONG);
    buffer.set_style(row, CHOSEN);
}

/// Rows that fit on a screen of this height.
pub(super) fn rows_of(height: u16) -> usize {
    let title = u16::from(height >= ROOMY);
    usize::from(height.saturating_sub(OTHER_LINES + title).max(1))
}

/// Puts a model into a buffer.
pub fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    if area.height < OTHER_LINES + 1 || area.width < WIDTH_MIN {
        let mut screen = Screen { area, buffer };
        screen.line(0, "terminal too small", WARNING);
        return;
    }
    let is_roomy = area.height >= ROOMY;
    if is_roomy {
        title(model, &mut Screen { area, buffer });
    }
    let above = u16::from(is_roomy);
    let area = Rect {
        y: area.y + above,
        height: area.height - above,
        ..area
    };
    let mut screen = Screen { area, buffer };
    sums(model, &mut screen);
    let last = area.height - 1;
    let notices = if is_roomy { notices(model) } else { Vec::new() };
    let end = last - u16::try_from(notices.len()).unwrap_or(0);
    let body = Rect {
        y: area.y + 2,
        height: end - 2,
        ..area
    };
    for (line, notice) in (end..last).zip(&notices) {
        screen.line(line, notice, WARNING);
    }
    foot(model, last, &mut screen);
    if model.looking.help {
        pages(model, "", &mut screen);
        help::draw(body, screen.buffer);
        return;
    }
    match model.looking.opened.last() {
        Some(Opened::Span(seen, chosen)) => {
            let lines = detail::lines(model, seen);
            let place = (lines.len() > usize::from(body.height))
                .then(|| format!("line {} of {}", chosen + 1, lines.len()));
            crumbs(model, &place.unwrap_or_default(), &mut screen);
            detail::draw(&lines, Some(*chosen), body, screen.buffer);
        }
        Some(Opened::Flight(key)) => {
            crumbs(model, "", &mut screen);
            let lines = detail::flight_lines(model, *key);
            detail::draw(&lines, None, body, screen.buffer);
        }
        None => rows(model, body, &mut screen),
    }
}

/// A buffer with lines counted from the top of an area.
struct Screen<'a> {
    area: Rect,
    buffer: &'a mut Buffer,
}

impl Screen<'_> {
    fn line(&mut self, line: u16, text: &str, style: Style) {
        let Rect { x, y, width, .. } = self.area;
        put(self.buffer, (x, y + line), width, text, false, style);
    }

    /// Text at the right end; it goes before what stands at the left.
    fn right(&mut self, line: u16, text: &str, style: Style) {
        let Rect { x, y, width, .. } = self.area;
        let wanted = width_of(text).min(width);
        let start = x + width - wanted;
        // A blank before it keeps the two apart.
        let room = start.saturating_sub(1);
        if room >= x {
            put(self.buffer, (room, y + line), 1, " ", false, style);
        }
        put(self.buffer, (start, y + line), wanted, text, false, style);
    }
}

/// Columns of the terminal that a text takes.
fn width_of(text: &str) -> u16 {
    u16::try_from(Text::raw(text).width()).unwrap_or(u16::MAX)
}

/// A text that takes no more columns than this, with a mark where it was cut.
fn fit(text: &str, width: u16) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut taken = 1;
    let mut buffer = [0; 4];
    for character in text.chars() {
        taken += width_of(character.encode_utf8(&mut buffer));
        if taken > width {
            break;
        }
        cut.push(character);
    }
    cut.push('…');
    cut
}

/// The same, but its end is kept.
fn fit_tail(text: &str, width: u16) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let backwards: String = text.chars().rev().collect();
    fit(&backwards, width).chars().rev().collect()
}

fn put(buffer: &mut Buffer, (x, y): (u16, u16), width: u16, text: &str, right: bool, style: Style) {
    if width == 0 || !buffer.area.contains((x, y).into()) {
        return;
    }
    let text = fit(text, width);
    let room = width.saturating_sub(width_of(&text));
    let x = if right { x + room } else { x };
    buffer.set_stringn(x, y, text, usize::from(width), style);
}

fn title(model: &Model, screen: &mut Screen<'_>) {
    let what = match &model.source {
        Source::Live { target } => format!("geophone top · {}", clean(target)),
        Source::Recording { name, percent, ended } => {
            let state = match (ended, percent) {
                (true, _) => "read to its end".to_owned(),
                (false, Some(percent)) => format!("{percent} % read"),
                (false, None) => "reading".to_owned(),
            };
            format!("geophone top · {} · {state}", clean(name))
        }
    };
    screen.line(0, &what, STRONG);
    if let Some(now) = model.now_unix_ns() {
        let clock = clock(now);
        let second = format!("{} UTC", clock.get(..8).unwrap_or_default());
        if width_of(&what) + 1 + width_of(&second) <= screen.area.width {
            screen.right(0, &second, DIM);
        }
    }
}

fn sums(model: &Model, screen: &mut Screen<'_>) {
    let totals = &model.totals;
    let flights = &model.flights;
    let mut parts = vec![format!("{} in flight", amount(flights.total() as u64))];
    let chunks = flights.rate();
    if chunks > 0.0 {
        parts.push(rate(chunks, "ch/s"));
    }
    parts.push(noun(totals.calls, "call"));
    parts.push(noun(totals.errors, "error"));
    parts.push(format!("{} throttled", amount(totals.throttles)));
    parts.push(format!("{} in", amount(totals.input)));
    parts.push(format!("{} out", amount(totals.output)));
    if let Some(cost) = totals.cost {
        parts.push(dollars(cost));
    }
    let style = if totals.errors > 0 { WARNING } else { Style::new() };
    screen.line(0, &parts.join("  "), style);
}

/// The pages, with what is told at the right. Where there is no room for all names, that of the page one is on is left.
fn pages(model: &Model, right: &str, screen: &mut Screen<'_>) {
    let Rect { x, y, width, .. } = screen.area;
    let is_here = |page: Page| page == model.looking.page && model.looking.scope.is_none();
    let whole: Vec<_> = (1..)
        .zip(Page::ALL)
        .map(|(number, page)| (page, format!("{number} {}", page.title())))
        .collect();
    let wanted = whole.iter().map(|(_, name)| width_of(name) + 2).sum::<u16>() + width_of(right);
    let names = if wanted <= width {
        whole
    } else {
        whole
            .into_iter()
            .zip(1..)
            .map(|((page, name), number)| (page, if is_here(page) { name } else { format!("{number}") }))
            .collect()
    };
    let mut at = x;
    for (page, name) in names {
        let (text, style) = if is_here(page) {
            (format!("[{name}]"), STRONG)
        } else {
            (format!(" {name} "), DIM)
        };
        let room = (x + width).saturating_sub(at);
        put(screen.buffer, (at, y + 1), room, &text, false, style);
        at = at.saturating_add(width_of(&text)).min(x + width);
    }
    if !right.is_empty() {
        screen.right(1, right, Style::new());
    }
}

/// Where one is, when a span is open.
fn crumbs(model: &Model, right: &str, screen: &mut Screen<'_>) {
    let mut crumbs = vec!["Calls".to_owned()];
    if let Some((group, key)) = &model.looking.scope {
        crumbs.insert(0, Page::Groups(*group).title().to_owned());
        if let Some(calls) = crumbs.last_mut() {
            *calls = key.name.to_string();
        }
    }
    for opened in &model.looking.opened {
        crumbs.push(match opened {
            Opened::Flight(_) => "in flight".to_owned(),
            Opened::Span(seen, _) => clean(&seen.span.name),
        });
    }
    screen.line(1, &crumbs.join(" › "), STRONG);
    if !right.is_empty() {
        screen.right(1, right, DIM);
    }
}

fn rows(model: &Model, body: Rect, screen: &mut Screen<'_>) {
    let Looking {
        page,
        scope,
        filter,
        calls,
        groups,
        choice,
        ..
    } = &model.looking;
    let mut right = Vec::new();
    if let Some((group, key)) = scope {
        let of = name_title(*group).to_lowercase();
        right.push(format!("{of}: {}", key.name));
    }
    if !filter.is_empty() {
        right.push(format!("filter: {}", clean(filter.text())));
    }
    let count = match page {
        Page::Calls => {
            let (picks, rows): (Vec<_>, Vec<_>) = model.call_rows().into_iter().unzip();
            let chosen = choice.place_in(&picks);
            let list = list::List {
                sort: *calls,
                title: CallColumn::layout,
                style: |row: &CallRow<'_>| match row {
                    CallRow::Flight(..) => IN_FLIGHT,
                    CallRow::Span(seen) => match seen.facts.outcome {
                        Outcome::Fine => Style::new(),
                        Outcome::Incomplete | Outcome::Throttled => WARNING,
                        Outcome::Failed => FAILED,
                    },
                },
            };
            list.draw(&rows, chosen, body, screen.buffer);
            rows.len()
        }
        Page::Groups(group) => {
            let (picks, rows): (Vec<_>, Vec<_>) = model.group_rows(*group).into_iter().unzip();
            let chosen = choice.place_in(&picks);
            let list = list::List {
                sort: *groups,
                title: |column: GroupColumn| match column {
                    GroupColumn::Name => Layout {
                        title: name_title(*group),
                        ..column.layout()
                    },
                    _ => column.layout(),
                },
                style: |_: &GroupRow<'_>| Style::new(),
            };
            list.draw(&rows, chosen, body, screen.buffer);
            rows.len()
        }
    };
    if count > 0 {
        right.push(noun(count as u64, "row"));
        let forgotten = model.recent.forgotten();
        if *page == Page::Calls && forgotten > 0 {
            right.push(format!("{} gone", noun(forgotten, "older span")));
        }
    } else {
        // Below the headings, and a blank line where there is room for one.
        let first = if body.height > 3 { 2 } else { 1 };
        for (y, text) in (body.y + first..body.y + body.height).zip(nothing(model)) {
            let at = (body.x, y);
            put(screen.buffer, at, body.width, &format!("  {text}"), false, DIM);
        }
    }
    pages(model, &right.join(" · "), screen);
}

/// Why there is no row, and what can be done.
fn nothing(model: &Model) -> [String; 2] {
    let Looking { page, filter, .. } = &model.looking;
    let (what, remedy) = match (page, &model.source) {
        _ if !filter.is_empty() => (
            format!("No row holds {:?}.", clean(filter.text())),
            "Esc takes the filter away.",
        ),
        (Page::Groups(Group::Session), _) if model.totals.calls > 0 => (
            "No call told its session.".to_owned(),
            "--session-header NAME reads one from a header of your own.",
        ),
        (_, Source::Live { .. }) => (
            "No call to Bedrock yet.".to_owned(),
            "`geophone doctor` says whether a process can be traced.",
        ),
        (_, Source::Recording { ended: true, .. }) => (
            "The recording holds no call to Bedrock.".to_owned(),
            "Was the program traced while it made one?",
        ),
        (_, Source::Recording { ended: false, .. }) => ("Reading the recording…".to_owned(), ""),
    };
    [what, remedy.to_owned()]
}

/// What the user should know of, though nobody asked: what was lost, and the last warning.
fn notices(model: &Model) -> Vec<String> {
    let mut notices = Vec::new();
    if !model.losses.is_empty() {
        let losses = model.losses.iter().map(|(name, count)| format!("{name}={count}"));
        let losses = losses.collect::<Vec<_>>().join(" ");
        notices.push(format!("not seen in full: {losses}"));
    }
    if let Some(warning) = model.warnings.last() {
        let count = model.warnings.len() as u64;
        let more = if count > 1 {
            format!(" ({} in all, told again at the end)", noun(count, "warning"))
        } else {
            String::new()
        };
        notices.push(format!("! {}{more}", clean(warning)));
    }
    notices
}

fn foot(model: &Model, line: u16, screen: &mut Screen<'_>) {
    let Looking {
        typing,
        filter,
        opened,
        ..
    } = &model.looking;
    if typing.is_some() {
        screen.line(line, &format!("/{}▏", clean_typed(filter.text())), STRONG);
        screen.right(line, "Enter keeps, Esc takes back", DIM);
    } else if model.looking.help {
        screen.line(line, "any key closes the help  q leave", DIM);
    } else if !opened.is_empty() {
        screen.line(
            line,
            "? help  q leave  Esc back  ↑↓ lines  Enter opens a step",
            DIM,
        );
    } else {
        screen.line(
            line,
            "? help  q leave  Enter open  Esc back  / filter  < > sort  r reverse",
            DIM,
        );
    }
}

/// What was typed, its blanks kept.
fn clean_typed(text: &str) -> String {
    text.split(' ').map(clean).collect::<Vec<_>>().join(" ")
}
