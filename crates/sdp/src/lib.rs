//! Lossless model, parser and printer of session descriptions (RFC 8866).
