// SPDX-License-Identifier: GPL-2.0-or-later
//! Bytes that came together with what was asked for.

/// Up to `N` bytes of a stream that were received and not looked at yet.
pub(crate) struct Ahead<const N: usize> {
    bytes: [u8; N],
    from: usize,
    to: usize,
}

impl<const N: usize> Ahead<N> {
    /// Nothing. Context: any.
    pub(crate) fn new() -> Self {
        Ahead {
            bytes: [0; N],
            from: 0,
            to: 0,
        }
    }

    /// How many there are. Context: any.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.to.saturating_sub(self.from)
    }

    /// All of them. Context: any.
    #[inline]
    pub(crate) fn all(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or(&[])
    }

    /// The first `len`. Context: any.
    #[inline]
    pub(crate) fn get(&self, len: usize) -> Option<&[u8]> {
        self.all().get(..len)
    }

    /// Forgets the first `len`. Context: any.
    #[inline]
    pub(crate) fn drop_front(&mut self, len: usize) {
        self.from = self.from.saturating_add(len).min(self.to);
    }

    /// Moves the first ones into `room`; returns how many fitted. Context: any.
    pub(crate) fn take(&mut self, room: &mut [u8]) -> usize {
        let n = self.len().min(room.len());
        for (to, from) in room.iter_mut().zip(self.all()) {
            *to = *from;
        }
        self.drop_front(n);
        n
    }

    /// Room behind what is there, which moves to the front, for at most `most` bytes in all.
    /// Context: any.
    #[inline]
    pub(crate) fn room(&mut self, most: usize) -> &mut [u8] {
        if self.from > 0 {
            if self.from < self.to {
                self.bytes.copy_within(self.from..self.to, 0);
            }
            self.to = self.len();
            self.from = 0;
        }
        self.bytes.get_mut(self.to..most.min(N)).unwrap_or(&mut [])
    }

    /// So many were put into [`Self::room`]. Context: any.
    #[inline]
    pub(crate) fn came(&mut self, more: usize) {
        self.to = self.to.saturating_add(more).min(N);
    }
}
