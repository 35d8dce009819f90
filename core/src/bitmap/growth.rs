// SPDX-License-Identifier: GPL-2.0-or-later
//! Moving a bitmap into larger storage, a few pages at a time.
//!
//! The bitmap stays in use meanwhile: what changes in a page that was copied takes its mark away,
//! and the page is copied once more.

use super::{index, pages_needed, Bitmap, PageState, WORDS_PER_PAGE};

impl<W, S> Bitmap<W, S>
where
    W: AsRef<[u64]> + AsMut<[u64]>,
    S: AsRef<[PageState]> + AsMut<[PageState]>,
{
    /// Copies up to `pages_max` pages to `words`, which are zero at first; `cursor` is where to
    /// look next, 0 in the beginning. True when every page is there as it is now: then
    /// [`Bitmap::take_storage`] may follow, with nothing in between.
    pub fn copy_pages(&mut self, words: &mut W, cursor: &mut u32, pages_max: u32) -> bool {
        let used = self.n_pages();
        let mut left = pages_max;
        for _ in 0..2 {
            while *cursor < used {
                if !self.page_state(*cursor).is_copied() {
                    if left == 0 {
                        return false;
                    }
                    left = left.saturating_sub(1);
                    self.copy_page(words, *cursor);
                }
                *cursor = cursor.saturating_add(1);
            }
            // Those before the cursor may have changed.
            *cursor = 0;
        }
        let states = index(used).and_then(|used| self.pages.as_ref().get(..used));
        states.is_some_and(|states| states.iter().all(|state| state.is_copied()))
    }

    fn copy_page(&mut self, words: &mut W, page: u32) {
        let Some(start) = index(page).and_then(|page| page.checked_mul(WORDS_PER_PAGE)) else {
            return;
        };
        let end = start.saturating_add(WORDS_PER_PAGE);
        let room = words.as_mut().get_mut(start..end);
        if let (Some(to), Some(from)) = (room, self.words.as_ref().get(start..end)) {
            to.copy_from_slice(from);
        }
        if let Some(state) = index(page).and_then(|page| self.pages.as_mut().get_mut(page)) {
            state.mark_copied();
        }
    }

    /// Takes the storage that [`Bitmap::copy_pages`] filled, and gives back the old one. Every page
    /// keeps its state. Storage that is smaller than the old one is given back as it is.
    pub fn take_storage(&mut self, words: W, mut pages: S) -> (W, S) {
        let used = pages_needed(self.n_bits, self.max_peers).unwrap_or(usize::MAX);
        if pages.as_ref().len() < used || words.as_ref().len() / WORDS_PER_PAGE < used {
            return (words, pages);
        }
        pages.as_mut().fill(PageState::CLEAN);
        let old = self.pages.as_ref().iter().take(used);
        for (new, old) in pages.as_mut().iter_mut().zip(old) {
            *new = *old;
            new.forget_copy();
        }
        (
            core::mem::replace(&mut self.words, words),
            core::mem::replace(&mut self.pages, pages),
        )
    }

    /// Every page waits to be written: it has no place on the disk yet.
    pub fn rewrite_all(&mut self) {
        let used = index(self.n_pages()).unwrap_or(usize::MAX);
        for state in self.pages.as_mut().iter_mut().take(used) {
            state.mark_unwritten();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{boxed::Box, vec};

    type Boxed = Bitmap<Box<[u64]>, Box<[PageState]>>;

    fn storage(pages: usize) -> (Box<[u64]>, Box<[PageState]>) {
        let words = vec![0; pages * WORDS_PER_PAGE].into_boxed_slice();
        (words, vec![PageState::CLEAN; pages].into_boxed_slice())
    }

    fn grow(bitmap: &mut Boxed, pages: usize, mut between: impl FnMut(&mut Boxed)) {
        let (mut words, states) = storage(pages);
        let mut cursor = 0;
        while !bitmap.copy_pages(&mut words, &mut cursor, 1) {
            between(bitmap);
        }
        let _ = bitmap.take_storage(words, states);
    }

    #[test]
    fn what_changes_meanwhile_is_there_afterwards() {
        let bits = 3 * 32_768;
        let (words, states) = storage(3);
        let mut bitmap: Boxed = Bitmap::new(words, states, bits, 1).unwrap();
        bitmap.set_range(0, 5..9);
        // The second time everything has to be copied once more.
        for round in 0..2u64 {
            let mut step = 0;
            grow(&mut bitmap, 5, |bitmap| {
                if step < 2 {
                    bitmap.set_range(0, 100 + 10 * round + step..101 + 10 * round + step);
                    bitmap.clear_range(0, 5 + round..6 + round);
                    step += 1;
                }
            });
            bitmap.extend(4 * 32_768 + 7, false).unwrap();
        }
        let set = [7, 8, 100, 101, 110, 111];
        assert!(set.into_iter().all(|bit| bitmap.test(0, bit)));
        assert_eq!(bitmap.weight(0), 6);
        assert_eq!(bitmap.count_range(0, 0..u64::MAX), 6);
    }
}
