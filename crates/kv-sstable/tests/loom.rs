//! Every interleaving, and every order of memory that the orderings allow, of the reference count
//! of cached blocks:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p kv-sstable --release --test loom
//! ```
#![cfg(loom)]
#![allow(dead_code, reason = "the models use a part of the module's sources")]

#[path = "../src/cache/slot.rs"]
mod slot;

use loom::thread;
use slot::Buffer;

/// Loom finds memory that is freed while it is used, freed twice or never freed.
#[test]
fn a_block_is_freed_once_behind_its_last_reader() {
    loom::model(|| {
        let block = Buffer::copy_of(b"block");
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let block = block.clone();
                thread::spawn(move || {
                    let second = block.clone();
                    drop(block);
                    second.touch();
                    assert_eq!(&*second, b"block");
                })
            })
            .collect();
        drop(block);
        for reader in readers {
            assert!(reader.join().is_ok());
        }
    });
}

#[test]
fn readers_that_note_a_read_at_once_lose_one_at_worst() {
    loom::model(|| {
        let block = Buffer::copy_of(b"");
        let other = block.clone();
        let reader = thread::spawn(move || other.touch());
        block.touch();
        assert!(reader.join().is_ok());
        assert!((1..=2).contains(&block.change_reads(|_| 0)));
    });
}
