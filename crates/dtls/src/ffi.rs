//! The calls that `boring` does not wrap: DTLS timers, their clock, and what the record layer can tell. All `unsafe` of
//! the crate is here.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::time::Duration;

use boring::error::ErrorStack;
use boring::pkey::{PKey, Private};
use boring::ssl::{SslContextBuilder, SslMethod, SslRef};
use foreign_types_shared::ForeignTypeRef;

thread_local! {
    // BoringSSL asks its context for the time without saying for which association, and contexts are shared between
    // endpoints; so the time is that of the call in progress, and a call never leaves its thread.
    static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static CERTIFICATE_REQUESTED: Cell<bool> = const { Cell::new(false) };
}

/// Sets the time that engines on this thread see, until it is set again. Any origin will do that one association keeps.
pub(crate) fn set_clock(time: Duration) {
    CLOCK.set(time);
}

unsafe extern "C" fn current_time(_: *const boring_sys::SSL, out: *mut boring_sys::timeval) {
    let now = CLOCK.get();
    let value = boring_sys::timeval {
        tv_sec: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        tv_usec: i64::from(now.subsec_micros()),
    };
    // SAFETY: BoringSSL passes the address of a timeval of its own that may be written.
    unsafe { out.write(value) };
}

/// Makes engines of this context run on [`set_clock`]'s time.
pub(crate) fn install_clock(context: &mut SslContextBuilder) {
    // SAFETY: the builder owns a live SSL_CTX; `current_time` keeps the callback's contract and borrows nothing.
    unsafe { boring_sys::SSL_CTX_set_current_time_cb(context.as_ptr(), Some(current_time)) };
}

unsafe extern "C" fn note_certificate_request(_: *mut boring_sys::SSL, _: *mut c_void) -> c_int {
    CERTIFICATE_REQUESTED.set(true);
    1
}

/// Lets [`take_certificate_requested`] know about engines of this context.
pub(crate) fn install_certificate_request_note(context: &mut SslContextBuilder) {
    // SAFETY: the builder owns a live SSL_CTX; the callback does not use its argument, so null will do.
    unsafe {
        boring_sys::SSL_CTX_set_cert_cb(context.as_ptr(), Some(note_certificate_request), std::ptr::null_mut());
    }
}

/// Whether an engine on this thread was asked for its certificate since the last call. A server engine always says so.
pub(crate) fn take_certificate_requested() -> bool {
    CERTIFICATE_REQUESTED.replace(false)
}

/// DTLS with certificates as bytes: nothing of the peer's but its public key is parsed, and no parsed form is kept. Where
/// `boring` would want X.509 of such a context it panics; this crate does not ask.
pub(crate) fn method() -> SslMethod {
    // SAFETY: BoringSSL's methods are static.
    unsafe { SslMethod::from_ptr(boring_sys::DTLS_with_buffers_method()) }
}

