//! The description of one point in time: `docs/format/backup.md`.

use super::target::{FILES, POINTS};
use crate::error::{Error, ErrorKind, Result};
use kv_core::{Take, hash64};
use kv_manifest::{FileName, State};
use std::path::Path;

pub(super) const MAGIC: [u8; 8] = *b"kvbackup";
pub(super) const FORMAT: u32 = 1;
/// Bytes before the state.
pub(super) const HEADER_LEN: usize = 40;
/// Bytes behind it.
pub(super) const CHECKSUM_LEN: usize = 8;
const EXTENSION: &str = ".point";

/// A state of a store whose files all lie in the backup.
pub(super) struct Point {
    pub(super) number: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub(super) made_ms: u64,
    /// Bytes of the files that were not there before.
    pub(super) copied: u64,
    pub(super) state: State,
}

/// A file of a point.
pub(super) struct Wanted {
    /// Its name in a store.
    pub(super) name: FileName,
    /// Its name in the backup, without the folder.
    pub(super) object: String,
    pub(super) size: u64,
    /// XXH3-64 of the whole file.
    pub(super) checksum: u64,
}

impl Wanted {
    fn new(store: u128, name: FileName, size: u64, checksum: u64) -> Wanted {
        let number = name.number().unwrap_or(0);
        let end = if matches!(name, FileName::Values(_)) { "val" } else { "sst" };
        let object = format!("{store:032x}-{number:06}-{checksum:016x}.{end}");
        Wanted { name, object, size, checksum }
    }

    pub(super) fn path(&self) -> String {
        format!("{FILES}/{}", self.object)
    }
}

