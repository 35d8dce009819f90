// SPDX-License-Identifier: GPL-2.0-or-later
//! Memory aligned as direct I/O needs it.

/// Alignment every device accepts.
const ALIGNMENT: usize = 4096;

/// A zeroed buffer that starts at a multiple of 4096.
#[derive(Debug)]
pub(crate) struct Aligned {
    storage: Vec<u8>,
    start: usize,
    bytes: usize,
}

impl Aligned {
    pub(crate) fn new(bytes: usize) -> Aligned {
        let storage = vec![0; bytes + ALIGNMENT];
        let start = storage.as_ptr().align_offset(ALIGNMENT);
        Aligned {
            storage,
            start,
            bytes,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.bytes]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_aligned_and_zero() {
        for bytes in [1, 512, 4096, 100_000] {
            let mut buffer = Aligned::new(bytes);
            assert_eq!(buffer.bytes().as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!(buffer.bytes_mut().len(), bytes);
            assert!(buffer.bytes().iter().all(|byte| *byte == 0));
        }
    }
}
