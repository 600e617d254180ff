//! Reads all of a value file: to check it, and to show it to people.

use super::file::ValueFile;
use super::footer::{FOOTER_LEN, FORMAT_VERSION, Footer};
use super::record::{HEADER_LEN, Header};
use crate::dump::{DumpDetail, Dumped, Quoted};
use crate::error::Result;
use bytes::Bytes;
use kv_core::{Hasher64, ValuePointer};
use std::fmt::{self, Write};

/// After so many findings a file needs no further proof.
const MAX_FINDINGS: usize = 1000;
/// How much is read at once.
const READ_LEN: usize = 1 << 20;

/// One record that was met, or what lies in its place.
struct Met {
    offset: u64,
    /// Bytes with its header.
    stored: u64,
    header: Option<Header>,
    value: Result<Bytes>,
}

impl ValueFile {
    /// Checks every record, the footer and that the two agree. Answers all damage that it
    /// finds, up to 1000 findings; nothing where the file is whole.
    ///
    /// ```
    /// # use kv_sstable::{Compression, DumpDetail, ValueFile, ValueWriter};
    /// # use kv_vfs::{Fs, MemFs};
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/8.val"));
    /// # let file = fs.create_new(&path)?;
    /// # let mut writer = ValueWriter::new(file.clone(), path.clone(), 8, Compression::None);
    /// # let pointer = writer.add(b"a long value")?;
    /// # let summary = writer.finish()?;
    /// let values = ValueFile::open(file, path, 8, summary.size)?;
    /// assert!(values.verify().is_empty());
    /// assert_eq!(values.checksum_of_file()?, summary.checksum);
    /// assert!(values.bytes_of_file(0, 1 << 20)?.len() as u64 == values.size());
    /// let mut text = String::new();
    /// values.dump(DumpDetail { values: true, ..DumpDetail::default() }, &mut text)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self) -> Vec<crate::Error> {
        let mut findings = Vec::new();
        let footer = self.footer();
        let (mut records, mut value_bytes) = (0, 0);
        let end = self.walk(footer.as_ref().ok(), |met| {
            records += 1;
            value_bytes += met.header.map_or(0, |header| u64::from(header.len));
            findings.extend(met.value.err());
            findings.len() < MAX_FINDINGS
        });
        match footer {
            Err(error) => findings.push(error),
            Ok(footer) => {
                let checks = [
                    (
                        footer.file_number == self.number(),
                        "the file was written under another number",
                    ),
                    (footer.records_len == end, "the records end elsewhere than the footer says"),
                    (footer.records == records, "another number of records than the footer says"),
                    (footer.value_bytes == value_bytes, "other lengths than the footer says"),
                ];
                let wrong = checks.iter().find(|(holds, _)| !holds && findings.is_empty());
                findings
                    .extend(wrong.map(|(_, what)| self.source.corrupt(footer.records_len, what)));
            }
        }
        findings
    }

    /// Bytes of the file as it is now; fewer than `len` at its end.
    pub fn bytes_of_file(&self, offset: u64, len: usize) -> Result<Bytes> {
        let left = self.size.saturating_sub(offset);
        self.source.read(offset, usize::try_from(left).map_or(len, |left| left.min(len)))
    }

    /// XXH3-64 of the whole file as it is now.
    pub fn checksum_of_file(&self) -> Result<u64> {
        let mut hasher = Hasher64::default();
        let mut offset = 0;
        while offset < self.size {
            let len = usize::try_from(self.size - offset).map_or(READ_LEN, |len| len.min(READ_LEN));
            hasher.update(&self.source.read(offset, len)?);
            offset += len as u64;
        }
        Ok(hasher.finish())
    }

    /// Writes every record with its place and lengths, then the footer; values only where the
    /// detail asks for them. What is damaged is shown as such. Answers how many damaged parts
    /// were shown.
    pub fn dump(&self, detail: DumpDetail, out: &mut dyn Write) -> Dumped {
        let footer = self.footer();
        let mut damaged = 0;
        let (number, size) = (self.number(), self.size);
        writeln!(out, "value file {number}: {size} bytes, format {FORMAT_VERSION}")?;
        let mut written: fmt::Result = Ok(());
        self.walk(footer.as_ref().ok(), |met| {
            damaged += u64::from(met.value.is_err());
            if detail.blocks || detail.entries || met.value.is_err() {
                written = show(out, &met, detail.values);
            }
            written.is_ok()
        });
        written?;
        let at = size.saturating_sub(FOOTER_LEN as u64);
        match footer {
            Ok(footer) => show_footer(out, at, &footer)?,
            Err(error) => {
                damaged += 1;
                writeln!(out, "{at}: footer: {error}")?;
            }
        }
        Ok(damaged)
    }

    /// Hands every record to `met`, as long as that wants more. Answers where the last one ends.
    /// Behind a record whose lengths cannot be true nothing is found.
    fn walk(&self, footer: Option<&Footer>, mut met: impl FnMut(Met) -> bool) -> u64 {
        let tail = self.size.saturating_sub(FOOTER_LEN as u64);
        let end = footer.map_or(tail, |footer| footer.records_len);
        let mut offset = 0;
        while offset < end {
            let next = self.met(offset, end);
            let stored = next.stored;
            let lost = next.header.is_none();
            if !met(next) || lost {
                break;
            }
            offset += stored;
        }
        offset
    }

    fn met(&self, offset: u64, end: u64) -> Met {
        let left = end - offset;
        let head = usize::try_from(left).map_or(HEADER_LEN, |left| left.min(HEADER_LEN));
        let header = self.source.read(offset, head).and_then(|bytes| {
            let header = Header::decode(&bytes)
                .map_err(|malformed| crate::Error::malformed(self.path(), offset, malformed))?;
            match u64::from(header.stored) + HEADER_LEN as u64 <= left {
                true => Ok(header),
                false => Err(self.source.corrupt(offset, "a record that ends outside")),
            }
        });
        let header = match header {
            Ok(header) => header,
            Err(error) => return Met { offset, stored: left, header: None, value: Err(error) },
        };
        let stored = header.stored.saturating_add(HEADER_LEN as u32);
        let pointer = ValuePointer { file: self.number(), offset, stored, len: header.len };
        Met { offset, stored: u64::from(stored), header: Some(header), value: self.read(&pointer) }
    }
}

fn show(out: &mut dyn Write, met: &Met, values: bool) -> fmt::Result {
    write!(out, "{}: record, {} bytes", met.offset, met.stored)?;
    if let Some(header) = met.header {
        let codec = crate::codec::codec_by_id(header.codec).map_or("none", |codec| codec.name());
        write!(out, ", value of {} bytes, compression {codec}", header.len)?;
    }
    match &met.value {
        Err(error) => writeln!(out, ": DAMAGED: {error}"),
        Ok(value) if values => writeln!(out, " {}", Quoted(value)),
        Ok(_) => writeln!(out),
    }
}

fn show_footer(out: &mut dyn Write, at: u64, footer: &Footer) -> fmt::Result {
    let codec = crate::codec::codec_by_id(footer.compression).map_or("none", |codec| codec.name());
    writeln!(out, "{at}: footer")?;
    let fields = [
        ("file_number", footer.file_number),
        ("records", footer.records),
        ("records_len", footer.records_len),
        ("value_bytes", footer.value_bytes),
    ];
    for (name, n) in fields {
        writeln!(out, "    {name} {n}")?;
    }
    writeln!(out, "    compression {codec}")
}
