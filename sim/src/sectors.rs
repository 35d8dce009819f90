// SPDX-License-Identifier: GPL-2.0-or-later
//! Something that is known of some sectors: a map whose keys lie close together.
//!
//! In pages, because most of what the simulator does goes through ranges of neighbours; a copy shares the pages until
//! one of both writes to them.

use core::ops::Range;
use std::rc::Rc;

/// Sectors of a page: one for each bit of its mask.
const PAGE: u64 = u64::BITS as u64;

#[derive(Clone)]
struct Page<T> {
    /// Which of the values count; the others are what was left.
    known: u64,
    values: [T; PAGE as usize],
}

/// The map.
#[derive(Clone)]
pub(crate) struct Sectors<T> {
    pages: Vec<Option<Rc<Page<T>>>>,
}

impl<T> Default for Sectors<T> {
    fn default() -> Self {
        Sectors { pages: Vec::new() }
    }
}

/// The numbers of the bits of `mask`, as sectors of page `page`.
pub(crate) fn bits(page: u64, mut mask: u64) -> impl Iterator<Item = u64> {
    core::iter::from_fn(move || {
        let bit = u64::from(mask.trailing_zeros());
        mask &= mask.checked_sub(1)?;
        Some(page * PAGE + bit)
    })
}

/// The pages that `range` touches, each with the mask of the sectors of it that are inside.
fn windows(range: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let pages = range.start / PAGE..range.end.div_ceil(PAGE);
    pages.map(move |page| {
        let start = page * PAGE;
        let below = |sector: u64| match sector.saturating_sub(start) {
            bits if bits >= PAGE => u64::MAX,
            bits => (1 << bits) - 1,
        };
        (page, below(range.end) & !below(range.start))
    })
}

impl<T> Sectors<T> {
    fn page(&self, page: u64) -> Option<&Page<T>> {
        self.pages.get(page as usize)?.as_deref()
    }

    /// Which sectors of a page are known, a bit for each.
    pub(crate) fn mask(&self, page: u64) -> u64 {
        self.page(page).map_or(0, |page| page.known)
    }

    /// What is known of a sector.
    pub(crate) fn get(&self, at: u64) -> Option<&T> {
        let page = self.page(at / PAGE)?;
        let bit = at % PAGE;
        (page.known >> bit & 1 == 1).then(|| &page.values[bit as usize])
    }

    /// Everything that is known, in the order of the sectors.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let pages = (0..).zip(&self.pages);
        pages.flat_map(|(number, page)| {
            page.iter().flat_map(move |page| {
                let value = |at: u64| (at, &page.values[(at % PAGE) as usize]);
                bits(number, page.known).map(value)
            })
        })
    }
}

impl<T: Clone + Default> Sectors<T> {
    fn page_mut(&mut self, page: u64) -> &mut Page<T> {
        let page = page as usize;
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| {
            Rc::new(Page {
                known: 0,
                values: core::array::from_fn(|_| T::default()),
            })
        });
        Rc::make_mut(page)
    }

    /// What is known of a sector, to be changed; what `make` says if nothing is.
    pub(crate) fn or_insert_with(&mut self, at: u64, make: impl FnOnce() -> T) -> &mut T {
        let page = self.page_mut(at / PAGE);
        let bit = at % PAGE;
        let value = &mut page.values[bit as usize];
        if page.known >> bit & 1 == 0 {
            page.known |= 1 << bit;
            *value = make();
        }
        value
    }

    /// From here on `value` is known of the sector; whether nothing was.
    pub(crate) fn insert(&mut self, at: u64, value: T) -> bool {
        let page = self.page_mut(at / PAGE);
        let (bit, before) = (at % PAGE, page.known);
        page.known |= 1 << bit;
        page.values[bit as usize] = value;
        before != page.known
    }

    /// Nothing is known of the sector any more; what was.
    pub(crate) fn remove(&mut self, at: u64) -> Option<T> {
        let known = self.get(at).is_some();
        known.then(|| {
            let page = self.page_mut(at / PAGE);
            page.known &= !(1 << (at % PAGE));
            core::mem::take(&mut page.values[(at % PAGE) as usize])
        })
    }
}

/// The page that a sector is on.
pub(crate) fn page_of(at: u64) -> u64 {
    at / PAGE
}

/// Those of the `range` that `mask` tells, by pages.
pub(crate) fn chosen(range: Range<u64>, mask: impl Fn(u64) -> u64) -> impl Iterator<Item = u64> {
    windows(range).flat_map(move |(page, window)| bits(page, mask(page) & window))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_an_ordered_map() {
        let mut rng = crate::heap::Rng::new(7);
        let (mut ours, mut theirs) = (Sectors::default(), BTreeMap::new());
        for round in 0..4000u64 {
            let at = rng.below(1000);
            assert_eq!(ours.get(at), theirs.get(&at));
            if rng.one_in(4) {
                assert_eq!(ours.remove(at), theirs.remove(&at));
            } else if rng.one_in(2) {
                assert_eq!(ours.insert(at, round), theirs.insert(at, round).is_none());
            } else {
                let made = *ours.or_insert_with(at, || round);
                assert_eq!(made, *theirs.entry(at).or_insert(round));
            }
            let from = rng.below(1000);
            let range = from..from + rng.below(300);
            let found: Vec<u64> = chosen(range.clone(), |page| ours.mask(page)).collect();
            let expected: Vec<u64> = theirs.range(range).map(|(at, _)| *at).collect();
            assert_eq!(found, expected);
        }
        assert!(ours
            .iter()
            .eq(theirs.iter().map(|(at, value)| (*at, value))));
    }

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut first = Sectors::default();
        first.insert(70, 1);
        let second = first.clone();
        first.insert(70, 2);
        first.insert(71, 3);
        assert_eq!(second.iter().collect::<Vec<_>>(), [(70, &1)]);
    }
}
