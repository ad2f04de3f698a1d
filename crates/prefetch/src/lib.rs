//! Asking the processor for memory before it is needed.
//!
//! With thousands of calls their state lies in no near cache, and a packet waits for each piece of it in turn. Asked for
//! beforehand, over a whole batch, the pieces come side by side.

/// Bytes that come with one request.
const LINE: usize = 64;

/// Asks for the first `bytes` of a value, or for all of it when it is shorter. Changes nothing but what is in the cache;
/// on processors other than x86-64 it does nothing.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T, bytes: usize) {
    let start = std::ptr::from_ref(value).cast::<i8>();
    // The lines that it touches, not just as many as would hold it.
    let skew = start.addr() % LINE;
    for offset in (0..bytes.min(size_of_val(value)) + skew).step_by(LINE) {
        request(start.wrapping_sub(skew).wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
fn request(line: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which reads nothing and faults at no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn request(_line: *const i8) {}

#[cfg(test)]
mod tests {
    use super::prefetch;

    #[test]
    fn any_value_may_be_asked_for() {
        let bytes = vec![7u8; 1000];
        for from in [0, 1, 63, 64, 999, 1000] {
            for length in [0, 1, 64, usize::MAX] {
                prefetch(&bytes[from..], length);
            }
        }
        prefetch(&(), usize::MAX);
        assert_eq!(bytes, [7; 1000]);
    }
}
