//! Changes of bytes: what a fuzzer does, without its feedback, and the same for the same seed.

/// Changes bytes.
#[derive(Clone, Debug)]
pub struct Mutator {
    state: u64,
}

/// What the formats here are made of, and numbers at their limits.
const WORDS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\n",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"<",
    b">",
    b"</",
    b"/>",
    b"&",
    b"&#0;",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"=",
    b",",
    b":",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"9223372036854775808",
    b"18446744073709551615",
    b"0.0000001",
    b"\xc0",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc7\x03\x0c\x81\x01\xc2",
    b"\xd4\0\0",
    b"\xe2\x80\xae",
    b"e\xcc\x81",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"<value>",
    b"</value>",
    b"<name>",
    b"</name>",
    b"<member>",
    b"</member>",
    b"[\"list\",",
    b"\"dynamic\"",
    b"${",
    b"<<E\n",
    b"dynvm:",
    b"d",
    b"ms",
    b"9999-12-31T23:59:59Z",
];

/// How much longer than what it was made of an input may become.
const GROWTH: usize = 512;

impl Mutator {
    /// A mutator that makes the same changes as every other one of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = usize::try_from(mixed ^ (mixed >> 31)).unwrap_or_default();
        mixed.checked_rem(end).unwrap_or_default()
    }

    /// One of these; `None` if there is none.
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// Bytes of no meaning, up to so many.
    pub fn noise(&mut self, most: usize) -> Vec<u8> {
        let count = self.below(most.saturating_add(1));
        (0..count).map(|_| self.byte()).collect()
    }

    /// The bytes with one to eight changes, each at some place: a bit, a byte, a word, a piece left out, said twice, or from another input.
    pub fn changed(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let most = bytes.len().saturating_add(GROWTH);
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut bytes, other);
        }
        bytes.truncate(most);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len().saturating_add(1));
        let end = at.saturating_add(self.below(16)).min(bytes.len());
        let new: Vec<u8> = match self.below(6) {
            0 => bytes
                .get(at..end)
                .unwrap_or_default()
                .iter()
                .map(|byte| byte ^ (1 << self.below(8)))
                .collect(),
            1 => self.noise(4),
            2 => self.one_of(WORDS).map(|word| word.to_vec()).unwrap_or_default(),
            3 => Vec::new(),
            4 => bytes.get(at..end).unwrap_or_default().repeat(2),
            _ => self.piece(other),
        };
        // Half of what is new pushes what was there aside.
        let end = if self.below(2) == 0 { at } else { end };
        bytes.splice(at..end, new);
    }

    fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        let at = self.below(bytes.len());
        let end = at.saturating_add(self.below(64)).min(bytes.len());
        bytes.get(at..end).unwrap_or_default().to_vec()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap_or_default()
    }
}
