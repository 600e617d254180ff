//! Values that say what they are. Every byte of a value follows from its tag and its place, so
//! that a value that is foreign, torn or misplaced is recognised at once.

use crate::torture::draw::Draw;
use crate::torture::store::Place;

/// Which write made a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The stream of writes that it belongs to.
    pub(crate) stream: u8,
    /// The life of the program in which it was written.
    pub(crate) life: u32,
    /// Which write of the stream.
    pub(crate) index: u64,
    /// Which change of that write.
    pub(crate) slot: u32,
    /// A number that it carries, such as a balance.
    pub(crate) number: i64,
}

const HEADER: usize = 1 + 4 + 8 + 4 + 8;

impl Tag {
    /// The value that this tag stands for at `place`.
    pub(crate) fn value(&self, place: &Place) -> Vec<u8> {
        let mut value = vec![self.stream];
        value.extend(self.life.to_le_bytes());
        value.extend(self.index.to_le_bytes());
        value.extend(self.slot.to_le_bytes());
        value.extend(self.number.to_le_bytes());
        let key = place.1.iter().fold(u64::from(place.0), |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let stream = u64::from(self.stream) << 32 | u64::from(self.slot);
        let parts = [key, stream, u64::from(self.life), self.index, self.number.cast_unsigned()];
        let mut draw = Draw::new(&parts);
        let len = match draw.below(1000) {
            0..=2 => 20_000 + draw.below(40_000),
            3..=50 => draw.below(4_000),
            _ => draw.below(120),
        };
        // Half of it can be compressed. The check at the end also covers the length.
        let filler = draw.number().to_le_bytes();
        for _ in 0..len / 16 {
            value.extend(filler);
            value.extend(draw.number().to_le_bytes());
        }
        value.extend(draw.number().to_le_bytes());
        value
    }

    /// The tag of a value found at `place`; `None` where no write made such a value there.
    pub(crate) fn parse(place: &Place, value: &[u8]) -> Option<Tag> {
        let header: &[u8; HEADER] = value.first_chunk()?;
        let mut fields = header.as_slice();
        let tag = Tag {
            stream: u8::from_le_bytes(take(&mut fields)?),
            life: u32::from_le_bytes(take(&mut fields)?),
            index: u64::from_le_bytes(take(&mut fields)?),
            slot: u32::from_le_bytes(take(&mut fields)?),
            number: i64::from_le_bytes(take(&mut fields)?),
        };
        (tag.value(place) == value).then_some(tag)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_at_its_place_and_nowhere_else() {
        let tag = Tag { stream: 3, life: 2, index: 77, slot: 1, number: -5 };
        let place = (1, b"w3/07".to_vec());
        let mut value = tag.value(&place);
        assert_eq!(Tag::parse(&place, &value), Some(tag));
        assert_eq!(Tag::parse(&(0, b"w3/07".to_vec()), &value), None);
        assert_eq!(Tag::parse(&place, &value[..value.len() - 1]), None);
        value[20] ^= 1;
        assert_eq!(Tag::parse(&place, &value), None);
    }
}
