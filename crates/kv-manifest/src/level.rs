//! The tables of one level, and the search among them.

use crate::FileMeta;
use std::sync::Arc;

/// Tables in order: level 0 newest first, the others by key.
///
/// A sorted level also keeps the first eight bytes of each table's largest key behind the prefix
/// that all its keys share, so that a search touches one dense array and, for ties only, a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    files: Vec<Arc<FileMeta>>,
    /// How many bytes all keys of the level share; they are the first of any bound.
    prefix: usize,
    heads: Vec<u64>,
    size: u64,
}

impl Level {
    /// Level 0: newest first by sequence number, then by file number.
    pub(crate) fn by_age(mut files: Vec<Arc<FileMeta>>) -> Level {
        files.sort_by_key(|f| std::cmp::Reverse((f.max_seq, f.number)));
        let size = total(&files);
        Level { files, prefix: 0, heads: Vec::new(), size }
    }

    /// Any other level: by smallest key. Whether the tables are disjoint is for
    /// [`crate::Version::check`] to say.
    pub(crate) fn by_key(mut files: Vec<Arc<FileMeta>>) -> Level {
        files.sort_by(|a, b| a.smallest.cmp(&b.smallest).then(a.number.cmp(&b.number)));
        let prefix = match (files.first(), files.last()) {
            (Some(first), Some(last)) => common_prefix(&first.smallest, &last.largest),
            _ => 0,
        };
        let heads = files.iter().map(|f| head(&f.largest, prefix)).collect();
        let size = total(&files);
        Level { files, prefix, heads, size }
    }

    pub(crate) fn files(&self) -> &[Arc<FileMeta>] {
        &self.files
    }

    /// Bytes of all tables together.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The index of the first table of a sorted level that does not end before `key`.
    pub(crate) fn lower_bound(&self, key: &[u8]) -> usize {
        let Some(first) = self.files.first() else { return 0 };
        let shared = first.smallest.get(..self.prefix).unwrap_or_default();
        match key.get(..self.prefix) {
            Some(start) if start == shared => {}
            _ if key < shared => return 0,
            _ => return self.files.len(),
        }
        let wanted = head(key, self.prefix);
        let from = self.heads.partition_point(|&h| h < wanted);
        let ties = self.heads.get(from..).unwrap_or_default().partition_point(|&h| h == wanted);
        let tied = self.files.get(from..from + ties).unwrap_or_default();
        from + tied.partition_point(|f| f.ends_before(key))
    }

    /// The one table of a sorted level whose bounds hold `key`.
    pub(crate) fn find(&self, key: &[u8]) -> Option<&Arc<FileMeta>> {
        self.find_index(key).map(|(_, file)| file)
    }

    /// [`Level::find`], with the table's index.
    pub(crate) fn find_index(&self, key: &[u8]) -> Option<(usize, &Arc<FileMeta>)> {
        let i = self.lower_bound(key);
        self.files.get(i).filter(|f| f.smallest.as_ref() <= key).map(|file| (i, file))
    }
}

fn total(files: &[Arc<FileMeta>]) -> u64 {
    files.iter().fold(0, |sum, f| sum.saturating_add(f.size))
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// The eight bytes of `key` behind `prefix`, zero padded, as a number that orders as they do.
fn head(key: &[u8], prefix: usize) -> u64 {
    let rest = key.get(prefix..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(chunk) => u64::from_be_bytes(*chunk),
        None => {
            let mut padded = [0u8; 8];
            for (to, from) in padded.iter_mut().zip(rest) {
                *to = *from;
            }
            u64::from_be_bytes(padded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    #[test]
    fn search_agrees_with_a_walk() {
        // Shared prefixes, keys shorter than the head, ties in the head, an exclusive end.
        let bounds: [(&[u8], &[u8], bool); 6] = [
            (b"pre", b"pre\0", false),
            (b"preaaaaaaaa1", b"preaaaaaaaa2", true),
            (b"preaaaaaaaa2", b"preaaaaaaaa2", false),
            (b"preaaaaaaaa3", b"preaaaaaaaa5", false),
            (b"prec", b"pred", true),
            (b"pred", b"pred", false),
        ];
        let files = bounds
            .iter()
            .enumerate()
            .map(|(i, (smallest, largest, exclusive))| {
                let mut file = table(i as u64 + 1, smallest, largest);
                file.largest_exclusive = *exclusive;
                Arc::new(file)
            })
            .collect();
        let level = Level::by_key(files);
        let mut keys: Vec<Vec<u8>> =
            vec![b"".to_vec(), b"a".to_vec(), b"pr".to_vec(), b"z".to_vec()];
        for (a, b, _) in bounds {
            for key in [a, b] {
                keys.push(key.to_vec());
                keys.push([key, b"\0"].concat());
                keys.push([key, b"zzzzzzzzz"].concat());
                keys.push(key[..key.len() - 1].to_vec());
            }
        }
        for key in keys {
            let walked = level.files().iter().find(|f| f.contains(&key)).map(|f| f.number);
            assert_eq!(level.find(&key).map(|f| f.number), walked, "{key:?}");
            let bound = level.files().iter().take_while(|f| f.ends_before(&key)).count();
            assert_eq!(level.lower_bound(&key), bound, "{key:?}");
        }
    }
}
