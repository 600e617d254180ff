//! What a power cut may do: which operations survive, how they tear, and what lies in the holes.

use std::fmt;

/// Which of the pending operations survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CutOrder {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// Any subset, of the operations on contents and of those on names; only the order of
    /// operations on one name, or on the same bytes, is kept.
    Strict,
    /// As a journal that orders: operations on names survive as a prefix of all, and a file's
    /// length only with the data below it. What was overwritten in place may be there or not.
    Ext4Ordered,
    /// As a journal that orders nothing but itself: operations on names survive as a prefix, and
    /// lengths as one for each file, with or without the data below them.
    Writeback,
    /// A prefix of all operations on contents and names together.
    GlobalPrefix,
    /// As [`CutOrder::Strict`], but at the end of what happened to each file and directory some
    /// operations are only late: they are not there after this cut and may be after the next one,
    /// unless a sync of that file or directory comes between.
    Delayed,
}

/// In which units a write tears: of those, a run from anywhere in it survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CutGrain {
    /// It does not tear.
    Whole,
    /// Units of 4,096 bytes.
    Page,
    /// Units of 512 bytes.
    Sector,
}

impl CutGrain {
    /// Bytes in a unit, where a write tears at all.
    pub(super) fn bytes(self) -> Option<u64> {
        match self {
            CutGrain::Whole => None,
            CutGrain::Page => Some(4096),
            CutGrain::Sector => Some(512),
        }
    }
}

/// What lies in the sectors below a file's length whose data was lost.
///
/// Only sectors wholly behind what was durable, and which no write that survived touched, are
/// filled: the others hold what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CutFill {
    /// Zeros.
    Zero,
    /// Random bytes.
    Random,
    /// Bytes that lay at the same place of a file removed earlier; zeros where there was none.
    Stale,
    /// What the file itself held there before its length was cut; zeros where it held nothing.
    Old,
}

/// What a power cut does, but for its dice.
/// ```
/// use kv_vfs::{CutFill, CutGrain, CutOrder, CutPolicy, Fs, FsFileExt, MemFs, Mode};
/// use std::path::Path;
/// let (fs, path) = (MemFs::new(), Path::new("/a"));
/// let file = fs.create_new(path)?;
/// file.write_all_at(&[1; 1024], 0)?;
/// file.sync_data()?;
/// fs.sync_dir(Path::new("/"))?;
/// file.write_all_at(&[2; 1024], 0)?;
///
/// // What was overwritten may tear, but each sector is the old one or the new one.
/// let torn = CutPolicy::new(CutOrder::Strict, CutGrain::Sector, CutFill::Zero);
/// assert_eq!(torn.to_string(), "strict-sector-zero");
/// for seed in 0..32 {
///     let mut bytes = [0u8; 1024];
///     fs.power_cut(torn, seed).open(path, Mode::Read)?.read_exact_at(&mut bytes, 0)?;
///     assert!(bytes.chunks(512).all(|sector| sector == [1u8; 512] || sector == [2u8; 512]));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CutPolicy {
    /// Which operations survive.
    pub order: CutOrder,
    /// How they tear.
    pub grain: CutGrain,
    /// What lies in the holes.
    pub fill: CutFill,
}

impl CutPolicy {
    /// The mixtures worth running.
    pub const ALL: &'static [CutPolicy] = &[
        CutPolicy::new(CutOrder::Nothing, CutGrain::Whole, CutFill::Zero),
        CutPolicy::new(CutOrder::Everything, CutGrain::Whole, CutFill::Zero),
        CutPolicy::new(CutOrder::Strict, CutGrain::Whole, CutFill::Zero),
        CutPolicy::new(CutOrder::Strict, CutGrain::Sector, CutFill::Random),
        CutPolicy::new(CutOrder::Strict, CutGrain::Sector, CutFill::Stale),
        CutPolicy::new(CutOrder::Strict, CutGrain::Page, CutFill::Old),
        CutPolicy::new(CutOrder::Ext4Ordered, CutGrain::Page, CutFill::Zero),
        CutPolicy::new(CutOrder::Ext4Ordered, CutGrain::Sector, CutFill::Zero),
        CutPolicy::new(CutOrder::Writeback, CutGrain::Sector, CutFill::Zero),
        CutPolicy::new(CutOrder::Writeback, CutGrain::Sector, CutFill::Stale),
        CutPolicy::new(CutOrder::Writeback, CutGrain::Page, CutFill::Random),
        CutPolicy::new(CutOrder::GlobalPrefix, CutGrain::Sector, CutFill::Zero),
        CutPolicy::new(CutOrder::Delayed, CutGrain::Whole, CutFill::Zero),
        CutPolicy::new(CutOrder::Delayed, CutGrain::Sector, CutFill::Stale),
    ];

    /// A policy of these parts.
    pub const fn new(order: CutOrder, grain: CutGrain, fill: CutFill) -> CutPolicy {
        CutPolicy { order, grain, fill }
    }
}

impl fmt::Display for CutPolicy {
    /// Such as `strict-sector-stale`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |part: &dyn fmt::Debug| format!("{part:?}").to_lowercase();
        write!(f, "{}-{}-{}", name(&self.order), name(&self.grain), name(&self.fill))
    }
}
