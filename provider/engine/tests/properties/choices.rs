//! Decisions taken from a string of bytes, so that a shorter string or smaller bytes make a simpler case.

pub(crate) struct Choices<'a> {
    bytes: std::slice::Iter<'a, u8>,
    numbers: u32,
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices {
            bytes: bytes.iter(),
            numbers: 0,
        }
    }

    /// A number below `bound`; 0 when there are no bytes left.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % bound
    }

    /// One of some; the first when there are no bytes left.
    pub(crate) fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        #[expect(clippy::indexing_slicing, reason = "the index is below the length")]
        &from[self.below(from.len())]
    }

    /// True in so many of a hundred cases; false when there are no bytes left.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        usize::from(self.bytes.next().copied().unwrap_or(0)) * 100 >= (100 - percent) * 256
    }

    /// A number that was not given before.
    pub(crate) fn unique(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }
}