/// Presents this certificate (DER) to peers.
pub(crate) fn set_certificate(
    context: &mut SslContextBuilder,
    certificate: &[u8],
    key: &PKey<Private>,
) -> Result<(), ErrorStack> {
    // SAFETY: the slice is live, and copied.
    let buffer =
        unsafe { boring_sys::CRYPTO_BUFFER_new(certificate.as_ptr(), certificate.len(), std::ptr::null_mut()) };
    if buffer.is_null() {
        return Err(ErrorStack::get());
    }
    // SAFETY: context, buffer and key are live; the call takes references of its own to the buffer and the key, and ours
    // to the buffer, which nothing uses after, is given back.
    let set = unsafe {
        let set = boring_sys::SSL_CTX_set_chain_and_key(
            context.as_ptr(),
            &raw const buffer,
            1,
            key.as_ptr(),
            std::ptr::null(),
        );
        boring_sys::CRYPTO_BUFFER_free(buffer);
        set
    };
    if set == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// The peer's own certificate (DER), for as long as the engine is left alone. `None` while it has sent none.
pub(crate) fn peer_certificate(ssl: &SslRef) -> Option<&[u8]> {
    // SAFETY: `ssl` is live and only read. The chain is null or a live stack of buffers, whose first is the peer's own; it
    // and its bytes belong to the engine's session, which nobody can change while `ssl` is borrowed.
    unsafe {
        let chain = boring_sys::SSL_get0_peer_certificates(ssl.as_ptr());
        if chain.is_null() || boring_sys::OPENSSL_sk_num(chain.cast()) == 0 {
            return None;
        }
        let own: *const boring_sys::CRYPTO_BUFFER = boring_sys::OPENSSL_sk_value(chain.cast(), 0).cast();
        let (bytes, length) = (boring_sys::CRYPTO_BUFFER_data(own), boring_sys::CRYPTO_BUFFER_len(own));
        Some(std::slice::from_raw_parts(bytes, length))
    }
}

/// Time to the first retransmission of a flight, in milliseconds; doubled with each further one.
pub(crate) fn set_initial_timeout(ssl: &mut SslRef, milliseconds: u32) {
    // SAFETY: `ssl` is a live SSL that is borrowed exclusively.
    unsafe { boring_sys::DTLSv1_set_initial_timeout_duration(ssl.as_ptr(), milliseconds) };
}

/// Makes a client's first ClientHello carry a share of this group alone, one of those that its context lists. `false`: the
/// engine has no memory left, or the context does not list the group.
pub(crate) fn offer_share_of(ssl: &mut SslRef, group: u16) -> bool {
    // SAFETY: `ssl` is a live SSL that is borrowed exclusively; the list has the one entry that its length tells, and is
    // copied before the call returns.
    unsafe { boring_sys::SSL_set1_client_key_shares(ssl.as_ptr(), &raw const group, 1) == 1 }
}

/// Lets the engine forget, once its handshake is over, what only a handshake needs: there is no renegotiation.
pub(crate) fn shed_configuration(ssl: &mut SslRef) {
    // SAFETY: `ssl` is a live SSL that is borrowed exclusively.
    unsafe { boring_sys::SSL_set_shed_handshake_config(ssl.as_ptr(), 1) };
}

/// Time until the engine wants [`handle_timeout`]; `None` when no timer runs.
pub(crate) fn timeout(ssl: &SslRef) -> Option<Duration> {
    let mut left = boring_sys::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: `ssl` is live and only read; `left` outlives the call.
    let set = unsafe { boring_sys::DTLSv1_get_timeout(ssl.as_ptr(), &raw mut left) };
    if set == 0 {
        return None;
    }
    let micros = u64::try_from(left.tv_usec).unwrap_or(0);
    Some(Duration::from_secs(u64::try_from(left.tv_sec).unwrap_or(0)).saturating_add(Duration::from_micros(micros)))
}

/// Sends again what is due, ACKs included. `false`: the engine has given up.
pub(crate) fn handle_timeout(ssl: &mut SslRef) -> bool {
    // SAFETY: `ssl` is live and borrowed exclusively; the call writes to the stream that the same owner holds.
    unsafe { boring_sys::DTLSv1_handle_timeout(ssl.as_ptr()) >= 0 }
}

/// The highest epoch that the engine can read.
pub(crate) fn read_epoch(ssl: &SslRef) -> u16 {
    // SAFETY: `ssl` is live, of a DTLS method (every context of this crate is), and only read.
    unsafe { boring_sys::SSL_get_dtls_read_epoch(ssl.as_ptr()) }
}

/// `message_seq` of the handshake message that the engine waits for; 0x10000 when there can be none.
pub(crate) fn handshake_read_sequence(ssl: &SslRef) -> u32 {
    // SAFETY: as for `read_epoch`.
    unsafe { boring_sys::SSL_get_dtls_handshake_read_seq(ssl.as_ptr()) }
}

/// Whether the established association has an extended master secret (RFC 7627); always so with DTLS 1.3.
pub(crate) fn has_extended_master_secret(ssl: &SslRef) -> bool {
    // SAFETY: `ssl` is live and only read.
    unsafe { boring_sys::SSL_get_extms_support(ssl.as_ptr()) == 1 }
}

/// Sends a fatal alert.
pub(crate) fn send_fatal_alert(ssl: &mut SslRef, alert: u8) {
    // SAFETY: `ssl` is live and borrowed exclusively.
    unsafe { boring_sys::SSL_send_fatal_alert(ssl.as_ptr(), alert) };
}
