//! `dump`: everything of a keyspace, in lines that `load` reads back.

use crate::args::Dump;
use crate::failure::Failure;
use crate::output::{Output, add_bytes};
use crate::{progress, records, store};
use serde_json::Map;
use std::path::Path;

pub(crate) fn dump(dir: &Path, args: Dump, out: &mut Output) -> Result<(), Failure> {
    let db = store::for_reading(dir)?;
    let keyspace = store::existing(&db, &args.space)?;
    let bar = progress::counting("dumping");
    for pair in keyspace.iter() {
        let (key, value) = pair?;
        if out.json {
            let mut object = Map::new();
            add_bytes(&mut object, "key", &key, false);
            add_bytes(&mut object, "value", &value, false);
            out.object(object)?;
        } else {
            out.line(&records::to_line(&key, &value))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}
