//! One block of any type inside a table that is whole else.
#![no_main]

use kv_crashtest::hostile::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = Target::Block.run(input) {
        panic!("{broken}");
    }
});
