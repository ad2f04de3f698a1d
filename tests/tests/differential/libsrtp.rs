//! The few functions of libsrtp 2 that the comparison needs (its header srtp.h).
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::ptr;
use std::sync::Once;

use srtp::Profile;

#[repr(C)]
#[derive(Clone, Copy)]
struct Ssrc {
    kind: c_int,
    value: c_uint,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CryptoPolicy {
    cipher_type: u32,
    cipher_key_len: c_int,
    auth_type: u32,
    auth_key_len: c_int,
    auth_tag_len: c_int,
    sec_serv: c_int,
}

#[repr(C)]
struct MasterKey {
    key: *mut u8,
    mki_id: *mut u8,
    mki_size: c_uint,
}

#[repr(C)]
struct Policy {
    ssrc: Ssrc,
    rtp: CryptoPolicy,
    rtcp: CryptoPolicy,
    key: *mut u8,
    keys: *mut *mut MasterKey,
    num_master_keys: c_ulong,
    deprecated_ekt: *mut c_void,
    window_size: c_ulong,
    allow_repeat_tx: c_int,
    enc_xtn_hdr: *mut c_int,
    enc_xtn_hdr_count: c_int,
    next: *mut Policy,
}

type Protect = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int, c_uint, c_uint) -> c_int;
type Unprotect = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int, c_uint) -> c_int;

