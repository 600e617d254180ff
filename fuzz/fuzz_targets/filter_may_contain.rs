//! A filter.
#![no_main]

use kv_crashtest::hostile::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = Target::Filter.run(input) {
        panic!("{broken}");
    }
});
