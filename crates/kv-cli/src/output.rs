//! Standard output: buffered, as lines or as JSON.

use crate::failure::Failure;
use crate::form::hex;
use serde_json::{Map, Value};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

pub(crate) struct Output {
    to: BufWriter<StdoutLock<'static>>,
    /// Whether answers are objects of JSON.
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { to: BufWriter::with_capacity(64 << 10, io::stdout().lock()), json }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.to.get_ref().is_terminal()
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(Failure::output)
    }

    pub(crate) fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.bytes(line)?;
        self.bytes(b"\n")
    }

    pub(crate) fn object(&mut self, object: Map<String, Value>) -> Result<(), Failure> {
        self.line(Value::Object(object).to_string().as_bytes())
    }

    /// Hands on what is buffered, for a reader who waits for it.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(Failure::output)
    }

    /// Hands on what is buffered, and tells whether that was possible.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.to.flush().map_err(Failure::output)
    }
}

/// Adds bytes to an object: as text under `name` where they are UTF-8, else as `name_hex`.
pub(crate) fn add_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8], as_hex: bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) if !as_hex => object.insert(name.to_owned(), text.into()),
        _ => object.insert(format!("{name}_hex"), hex(bytes).into()),
    };
}
