//! Where panics lead into rustls's own sources.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::super::image::Image;
use super::super::pointers::{self, Contents, Pointer};
use super::sources::Source;

/// A path may have so much before the crate's name.
const LONGEST_PREFIX: u64 = 1024;
/// All of rustls has some hundred panic locations; other texts lie beside its paths.
const MAX_LOCATIONS: usize = 1 << 17;
/// No source has more lines, no line more columns.
const MAX_LINE: u64 = 1 << 20;
/// Bytes of a `core::panic::Location`: the text of a path, a line, a column.
const LOCATION: u64 = 24;

/// Panic locations in rustls's own sources: where they stand, and which source they are in. A text that merely mentions such
/// a path is not one of its sources.
pub(super) struct Locations<'a> {
    sources: &'a [Source],
    places: BTreeMap<u64, usize>,
}

impl<'a> Locations<'a> {
    pub(super) fn find(image: &Image<'_>, sources: &'a [Source]) -> Self {
        let mut locations = Self {
            sources,
            places: BTreeMap::new(),
        };
        let is_near = |text: u64| {
            let next = sources.partition_point(|source| source.begin < text);
            let source = sources.get(next);
            source.is_some_and(|source| source.begin - text <= LONGEST_PREFIX)
        };
        let Some(pointers) = pointers::to(image, MAX_LOCATIONS, is_near) else {
            return locations;
        };
        let mut contents = Contents::default();
        for Pointer { place, value } in pointers {
            let source = locations.source_at(image, &mut contents, place, value);
            locations.places.extend(source.map(|source| (place, source)));
        }
        locations
    }

    /// `core::panic::Location`: the text of a path, a line, a column.
    fn source_at(&self, image: &Image<'_>, contents: &mut Contents, place: u64, text: u64) -> Option<usize> {
        let end = text.checked_add(contents.word(image, place.checked_add(8)?)?)?;
        let line_and_column = contents.word(image, place.checked_add(16)?)?;
        let [line, column] = [line_and_column & u64::from(u32::MAX), line_and_column >> 32];
        // In the order of addresses.
        let next = self.sources.partition_point(|source| source.end < end);
        let source = self.sources.get(next)?;
        let fits = source.end == end
            && text <= source.begin
            && (1..MAX_LINE).contains(&line)
            && (1..MAX_LINE).contains(&column);
        fits.then_some(next)
    }

    /// Sources that have a location.
    pub(super) fn located(&self) -> impl Iterator<Item = &'a Source> {
        let distinct: BTreeSet<usize> = self.places.values().copied().collect();
        distinct.into_iter().filter_map(|source| self.sources.get(source))
    }

    /// All locations as runs; `gap` is how many bytes may lie between a run and the location that frames it.
    pub(super) fn runs(&self, gap: u64) -> Vec<Run<'a>> {
        let mut runs: Vec<(Range<u64>, usize)> = Vec::new();
        for (place, source) in &self.places {
            let end = place.saturating_add(LOCATION);
            match runs.last_mut() {
                Some((run, of)) if run.end == *place && of == source => run.end = end,
                _ => runs.push((*place..end, *source)),
            }
        }
        let frames = |begin: u64, source: usize| {
            let before = begin.checked_sub(gap + LOCATION);
            before.and_then(|before| self.places.get(&before)) == Some(&source)
        };
        runs.into_iter()
            .filter_map(|(locations, source)| {
                Some(Run {
                    is_framed: frames(locations.start, source),
                    locations,
                    source: self.sources.get(source)?,
                })
            })
            .collect()
    }
}

/// Locations in one source without anything between them.
pub(super) struct Run<'a> {
    /// Where they stand.
    pub(super) locations: Range<u64>,
    /// Another location in the same source stands before them, a gap away.
    pub(super) is_framed: bool,
    pub(super) source: &'a Source,
}
