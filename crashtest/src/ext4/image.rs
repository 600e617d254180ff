//! Which contents a disk may have after a power cut, by what happened to it.

use super::disk::Event;
use crate::rng::Rng;

/// What a device writes at once.
const SECTOR: usize = 512;

/// What becomes of the writes since the last flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unflushed {
    /// They are there, all of them.
    Kept,
    /// They are gone, all of them.
    Lost,
    /// Each is there or not.
    Some,
    /// Each sector of each is there or not.
    Torn,
}

impl Unflushed {
    pub(super) const ALL: [Unflushed; 4] =
        [Unflushed::Kept, Unflushed::Lost, Unflushed::Some, Unflushed::Torn];
}

/// The contents after a cut that came when `events` had happened to a disk that was `base`.
pub(super) fn after_cut(base: &[u8], events: &[Event], how: Unflushed, rng: &mut Rng) -> Vec<u8> {
    let flushed = events.iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
    let (durable, open) = events.split_at(flushed);
    let mut image = base.to_vec();
    for event in durable {
        put(&mut image, event, &mut |_| true);
    }
    for event in open {
        match how {
            Unflushed::Kept => put(&mut image, event, &mut |_| true),
            Unflushed::Lost => {}
            Unflushed::Some => {
                if rng.chance(50) {
                    put(&mut image, event, &mut |_| true);
                }
            }
            Unflushed::Torn => put(&mut image, event, &mut |_| rng.chance(50)),
        }
    }
    image
}

/// Writes the sectors of an event for which `kept` says so.
fn put(image: &mut [u8], event: &Event, kept: &mut dyn FnMut(usize) -> bool) {
    let Event::Write { offset, bytes } = event else { return };
    for (place, sector) in bytes.chunks(SECTOR).enumerate() {
        let from = offset + place * SECTOR;
        if let Some(target) = image.get_mut(from..from + sector.len())
            && kept(place)
        {
            target.copy_from_slice(sector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(offset: usize, byte: u8, len: usize) -> Event {
        Event::Write { offset, bytes: vec![byte; len].into() }
    }

    #[test]
    fn what_was_flushed_is_there_and_the_rest_as_drawn() {
        let events = [write(0, 1, 512), Event::Flush, write(512, 2, 1024)];
        let base = vec![0; 2048];
        let mut rng = Rng::new(3);
        let mut cut = |how| after_cut(&base, &events, how, &mut rng);
        let (kept, lost) = (cut(Unflushed::Kept), cut(Unflushed::Lost));
        assert_eq!((kept[0], kept[512], kept[1535], kept[1536]), (1, 2, 2, 0));
        assert_eq!((lost[0], lost[512]), (1, 0));
        let mut torn = 0;
        for _ in 0..100 {
            let image = cut(Unflushed::Torn);
            assert_eq!(image[0], 1, "the flushed write is always there");
            assert_eq!(image[512], image[1023], "a sector is written at once");
            torn += usize::from(image[512] != image[1024]);
            let some = cut(Unflushed::Some);
            assert_eq!(some[512], some[1535], "a write that is not torn is whole");
        }
        assert!(torn > 10, "only {torn} torn writes");
    }
}
