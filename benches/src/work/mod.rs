//! The workloads.

mod beside;
mod read;
mod transact;
mod whole;
mod write;
mod ycsb;

use crate::bench::{Bench, Done};
use crate::workload::Workload;
use anyhow::Result;

pub(crate) use whole::check_all;
pub(crate) use write::load;

/// Does a workload on the store of `bench`, and brings the model up to date.
pub(crate) fn run(bench: &mut Bench<'_>, workload: Workload, steps: u64) -> Result<Done> {
    match workload {
        Workload::FillSeq => write::fill_seq(bench),
        Workload::FillRandom => write::fill_random(bench),
        Workload::FillBatch => write::fill_batch(bench),
        Workload::FillSync => write::fill_sync(bench),
        Workload::Overwrite => write::overwrite(bench),
        Workload::OverwriteWait => write::overwrite_wait(bench),
        Workload::DeleteRandom => write::delete_random(bench),
        Workload::DeleteRange => write::delete_range(bench),
        Workload::ReadRandom => read::random(bench),
        Workload::ReadMissing => read::missing(bench),
        Workload::ReadSeq => read::all(bench, workload),
        Workload::ReadReverse => read::all(bench, workload),
        Workload::SeekRandom => read::seek(bench, steps),
        Workload::ReadWhileWriting => beside::read_while_writing(bench),
        Workload::YcsbA
        | Workload::YcsbB
        | Workload::YcsbC
        | Workload::YcsbD
        | Workload::YcsbE
        | Workload::YcsbF => ycsb::run(bench, workload),
        Workload::Transact0 => transact::run(bench, workload, 0),
        Workload::Transact10 => transact::run(bench, workload, 10),
        Workload::Transact90 => transact::run(bench, workload, 90),
        Workload::Open => whole::open(bench),
        Workload::OpenLog => whole::open_log(bench),
        Workload::Compact => whole::maintain(bench, workload, |store| store.compact()),
        Workload::Flush => whole::maintain(bench, workload, |store| store.flush()),
        Workload::Settle => whole::maintain(bench, workload, |store| store.settle()),
    }
}
