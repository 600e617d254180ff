//! What a fixture must hold: `expect.json` beside its files.

use crate::contents::{Contents, Pairs};
use crate::image::Image;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// Values longer than this are told by length and hash.
const SHOWN: usize = 48;

/// What a fixture is and holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expect {
    /// What is special about it, in one sentence.
    pub(crate) note: String,
    /// Whether the store was closed in order.
    pub(crate) clean: bool,
    /// The newest sequence number.
    pub(crate) sequence: u64,
    /// Digests of the contents after each write that the logs hold, beginning with what is in
    /// tables; the last is that of all.
    pub(crate) states: Vec<u64>,
    /// The index in `states` of the last one that a later record vouches for.
    pub(crate) proven: usize,
    /// Keyspaces with their pairs, as text.
    spaces: Value,
    files: Map<String, Value>,
}

impl Expect {
    pub(crate) fn new(note: &str, contents: &Contents, image: &Image) -> Expect {
        let spaces = contents.spaces.iter().map(|(name, pairs)| (name.clone(), pairs_json(pairs)));
        let files = image.files.iter().map(|(name, bytes)| (name.clone(), file_json(bytes)));
        Expect {
            note: note.to_owned(),
            spaces: Value::Object(spaces.collect()),
            files: files.collect(),
            ..Expect::default()
        }
    }

    /// Fails, and says how, unless `contents` are the expected ones.
    pub(crate) fn check_contents(&self, contents: &Contents) -> Result<()> {
        let spaces = contents.spaces.iter().map(|(name, pairs)| (name.clone(), pairs_json(pairs)));
        let found = Value::Object(spaces.collect());
        if found != self.spaces {
            let (found, expected) = (contents.len(), self.pairs());
            bail!("the contents differ: {found} pairs were found, {expected} are expected");
        }
        let digest = contents.digest();
        ensure!(self.states.last() == Some(&digest), "the digest of the contents differs");
        Ok(())
    }

    /// Fails unless `image` has exactly the files that were written once.
    pub(crate) fn check_files(&self, image: &Image) -> Result<()> {
        for (name, bytes) in &image.files {
            let expected = self.files.get(name);
            let expected = expected.with_context(|| format!("{name} was not there at first"))?;
            ensure!(*expected == file_json(bytes), "{name} is not as it was written");
        }
        let missing = self.files.keys().find(|name| !image.files.contains_key(*name));
        ensure!(missing.is_none(), "{} is missing", missing.map_or("", String::as_str));
        Ok(())
    }

    fn pairs(&self) -> usize {
        let spaces = self.spaces.as_object();
        spaces.map_or(0, |all| all.values().filter_map(Value::as_object).map(Map::len).sum())
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "note": self.note,
            "clean": self.clean,
            "sequence": self.sequence,
            "states": self.states.iter().map(|digest| hex(*digest)).collect::<Vec<_>>(),
            "proven": self.proven,
            "keyspaces": self.spaces,
            "files": self.files,
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Expect> {
        let all: Value = serde_json::from_str(text)?;
        let number = |name: &str| all[name].as_u64().with_context(|| format!("{name} is missing"));
        let states = all["states"].as_array().context("states is missing")?.iter();
        let states = states.map(|digest| {
            let digest = digest.as_str().context("a digest is a string")?;
            Ok(u64::from_str_radix(digest, 16)?)
        });
        Ok(Expect {
            note: all["note"].as_str().context("note is missing")?.to_owned(),
            clean: all["clean"].as_bool().context("clean is missing")?,
            sequence: number("sequence")?,
            states: states.collect::<Result<_>>()?,
            proven: usize::try_from(number("proven")?)?,
            spaces: all["keyspaces"].clone(),
            files: all["files"].as_object().context("files is missing")?.clone(),
        })
    }
}

fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn pairs_json(pairs: &Pairs) -> Value {
    let text = |bytes: &[u8]| match bytes.len() {
        0..=SHOWN => bytes.escape_ascii().to_string(),
        len => format!("{len} bytes {}", hex(xxh3_64(bytes))),
    };
    Value::Object(pairs.iter().map(|(key, value)| (text(key), json!(text(value)))).collect())
}

fn file_json(bytes: &[u8]) -> Value {
    json!(format!("{} bytes {}", bytes.len(), hex(xxh3_64(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_another_value_is_found() {
        let mut contents = Contents::default();
        let pairs = contents.spaces.entry("users".to_owned()).or_default();
        pairs.insert(b"a\xff".to_vec(), vec![7; 100]);
        let image = Image { files: [("CURRENT".to_owned(), b"x"[..].into())].into() };
        let mut expect = Expect::new("a note", &contents, &image);
        expect.states = vec![1, contents.digest()];
        let expect = Expect::parse(&expect.json().to_string()).unwrap();
        expect.check_contents(&contents).unwrap();
        expect.check_files(&image).unwrap();
        if let Some(value) = contents.spaces.get_mut("users").and_then(|p| p.values_mut().next()) {
            value[99] ^= 1;
        }
        assert!(expect.check_contents(&contents).is_err());
        assert!(expect.check_files(&Image::default()).is_err());
    }
}