/// Whether a name in the folder of files is one that [`Wanted`] gives.
pub(super) fn is_file(object: &str) -> bool {
    let stem = object.strip_suffix(".sst").or_else(|| object.strip_suffix(".val"));
    let mut parts = stem.unwrap_or_default().split('-');
    let hex = |part: Option<&str>, len: usize| {
        part.is_some_and(|p| p.len() == len && p.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let digits = |p: &str| p.len() >= 6 && p.bytes().all(|b| b.is_ascii_digit());
    hex(parts.next(), 32)
        && parts.next().is_some_and(digits)
        && hex(parts.next(), 16)
        && parts.next().is_none()
}

/// Where the description of a point lies.
pub(super) fn path_of(number: u64) -> String {
    format!("{POINTS}/{number:08}{EXTENSION}")
}

/// The number in a name of the folder of points.
pub(super) fn number_of(object: &str) -> Option<u64> {
    let number = object.strip_suffix(EXTENSION)?.parse().ok()?;
    (path_of(number).strip_prefix(POINTS)?.strip_prefix('/')? == object).then_some(number)
}

impl Point {
    /// The files, tables first.
    pub(super) fn files(&self) -> impl Iterator<Item = Wanted> {
        let (state, store) = (&self.state, self.state.db_id);
        let tables = state.version.files().map(move |(_, file)| {
            Wanted::new(store, FileName::Table(file.number), file.size, file.checksum)
        });
        let values = state.version.values().iter().map(move |values| {
            let meta = values.meta;
            Wanted::new(store, FileName::Values(meta.number), meta.size, meta.checksum)
        });
        tables.chain(values)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.state.version.total_size() + self.state.version.value_size()
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let state = self.state.encode();
        let len = u32::try_from(state.len()).map_err(|_| {
            Error::new(ErrorKind::Unsupported, "the store has too many files for one backup")
        })?;
        let mut out = Vec::with_capacity(HEADER_LEN + state.len() + CHECKSUM_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        for number in [self.number, self.made_ms, self.copied] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&state);
        out.extend_from_slice(&hash64(&out).to_le_bytes());
        Ok(out)
    }

    /// Reads the description of point `number`; nothing of it is believed before its checksum.
    pub(super) fn decode(bytes: &[u8], number: u64) -> Result<Point> {
        let path = path_of(number);
        let damaged =
            |what: &str| Error::corrupt(format!("{path} of the backup is damaged: {what}"));
        let short = |_| damaged("it is too short");
        let body =
            bytes.len().checked_sub(CHECKSUM_LEN).and_then(|len| bytes.split_at_checked(len));
        let (body, checksum) = body.ok_or_else(|| damaged("it is too short"))?;
        let mut take = Take::new(body);
        if take.array::<8>().map_err(short)? != MAGIC {
            return Err(damaged("it is no description of a point"));
        }
        if checksum != hash64(body).to_le_bytes() {
            return Err(damaged("its checksum does not match"));
        }
        let format = take.u32().map_err(short)?;
        if format != FORMAT {
            let what = format!("{path} of the backup has the unknown format {format}");
            let message = format!("{what}; use the release that wrote it");
            return Err(Error::new(ErrorKind::IncompatibleFormat, message));
        }
        let len = take.u32().map_err(short)?;
        let said = take.u64().map_err(short)?;
        let made_ms = take.u64().map_err(short)?;
        let copied = take.u64().map_err(short)?;
        if said != number {
            return Err(damaged("it is the description of another point"));
        }
        if take.remaining() as u64 != u64::from(len) {
            return Err(damaged("its length does not match"));
        }
        let state = State::decode(take.rest(), Path::new(&path), HEADER_LEN as u64)?;
        Ok(Point { number, made_ms, copied, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const DOCUMENT: &str = include_str!("../../../../docs/format/backup.md");

    fn empty() -> Point {
        Point { number: 3, made_ms: 0x0199_0000_0000, copied: 4096, state: State::new(7) }
    }

    /// The `| offset | width | name |` rows of the document.
    fn fields() -> Vec<(String, String, String)> {
        let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| offset")).skip(2);
        let cells = rows.take_while(|line| line.starts_with('|')).map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            let mut cell = || cells.next().unwrap_or_default();
            (cell(), cell(), cell())
        });
        cells.collect()
    }

    #[test]
    fn the_document_names_the_fields() {
        let state = empty().state.encode().len();
        let expected: [(&str, usize, &[u8]); 8] = [
            ("magic", 0, &MAGIC),
            ("format", 8, &FORMAT.to_le_bytes()),
            ("state_len", 12, &(state as u32).to_le_bytes()),
            ("number", 16, &3_u64.to_le_bytes()),
            ("made", 24, &0x0199_0000_0000_u64.to_le_bytes()),
            ("copied", 32, &4096_u64.to_le_bytes()),
            ("state", HEADER_LEN, &empty().state.encode()),
            ("checksum", HEADER_LEN + state, &[]),
        ];
        let encoded = empty().encode().ok().unwrap_or_default();
        let fields = fields();
        assert_eq!(fields.len(), expected.len());
        for ((offset, width, name), (expected, at, bytes)) in fields.iter().zip(expected) {
            assert_eq!(name, expected);
            if let Ok(offset) = offset.parse::<usize>() {
                assert_eq!(offset, at, "{name}");
            }
            if let Ok(width) = width.parse::<usize>() {
                assert_eq!(width, if name == "checksum" { CHECKSUM_LEN } else { bytes.len() });
            }
            assert_eq!(encoded.get(at..at + bytes.len()), Some(bytes), "{name}");
        }
    }

    #[test]
    fn the_worked_example_is_what_is_written() {
        let encoded = empty().encode().ok().unwrap_or_default();
        let block = DOCUMENT.rsplit("```").nth(1).unwrap_or_default();
        let shown: Vec<u8> = block
            .lines()
            .flat_map(|line| line.split("  ").next().unwrap_or("").split_whitespace())
            .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
            .collect();
        let mut built = String::new();
        for row in encoded.chunks(16) {
            let _ = writeln!(built, "{row:02x?}");
        }
        assert!(shown == encoded, "written:\n{built}");
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_refused() {
        let encoded = empty().encode().ok().unwrap_or_default();
        assert!(Point::decode(&encoded, 3).is_ok());
        assert!(Point::decode(&encoded, 4).is_err());
        for cut in 0..encoded.len() {
            assert!(Point::decode(encoded.get(..cut).unwrap_or_default(), 3).is_err(), "{cut}");
        }
        for bit in 0..encoded.len() * 8 {
            let mut changed = encoded.clone();
            if let Some(byte) = changed.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            assert!(Point::decode(&changed, 3).is_err(), "{bit}");
        }
    }

    #[test]
    fn a_newer_format_is_told_by_name() {
        let mut encoded = empty().encode().ok().unwrap_or_default();
        if let Some(byte) = encoded.get_mut(8) {
            *byte = 2;
        }
        let len = encoded.len() - CHECKSUM_LEN;
        encoded.truncate(len);
        let checksum = hash64(&encoded);
        encoded.extend_from_slice(&checksum.to_le_bytes());
        let error = Point::decode(&encoded, 3).err();
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::IncompatibleFormat));
    }

    #[test]
    fn names_are_read_in_one_form_only() {
        assert_eq!(number_of("00000012.point"), Some(12));
        assert_eq!(number_of("123456789.point"), Some(123_456_789));
        for wrong in ["12.point", "00000012", "+0000012.point", "00000012.point.tmp", "x.point"] {
            assert_eq!(number_of(wrong), None, "{wrong}");
        }
        let wanted = Wanted::new(7, FileName::Table(12), 0, 1);
        assert!(is_file(&wanted.object), "{}", wanted.object);
        for wrong in ["notes.txt", "000012.sst", ".sst", ""] {
            assert!(!is_file(wrong), "{wrong}");
        }
    }
}