#[link(name = "srtp2")]
unsafe extern "C" {
    fn srtp_init() -> c_int;
    fn srtp_create(session: *mut *mut c_void, policy: *const Policy) -> c_int;
    fn srtp_dealloc(session: *mut c_void) -> c_int;
    fn srtp_protect_mki(s: *mut c_void, packet: *mut c_void, len: *mut c_int, use_mki: c_uint, index: c_uint) -> c_int;
    fn srtp_protect_rtcp_mki(
        s: *mut c_void,
        packet: *mut c_void,
        len: *mut c_int,
        use_mki: c_uint,
        index: c_uint,
    ) -> c_int;
    fn srtp_unprotect_mki(s: *mut c_void, packet: *mut c_void, len: *mut c_int, use_mki: c_uint) -> c_int;
    fn srtp_unprotect_rtcp_mki(s: *mut c_void, packet: *mut c_void, len: *mut c_int, use_mki: c_uint) -> c_int;
    fn srtp_crypto_policy_set_rtp_default(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_aes_cm_192_hmac_sha1_32(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_aes_gcm_128_16_auth(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_aes_gcm_256_16_auth(policy: *mut CryptoPolicy);
    fn srtp_crypto_policy_set_null_cipher_hmac_sha1_80(policy: *mut CryptoPolicy);
}

/// Which way a session works: libsrtp wants to know.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Inbound = 2,
    Outbound = 3,
}

/// A libsrtp session for any SSRC.
pub(crate) struct Session {
    handle: *mut c_void,
    has_mki: bool,
}

impl Session {
    pub(crate) fn new(direction: Direction, profile: Profile, key_and_salt: &[u8], mki: &[u8]) -> Self {
        static INIT: Once = Once::new();
        // SAFETY: called once, before any other function of the library.
        INIT.call_once(|| assert_eq!(unsafe { srtp_init() }, 0));
        let (rtp, rtcp) = (crypto_policy(profile, false), crypto_policy(profile, true));
        let (mut key, mut mki_id) = (key_and_salt.to_vec(), mki.to_vec());
        let mut master =
            MasterKey { key: key.as_mut_ptr(), mki_id: mki_id.as_mut_ptr(), mki_size: mki.len() as c_uint };
        let mut masters = [&raw mut master];
        let has_mki = !mki.is_empty();
        let policy = Policy {
            ssrc: Ssrc { kind: direction as c_int, value: 0 },
            rtp,
            rtcp,
            key: if has_mki { ptr::null_mut() } else { key.as_mut_ptr() },
            keys: if has_mki { masters.as_mut_ptr() } else { ptr::null_mut() },
            num_master_keys: c_ulong::from(has_mki),
            deprecated_ekt: ptr::null_mut(),
            window_size: 1024,
            allow_repeat_tx: 0,
            enc_xtn_hdr: ptr::null_mut(),
            enc_xtn_hdr_count: 0,
            next: ptr::null_mut(),
        };
        let mut handle = ptr::null_mut();
        // SAFETY: the policy and all that it points to live until the call returns; the library copies what it keeps.
        let status = unsafe { srtp_create(&raw mut handle, &raw const policy) };
        assert_eq!(status, 0, "srtp_create for {profile:?}");
        Self { handle, has_mki }
    }

    pub(crate) fn protect_rtp(&mut self, packet: &[u8]) -> Vec<u8> {
        self.protect(srtp_protect_mki, packet)
    }

    pub(crate) fn protect_rtcp(&mut self, packet: &[u8]) -> Vec<u8> {
        self.protect(srtp_protect_rtcp_mki, packet)
    }

    pub(crate) fn unprotect_rtp(&mut self, packet: &[u8]) -> Result<Vec<u8>, c_int> {
        self.unprotect(srtp_unprotect_mki, packet)
    }

    pub(crate) fn unprotect_rtcp(&mut self, packet: &[u8]) -> Result<Vec<u8>, c_int> {
        self.unprotect(srtp_unprotect_rtcp_mki, packet)
    }

    fn protect(&mut self, function: Protect, packet: &[u8]) -> Vec<u8> {
        let mut buffer = padded(packet);
        let mut length = packet.len() as c_int;
        // SAFETY: the buffer is longer than the packet by more than SRTP_MAX_TRAILER_LEN plus the MKI.
        let status = unsafe {
            function(self.handle, buffer.as_mut_ptr().cast(), &raw mut length, c_uint::from(self.has_mki), 0)
        };
        assert_eq!(status, 0, "libsrtp protects");
        buffer.truncate(length as usize);
        buffer
    }

    fn unprotect(&mut self, function: Unprotect, packet: &[u8]) -> Result<Vec<u8>, c_int> {
        let mut buffer = padded(packet);
        let mut length = packet.len() as c_int;
        // SAFETY: the buffer holds the whole packet.
        let status =
            unsafe { function(self.handle, buffer.as_mut_ptr().cast(), &raw mut length, c_uint::from(self.has_mki)) };
        buffer.truncate(length as usize);
        if status == 0 { Ok(buffer) } else { Err(status) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the handle came from srtp_create and is given back once.
        unsafe { srtp_dealloc(self.handle) };
    }
}

fn padded(packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + 512, 0);
    buffer
}

fn crypto_policy(profile: Profile, is_rtcp: bool) -> CryptoPolicy {
    let mut policy = CryptoPolicy::default();
    let set: unsafe extern "C" fn(*mut CryptoPolicy) = match (profile, is_rtcp) {
        (Profile::AesCm128HmacSha1_80, _) | (Profile::AesCm128HmacSha1_32, true) => srtp_crypto_policy_set_rtp_default,
        (Profile::AesCm128HmacSha1_32, false) => srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32,
        (Profile::AesCm192HmacSha1_80, _) | (Profile::AesCm192HmacSha1_32, true) => {
            srtp_crypto_policy_set_aes_cm_192_hmac_sha1_80
        }
        (Profile::AesCm192HmacSha1_32, false) => srtp_crypto_policy_set_aes_cm_192_hmac_sha1_32,
        (Profile::AesCm256HmacSha1_80, _) | (Profile::AesCm256HmacSha1_32, true) => {
            srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80
        }
        (Profile::AesCm256HmacSha1_32, false) => srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32,
        (Profile::AeadAes128Gcm, _) => srtp_crypto_policy_set_aes_gcm_128_16_auth,
        (Profile::AeadAes256Gcm, _) => srtp_crypto_policy_set_aes_gcm_256_16_auth,
        (Profile::NullHmacSha1_80 | Profile::NullHmacSha1_32, _) => srtp_crypto_policy_set_null_cipher_hmac_sha1_80,
    };
    // SAFETY: the function writes the structure that it is given.
    unsafe { set(&raw mut policy) };
    if profile == Profile::NullHmacSha1_32 && !is_rtcp {
        policy.auth_tag_len = 4;
    }
    policy
}
