//! Operations with power cuts and opens in between, against a model.
#![no_main]

use kv_crashtest::hostile::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(broken) = Target::Operations.run(input) {
        panic!("{broken}");
    }
});
