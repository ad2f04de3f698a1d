//! libFuzzer on the target that the variable FUZZ_TARGET names.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sallyport_fuzz::{Target, target};

fuzz_target!(|bytes: &[u8]| {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
        target(&name).expect("FUZZ_TARGET is a target")
    });
    (chosen.run)(bytes);
});
