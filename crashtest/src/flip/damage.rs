//! Every way in which a file is damaged, as a value that is written down and read back.

use crate::image::Image;
use crate::rng::Rng;
use anyhow::{Context, Result, ensure};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub(crate) const SECTOR: usize = 512;

/// What happens to a file of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) file: String,
    pub(crate) how: How,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The byte at an offset, with these bits turned.
    Flip(usize, u8),
    /// Cut to this length.
    Cut(usize),
    /// So many zeros behind its end.
    Zeros(usize),
    /// So many random bytes behind its end.
    Garbage(usize),
    /// This sector is zero.
    SectorZero(usize),
    /// This sector is random.
    SectorRandom(usize),
    /// Two sectors in each other's place.
    SectorSwap(usize, usize),
    /// The first sector lies in the place of the second one, too.
    SectorCopy(usize, usize),
    /// The file is not there.
    Delete,
    /// Two files under each other's name.
    Swap(String),
    /// The file as it was at this earlier moment.
    Older(usize),
}

/// The new bytes of each file that is not as it was; `None` where it is gone.
pub(crate) type Changes = Vec<(String, Option<Arc<[u8]>>)>;

impl Damage {
    /// What the damage makes of `image`; nothing where it changes nothing.
    pub(crate) fn apply(&self, image: &Image, earlier: &[Image]) -> Result<Changes> {
        let old = image.files.get(&self.file);
        let old = old.with_context(|| format!("there is no file {}", self.file))?;
        let one = |bytes: Option<Arc<[u8]>>| vec![(self.file.clone(), bytes)];
        let mut changes = match &self.how {
            How::Delete => one(None),
            How::Swap(other) => {
                let bytes = image.files.get(other).context("there is no such other file")?;
                vec![
                    (self.file.clone(), Some(Arc::clone(bytes))),
                    (other.clone(), Some(Arc::clone(old))),
                ]
            }
            How::Older(moment) => {
                let then = earlier.get(*moment).and_then(|image| image.files.get(&self.file));
                let then = then.with_context(|| format!("{} was not there then", self.file))?;
                one(Some(Arc::clone(then)))
            }
            how => one(Some(within(how, old)?.into())),
        };
        changes.retain(|(name, bytes)| image.files.get(name) != bytes.as_ref());
        Ok(changes)
    }
}

/// The damage to the bytes of one file.
fn within(how: &How, old: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = old.to_vec();
    let sector = |n: usize| -> Result<std::ops::Range<usize>> {
        let range = n * SECTOR..((n + 1) * SECTOR).min(old.len());
        ensure!(!range.is_empty(), "the file has no sector {n}");
        Ok(range)
    };
    match how {
        How::Flip(at, mask) => *bytes.get_mut(*at).context("behind the end")? ^= mask,
        How::Cut(len) => bytes.truncate(*len),
        How::Zeros(len) => bytes.resize(old.len() + len, 0),
        How::Garbage(len) => {
            let mut rng = Rng::new(*len as u64);
            bytes.extend(std::iter::repeat_with(|| rng.next() as u8).take(*len));
        }
        How::SectorZero(n) => bytes[sector(*n)?].fill(0),
        How::SectorRandom(n) => {
            let mut rng = Rng::new(*n as u64);
            bytes[sector(*n)?].fill_with(|| rng.next() as u8);
        }
        How::SectorSwap(a, b) => {
            let (a, b) = (sector(*a)?, sector(*b)?);
            let len = a.len().min(b.len());
            let (first, second) = (old[a.clone()][..len].to_vec(), old[b.clone()][..len].to_vec());
            bytes[a][..len].copy_from_slice(&second);
            bytes[b][..len].copy_from_slice(&first);
        }
        How::SectorCopy(from, to) => {
            let (from, to) = (sector(*from)?, sector(*to)?);
            let len = from.len().min(to.len());
            bytes[to][..len].copy_from_slice(&old[from][..len]);
        }
        How::Delete | How::Swap(_) | How::Older(_) => {}
    }
    Ok(bytes)
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match &self.how {
            How::Flip(at, mask) => write!(f, "flip:{file}:{at}:{mask}"),
            How::Cut(len) => write!(f, "cut:{file}:{len}"),
            How::Zeros(len) => write!(f, "zeros:{file}:{len}"),
            How::Garbage(len) => write!(f, "garbage:{file}:{len}"),
            How::SectorZero(n) => write!(f, "sector-zero:{file}:{n}"),
            How::SectorRandom(n) => write!(f, "sector-random:{file}:{n}"),
            How::SectorSwap(a, b) => write!(f, "sector-swap:{file}:{a}:{b}"),
            How::SectorCopy(a, b) => write!(f, "sector-copy:{file}:{a}:{b}"),
            How::Delete => write!(f, "delete:{file}"),
            How::Swap(other) => write!(f, "swap:{file}:{other}"),
            How::Older(moment) => write!(f, "older:{file}:{moment}"),
        }
    }
}

impl FromStr for Damage {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Damage> {
        let words: Vec<&str> = text.split(':').collect();
        let word = |n: usize| words.get(n).copied().context("the damage has too few words");
        let number = |n: usize| -> Result<usize> { Ok(word(n)?.parse()?) };
        let how = match word(0)? {
            "flip" => How::Flip(number(2)?, u8::try_from(number(3)?)?),
            "cut" => How::Cut(number(2)?),
            "zeros" => How::Zeros(number(2)?),
            "garbage" => How::Garbage(number(2)?),
            "sector-zero" => How::SectorZero(number(2)?),
            "sector-random" => How::SectorRandom(number(2)?),
            "sector-swap" => How::SectorSwap(number(2)?, number(3)?),
            "sector-copy" => How::SectorCopy(number(2)?, number(3)?),
            "delete" => How::Delete,
            "swap" => How::Swap(word(2)?.to_owned()),
            "older" => How::Older(number(2)?),
            other => anyhow::bail!("there is no damage called {other}"),
        };
        Ok(Damage { file: word(1)?.to_owned(), how })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        let bytes: Vec<u8> = (0..1300_u32).map(|n| (n / 7) as u8).collect();
        let files = [("a".to_owned(), bytes.into()), ("b".to_owned(), [1, 2][..].into())];
        Image { files: files.into() }
    }

    #[test]
    fn every_damage_is_written_down_changes_something_and_is_read_back() {
        let earlier = [Image { files: [("a".to_owned(), [7][..].into())].into() }];
        let all = [
            "flip:a:3:255",
            "cut:a:1299",
            "zeros:a:1",
            "garbage:a:512",
            "sector-zero:a:1",
            "sector-random:a:2",
            "sector-swap:a:0:2",
            "sector-copy:a:1:0",
            "delete:a",
            "swap:a:b",
            "older:a:0",
        ];
        for text in all {
            let damage: Damage = text.parse().unwrap();
            assert_eq!(damage.to_string(), text);
            let changes = damage.apply(&image(), &earlier).unwrap();
            assert_eq!(changes.len(), if text.starts_with("swap") { 2 } else { 1 }, "{text}");
        }
    }

    #[test]
    fn what_changes_nothing_is_no_damage() {
        let mut image = image();
        image.files.insert("a".to_owned(), vec![0; 1024].into());
        for text in ["flip:a:3:0", "cut:a:1024", "sector-zero:a:1", "sector-swap:a:0:1"] {
            let damage: Damage = text.parse().unwrap();
            assert!(damage.apply(&image, &[]).unwrap().is_empty(), "{text}");
        }
    }
}
