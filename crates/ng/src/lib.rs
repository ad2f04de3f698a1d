//! rtpengine's control protocol: bytes to session requests and back.
