//! Records out of a stream of bytes, one at a time and with the line that they come from.

use crate::args::Input;
use crate::failure::Failure;
use crate::records::{MAX_KEY_LEN, MAX_VALUE_LEN, Record, from_json, from_line};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// No record's line is longer: JSON writes a byte with up to six.
const MAX_LINE_LEN: u64 = 6 * (MAX_KEY_LEN + MAX_VALUE_LEN) as u64 + 1024;

/// Bytes to load.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Read>,
    /// How many, where that is known.
    pub(super) len: Option<u64>,
}

/// Opens a file, or standard input for `-` and nothing.
#[expect(clippy::disallowed_methods, reason = "a file of the user, not of the store")]
pub(super) fn open(file: Option<&Path>) -> Result<Opened, Failure> {
    let Some(path) = file.filter(|path| path.as_os_str() != "-") else {
        return Ok(Opened { reader: Box::new(io::stdin().lock()), len: None });
    };
    let told = |error| Failure::broken(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(told)?;
    let metadata = file.metadata().map_err(told)?;
    if metadata.is_dir() {
        return Err(told(io::ErrorKind::IsADirectory.into()));
    }
    let len = metadata.is_file().then_some(metadata.len());
    Ok(Opened { reader: Box::new(file), len })
}

/// What comes next.
pub(super) enum Step {
    Record(Record),
    /// Something that is no record, and why; the next one may be.
    Bad(&'static str),
    End,
}

pub(super) struct Source<R> {
    form: Form<R>,
    /// The line of the last step, from 1.
    line: u64,
}

enum Form<R> {
    Lines { reader: BufReader<R>, line: Vec<u8>, parse: fn(&[u8]) -> Step },
    Csv { reader: csv::Reader<R>, record: csv::ByteRecord },
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R, form: Input, header: bool, keys_only: bool) -> Source<R> {
        let lines = |reader, parse| Form::Lines {
            reader: BufReader::with_capacity(256 << 10, reader),
            line: Vec::new(),
            parse,
        };
        let form = match form {
            Input::Tsv if keys_only => lines(reader, |line| Step::Record((line.to_vec(), vec![]))),
            Input::Tsv => lines(reader, |line| step(from_line(line))),
            Input::Json => lines(reader, |line| step(from_json(line))),
            Input::Csv => Form::Csv {
                // Records of another length than the first are reported here, not there.
                reader: csv::ReaderBuilder::new()
                    .has_headers(header)
                    .flexible(true)
                    .from_reader(reader),
                record: csv::ByteRecord::new(),
            },
        };
        Source { form, line: 0 }
    }

    /// The place of the last step, in words.
    pub(super) fn place(&self) -> String {
        format!("line {}", self.line)
    }

    pub(super) fn next(&mut self) -> Result<Step, Failure> {
        match &mut self.form {
            Form::Lines { reader, line, parse } => {
                line.clear();
                let told = |error| Failure::broken(format!("cannot read the input: {error}"));
                reader.take(MAX_LINE_LEN).read_until(b'\n', line).map_err(told)?;
                if line.is_empty() {
                    return Ok(Step::End);
                }
                self.line += 1;
                if line.len() as u64 == MAX_LINE_LEN {
                    return Err(Failure::broken(format!("{}: no end of the line", self.place())));
                }
                Ok(parse(line.strip_suffix(b"\n").unwrap_or(line)))
            }
            Form::Csv { reader, record } => {
                let told = |error| Failure::broken(format!("cannot read the input: {error}"));
                let found = reader.read_byte_record(record).map_err(told)?;
                self.line = record.position().map_or(self.line, csv::Position::line);
                Ok(match (found, record.get(0), record.get(1), record.len()) {
                    (false, ..) => Step::End,
                    (true, Some(key), Some(value), 2) => {
                        Step::Record((key.to_vec(), value.to_vec()))
                    }
                    (true, ..) => Step::Bad("not two columns"),
                })
            }
        }
    }
}

fn step(parsed: Result<Record, &'static str>) -> Step {
    match parsed {
        Ok(record) => Step::Record(record),
        Err(reason) => Step::Bad(reason),
    }
}
