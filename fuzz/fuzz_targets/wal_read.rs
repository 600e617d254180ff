//! The records of a log and the replay over its segments.
#![no_main]

use kv_crashtest::hostile::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = Target::Log.run(input) {
        panic!("{broken}");
    }
});
