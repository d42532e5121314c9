//! The machine's own dice: SplitMix64 (Steele, Lea, Flood 2014), so that a seed fixes every choice.

#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Takes one of `items` out. The bias of the remainder is below 2^-55 for the 256 members that there can be.
    pub(super) fn take<T>(&mut self, items: &mut Vec<T>) -> Option<T> {
        let length = u64::try_from(items.len()).ok().filter(|length| *length > 0)?;
        let index = usize::try_from(self.next() % length).ok()?;
        Some(items.swap_remove(index))
    }
}
