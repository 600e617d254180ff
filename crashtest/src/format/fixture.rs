//! The fixtures on disk: read as often as one likes, written once.

use super::expect::Expect;
use super::recipes::RECIPES;
use crate::image::Image;
use crate::report::Row;
use anyhow::{Context, Result, ensure};
use kv_vfs::StdFs;
use std::path::{Path, PathBuf};

/// The most that all fixtures of a version may take together.
const LIMIT: usize = 400 << 10;

/// A fixture, loaded.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) image: Image,
    pub(crate) expect: Expect,
    /// The files as they were at earlier moments; known of those only that were made just now.
    pub(crate) earlier: Vec<Image>,
}

/// Where the fixtures of all format versions are, a directory for each.
fn homes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/fixtures")
}

/// Where the fixtures of format version 1 are.
#[cfg(test)]
pub(crate) fn home() -> PathBuf {
    homes().join("v1")
}

/// Where the fixture with that name is, of whichever format version.
pub(crate) fn place(name: &str) -> PathBuf {
    let recipe = RECIPES.iter().find(|recipe| recipe.name == name);
    homes().join(recipe.map_or("v1", |recipe| recipe.version)).join(name)
}

/// The fixture in `dir`, whose files must be those that were written once.
pub(crate) fn load(dir: &Path) -> Result<Fixture> {
    let name = dir.file_name().context("a fixture is a directory")?.to_string_lossy().into_owned();
    let text = std::fs::read_to_string(dir.join("expect.json"))
        .with_context(|| format!("{}: expect.json", dir.display()))?;
    let expect = Expect::parse(&text).with_context(|| format!("{name}: expect.json"))?;
    let image = Image::read(&StdFs::new(), &dir.join("store"))?;
    expect.check_files(&image).with_context(|| format!("the fixture {name} was changed"))?;
    Ok(Fixture { name, image, expect, earlier: Vec::new() })
}

/// All fixtures, by name.
pub(crate) fn load_all() -> Result<Vec<Fixture>> {
    let mut fixtures = Vec::new();
    for home in directories(&homes())? {
        let dirs = directories(&home)?;
        let of_version = dirs.iter().map(|dir| load(dir)).collect::<Result<Vec<_>>>()?;
        let bytes: usize = of_version.iter().map(|fixture| fixture.image.len()).sum();
        let home = home.display();
        ensure!(bytes <= LIMIT, "{home}: {bytes} bytes of fixtures, and {LIMIT} are allowed");
        fixtures.extend(of_version);
    }
    Ok(fixtures)
}

/// The directories in one, by name; there is one at least.
fn directories(home: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(home).with_context(|| home.display().to_string())?;
    let mut dirs = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    dirs.retain(|path| path.is_dir());
    dirs.sort_unstable();
    ensure!(!dirs.is_empty(), "{}: there are no fixtures", home.display());
    Ok(dirs)
}

/// The same stores, made anew in memory, with their earlier moments.
pub(crate) fn make_all() -> Result<Vec<Fixture>> {
    let make = |recipe: &super::recipes::Recipe| {
        let made = (recipe.make)().with_context(|| format!("the recipe {}", recipe.name))?;
        let (name, image) = (format!("new-{}", recipe.name), made.image);
        Ok(Fixture { name, image, expect: made.expect, earlier: made.earlier })
    };
    RECIPES.iter().map(make).collect()
}

/// Writes the fixture `name`, or each that is missing.
pub(crate) fn make(name: &str) -> Result<Vec<Row>> {
    let wanted = |recipe: &&super::recipes::Recipe| match name {
        "all" => !place(recipe.name).exists(),
        name => recipe.name == name,
    };
    let mut row = Row::new("format make", "fixtures");
    for recipe in RECIPES.iter().filter(wanted) {
        let dir = place(recipe.name);
        ensure!(
            !dir.exists(),
            "{} is there: a fixture is written once and never again; give the new one another name",
            dir.display()
        );
        let made = (recipe.make)().with_context(|| format!("the recipe {}", recipe.name))?;
        std::fs::create_dir_all(&dir)?;
        made.image.write(&StdFs::new(), &dir.join("store"))?;
        let text = serde_json::to_string_pretty(&made.expect.json())?;
        std::fs::write(dir.join("expect.json"), text + "\n")?;
        row.ran += 1;
        row.notes.push(format!("{}: {} bytes", recipe.name, made.image.len()));
    }
    ensure!(row.ran > 0 || name == "all", "there is no recipe {name}");
    Ok(vec![row])
}
