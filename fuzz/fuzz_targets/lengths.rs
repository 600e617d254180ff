//! Numbers, lengths, and compressed blocks that declare what they do not hold.
#![no_main]

use kv_crashtest::hostile::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = Target::Lengths.run(input) {
        panic!("{broken}");
    }
});
